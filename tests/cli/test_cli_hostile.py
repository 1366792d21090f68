"""Whatever a dialogue holds, a terminal is sent nothing but text."""

import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from session_store.sync import SessionStore

Cli = Callable[..., Any]

EVIL = [
    "\x1b[2J\x1b[31mred \x1b]0;title\x07 \x1b]8;;http://x\x1b\\link \x9b31m",
    "back\x08\x08\x08\rspace nul\x00 del\x7f tab\tand\nline \u2028line\u2029paragraph",
    "\u202eesrever\u202c \u2066iso\u2069 \u200emark\u200f Ünï 日本 👨‍👩‍👧‍👦 e\u0301",
    "[bold red]markup[/bold red] [link=http://x]y[/link] :smile:",
]
MARKUP = EVIL[-1]
BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")


def assert_harmless(text: str) -> None:
    for character in text:
        kind = unicodedata.category(character)
        assert character == "\n" or character == "\t" or kind not in ("Cc", "Zl", "Zp"), text
        assert character not in BIDI, text


@pytest.fixture
def evil(store: SessionStore) -> SessionStore:
    """A store with a nasty text wherever a text can be."""
    for text in EVIL:
        session = store.session(text)
        session.append("user", text, metadata={text: text}, id=text)
        call = {"id": text, "name": text, "arguments": {text: text}}
        session.append({"type": text, "role": text, "content": text, "toolCalls": [call]})
        session.append(
            {"type": "tool_result", "toolResult": {"toolCallId": text, "result": {text: text}}}
        )
        session.append({"type": "tool_result", "toolResult": {"toolCallId": text, "error": text}})
        session.append(
            "assistant", [{"type": text, "text": text}, {"type": text}, {"thinking": text}]
        )
        session.create_branch(text)
        session.update_metadata(user_id=text, metadata={text: text}, model_overrides={text: text})
        store.acquire_lock(session.id, text)
    return store


COMMANDS = [
    ("show",),
    ("tree",),
    ("tree", "--ids"),
    ("history",),
    ("tail",),
    ("context",),
    ("context", "--format", "openai"),
    ("context", "--format", "anthropic"),
    ("branch",),
    ("keys",),
]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
@pytest.mark.parametrize("json", [False, True], ids=["plain", "json"])
def test_nothing_of_a_session_reaches_the_terminal_raw(
    cli: Cli, evil: SessionStore, command: tuple[str, ...], json: bool
) -> None:
    name, *options = command
    for key in EVIL:
        ended = cli(name, *options, *(["--json"] if json else []), "--", key)

        assert ended.code == 0
        assert_harmless(ended.out + ended.err)


@pytest.mark.parametrize("name", ["ls", "keys", "stats", "check"])
@pytest.mark.parametrize("json", [False, True], ids=["plain", "json"])
def test_nothing_of_a_store_reaches_the_terminal_raw(
    cli: Cli, evil: SessionStore, name: str, json: bool
) -> None:
    ended = cli(name, *(["--json"] if json else []))

    assert ended.code == 0
    assert_harmless(ended.out + ended.err)


@pytest.mark.parametrize("json", [False, True], ids=["plain", "json"])
@pytest.mark.parametrize("text", [*EVIL, "\udc9b"])
def test_nothing_that_was_typed_comes_back_raw(
    cli: Cli, evil: SessionStore, text: str, json: bool, tmp_path: Path
) -> None:
    wrong = text + "?"
    options = ["--json"] if json else []
    commands = [
        ("show", wrong),
        ("switch", EVIL[0], wrong),
        ("history", EVIL[0], "--leaf", wrong),
        ("keys", "--remove", wrong),
        ("append", EVIL[0], wrong, "text"),
        ("import", wrong.replace("\0", "")),
        ("frobnicate" + wrong,),
        ("ls", "--store", str(tmp_path / wrong.replace("\0", ""))),
        ("ls", "--store", f"x{wrong}://x".replace("\0", "")),
        ("context", EVIL[0], "--format", wrong),
    ]
    for command in commands:
        ended = cli(*command, *options)

        assert ended.code in (2, 3, 5), command
        assert len(ended.err.splitlines()) == 1, command
        assert_harmless(ended.err)


def test_markup_is_shown_as_it_was_said(cli: Cli, evil: SessionStore) -> None:
    ended = cli("history", MARKUP)

    assert f"  {MARKUP}\n" in ended.out


def test_file_names_and_damage_are_harmless(
    cli: Cli, store: SessionStore, tmp_path: Path, folder: Path
) -> None:
    session_id = store.resolve("chat")
    store.append(session_id, {"role": "user", "content": "x"})
    store.close()
    with (folder / session_id / "messages.jsonl").open("ab") as file:
        file.write('{"\x1b[2J":\u202e\n'.encode())
    (folder / "stray\x1b[2J").mkdir()
    (folder / "stray\x1b[2J" / "messages.jsonl").write_text("{}\n")

    for command in (("check",), ("check", "--json"), ("export", "chat", "out\x1b[2J.jsonl")):
        ended = cli(*command)

        assert_harmless(ended.out + ended.err)
