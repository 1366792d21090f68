"""The real command in a real process: pipes, terminals, signals, the environment."""

import io
import os
import pty
import signal
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

import pytest

from session_store.cli import screen
from session_store.sync import SessionStore

COMMAND = [sys.executable, "-m", "session_store.cli"]
DEADLINE_S = 20

Call = Callable[..., "subprocess.CompletedProcess[bytes]"]


class Seen(NamedTuple):
    """What a terminal was sent, and the exit code."""

    code: int
    text: str


@pytest.fixture
def environment(folder: Path) -> dict[str, str]:
    return {**os.environ, "TERM": "xterm-256color", "SESSION_STORE_URL": str(folder)}


@pytest.fixture
def call(environment: dict[str, str]) -> Call:
    """Runs the command without a terminal."""

    def start(*arguments: str, **extra: str) -> "subprocess.CompletedProcess[bytes]":
        return subprocess.run(
            [*COMMAND, *arguments],
            env={**environment, **extra},
            capture_output=True,
            timeout=DEADLINE_S,
            check=False,
        )

    return start


@pytest.fixture
def look(environment: dict[str, str]) -> Callable[..., Seen]:
    """Runs the command on a terminal of its own, where `typed` is typed."""

    def start(*arguments: str, typed: bytes = b"", **extra: str) -> Seen:
        master, slave = pty.openpty()
        with subprocess.Popen(
            [*COMMAND, *arguments],
            env={**environment, "COLUMNS": "60", **extra},
            stdin=slave,
            stdout=slave,
            stderr=slave,
        ) as process:
            os.close(slave)
            os.write(master, typed)
            seen = b""
            with suppress(OSError):  # the end of a terminal is an error on Linux
                while data := os.read(master, 1 << 16):
                    seen += data
            code = process.wait(DEADLINE_S)
        os.close(master)
        return Seen(code, seen.decode())

    return start


def test_the_store_is_named_by_the_environment(call: Call, chat: SessionStore) -> None:
    assert b"chat" in call("ls").stdout
    assert call("ls", SESSION_STORE_URL="./nowhere").returncode == 3


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("stats",), 0), (("show", "nobody"), 3), (("frobnicate",), 2), (("--version",), 0)],
)
def test_the_exit_code_reaches_the_shell(
    call: Call, chat: SessionStore, arguments: tuple[str, ...], code: int
) -> None:
    ended = call(*arguments)

    assert ended.returncode == code
    assert b"Traceback" not in ended.stderr


@pytest.mark.parametrize("module", ["typer", "rich"])
def test_without_the_extra_the_command_says_what_to_install(
    environment: dict[str, str], module: str
) -> None:
    script = (
        "import sys\n"
        f"sys.modules[{module!r}] = None\n"
        "import session_store.cli\n"
        "session_store.cli.main()\n"
    )

    ended = subprocess.run(
        [sys.executable, "-c", script],
        env=environment,
        capture_output=True,
        timeout=DEADLINE_S,
        check=False,
    )

    assert ended.returncode == 2
    assert ended.stdout == b""
    assert b"pip install 'session-store[cli]'" in ended.stderr
    assert b"Traceback" not in ended.stderr


def test_there_are_colours_on_a_terminal(look: Callable[..., Seen], chat: SessionStore) -> None:
    seen = look("tree", "chat")

    assert seen.code == 0
    assert "\x1b[32m" in seen.text


@pytest.mark.parametrize(
    ("arguments", "extra"),
    [(("--no-color",), {}), ((), {"NO_COLOR": "1"}), ((), {"TERM": "dumb"})],
)
def test_there_are_no_colours_where_nobody_wants_them(
    look: Callable[..., Seen],
    chat: SessionStore,
    arguments: tuple[str, ...],
    extra: dict[str, str],
) -> None:
    seen = look("tree", "chat", *arguments, **extra)

    assert "HEAD" in seen.text
    assert "\x1b" not in seen.text


def test_there_are_no_colours_in_a_pipe(call: Call, chat: SessionStore) -> None:
    ended = call("tree", "chat")

    assert b"HEAD" in ended.stdout
    assert b"\x1b" not in ended.stdout + ended.stderr


def test_an_export_is_escaped_on_a_terminal_and_raw_in_a_pipe(
    call: Call, look: Callable[..., Seen], chat: SessionStore
) -> None:
    chat.append(chat.resolve("chat"), {"role": "user", "content": "\u202e\x9b31m"})

    assert "\u202e\x9b31m".encode() in call("export", "chat").stdout
    assert r"\u202e\u009b31m" in look("export", "chat").text


@pytest.mark.parametrize("unbuffered", ["", "1"])
def test_a_reader_that_goes_away_is_no_news(
    environment: dict[str, str], chat: SessionStore, unbuffered: str
) -> None:
    chat.append(chat.resolve("chat"), {"role": "user", "content": "long " * 200_000})

    for command in ("history", "export"):
        with subprocess.Popen(
            [*COMMAND, command, "chat"],
            env={**environment, "PYTHONUNBUFFERED": unbuffered},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        ) as process:
            assert process.stdout is not None
            assert process.stderr is not None
            process.stdout.read(1)
            process.stdout.close()
            said = process.stderr.read()

        assert (process.returncode, said) == (141, b"")


def test_rm_asks_on_a_terminal(look: Callable[..., Seen], chat: SessionStore) -> None:
    no = look("rm", "chat", typed=b"\n")
    before = chat.has_key("chat")
    yes = look("rm", "chat", typed=b"y\n")

    assert (no.code, before) == (130, True)
    assert "[y/N]" in no.text
    assert (yes.code, chat.has_key("chat")) == (0, False)


def test_tail_follows_other_processes_until_ctrl_c(
    environment: dict[str, str], chat: SessionStore
) -> None:
    with subprocess.Popen(
        [*COMMAND, "tail", "chat", "-f", "-n", "1", "--json"],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # A shell that runs the tests in the background has it ignored.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    ) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        lines = [process.stdout.readline()]
        for content in ("first", "second"):
            chat.append(chat.resolve("chat"), {"role": "user", "content": content})
            lines.append(process.stdout.readline())
        process.send_signal(signal.SIGINT)
        said = process.stderr.read()

    assert [b"SQLite" in lines[0], b"first" in lines[1], b"second" in lines[2]] == [True] * 3
    assert (process.returncode, said) == (130, b"")


def test_a_terminal_that_knows_no_unicode_is_no_reason_to_fail(
    call: Call, chat: SessionStore
) -> None:
    ended = call("tree", "chat", PYTHONIOENCODING="ascii")

    assert ended.returncode == 0
    assert rb"\u25cf user" in ended.stdout


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize("bars", [True, False])
def test_a_bar_is_shown_on_a_terminal_and_goes_when_the_work_is_done(
    monkeypatch: pytest.MonkeyPatch, bars: bool
) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(screen, "BAR_AFTER_S", 0)

    with screen.Screen(bars=bars).progress("counting", 10) as bar:
        bar.advance(4)
        bar.advance(100)

    assert ("counting" in terminal.getvalue()) is bars


def test_what_is_done_at_once_shows_no_bar(monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    monkeypatch.setattr(screen, "BAR_AFTER_S", 1000)

    with screen.Screen().progress("counting", 10) as bar:
        bar.advance(4)

    assert terminal.getvalue() == ""
