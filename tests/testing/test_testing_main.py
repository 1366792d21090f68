"""`python -m session_store.testing URL`: the suites, a table, and an exit code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from session_store.sync import SessionStore

HERE = Path(__file__).parent
SECONDS = 300

WITHOUT = """
import sys
sys.modules[{name!r}] = None
from session_store.testing.__main__ import main
sys.exit(main())
"""


def run_python(*arguments: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=cwd,
        # As pytest has it (pyproject.toml): what is broken on purpose is shared among the rooms.
        env={**os.environ, "PYTHONPATH": str(HERE.parent / "races")},
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )


def run_suites(url: str, cwd: Path) -> "subprocess.CompletedProcess[str]":
    return run_python("-m", "session_store.testing", url, cwd=cwd)


def test_a_sound_engine_gives_a_table_without_failures(tmp_path: Path) -> None:
    (tmp_path / "conftest.py").write_text("raise RuntimeError('not to be read')")
    (tmp_path / "pytest.ini").write_text("[pytest]\naddopts = --nonsense\n")
    root = tmp_path / "root"
    root.mkdir()
    (root / "notes.txt").write_text("left as they are")

    done = run_python(str(HERE / "main_quick.py"), "./root", cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == "./root (blocking, durable, scope host)"
    assert lines[2].split() == ["passed", "failed", "skipped"]
    assert any(line.startswith("files: `append`") for line in lines)
    assert any(line.startswith("index: Orders, filters") for line in lines)
    assert any(line.startswith("store: Many writers") for line in lines)
    passed, failed, skipped = map(int, next(x for x in lines if x.startswith("all "))[3:].split())
    assert passed > 200
    assert failed == 0
    assert skipped > 0
    assert "    14  needs the fixture `crash`" in lines
    # Nothing is left, neither there nor here.
    assert [path.name for path in root.iterdir()] == ["notes.txt"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["conftest.py", "pytest.ini", "root"]


def test_an_engine_is_tested_beside_what_is_there(tmp_path: Path) -> None:
    with SessionStore.open(f"sqlite:///{tmp_path}/mine.db") as store:
        store.session("chat").append("user", "mine")

    url = f"sqlite:///{tmp_path}/mine.db"
    only = "--only=append,page,race,writers"
    done = run_python(str(HERE / "main_quick.py"), only, url, cwd=tmp_path)

    assert done.returncode == 0, done.stdout + done.stderr
    lines = done.stdout.splitlines()
    assert lines[0] == f"{url} (blocking, durable, scope host)"
    assert any(line.startswith("files: `append`") for line in lines)
    assert any(line.startswith("index: Orders, filters") for line in lines)
    assert any(line.startswith("store: Many writers") for line in lines)
    assert not any("index_in_files is true" in line for line in lines)
    with SessionStore.open(url) as store:
        assert [one.content for one in store.session("chat").messages()] == ["mine"]
    assert {path.name.partition("-")[0] for path in tmp_path.iterdir()} <= {"mine.db"}


def test_a_password_is_not_shown(tmp_path: Path) -> None:
    done = run_suites("redis://user:s3cr3t@127.0.0.1:1/0", tmp_path)

    assert done.returncode == 2
    assert "127.0.0.1:1" in done.stderr
    assert "s3cr3t" not in done.stdout + done.stderr


def test_a_broken_engine_gives_the_sentences_that_do_not_hold(tmp_path: Path) -> None:
    done = run_python(
        str(HERE / "main_quick.py"), "--broken", "--only=delete", "memory:", cwd=tmp_path
    )

    assert done.returncode == 1, done.stdout + done.stderr
    assert "Failed:" in done.stdout
    wanted = "Nothing of a deleted session is kept, and what is refused afterwards leaves nothing."
    assert f"  store: Deleting sessions: {wanted}\n    test_delete_leaves_nothing" in done.stdout
    assert "leftover_folder" in done.stdout


@pytest.mark.parametrize("left", ["sessions.json", "chat/messages.jsonl"])
def test_a_folder_with_sessions_is_not_touched(tmp_path: Path, left: str) -> None:
    with SessionStore.open(tmp_path / "root") as store:
        store.session("chat").append("user", "mine")
        folder = store.resolve("chat")
    kept = tmp_path / "root" / left.replace("chat", folder)
    for path in sorted((tmp_path / "root").rglob("*"), reverse=True):
        if path != kept and path != kept.parent:
            path.rmdir() if path.is_dir() else path.unlink()

    done = run_suites("./root", tmp_path)

    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == "./root holds sessions: give a place without any\n"
    assert kept.is_file()
    assert len([path for path in (tmp_path / "root").rglob("*") if path.is_file()]) == 1


def test_a_url_without_an_engine_is_refused(tmp_path: Path) -> None:
    done = run_suites("gopher://somewhere", tmp_path)

    assert done.returncode == 2
    assert "no engine for 'gopher'" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("name", ["pytest", "hypothesis"])
def test_what_is_missing_is_told_with_the_command_that_mends_it(tmp_path: Path, name: str) -> None:
    done = run_python("-c", WITHOUT.format(name=name), "memory:", cwd=tmp_path)

    assert done.returncode == 2
    assert done.stderr == "memory:: this needs an extra: pip install 'session-store[testing]'\n"


def test_the_tools_that_need_no_pytest_can_be_imported_without(tmp_path: Path) -> None:
    code = (
        "import sys; sys.modules['pytest'] = sys.modules['hypothesis'] = None\n"
        "import session_store.testing.history, session_store.testing.faults\n"
        "from session_store.errors import MissingExtraError\n"
        "import session_store.testing as testing\n"
        "try:\n    testing.StoreSuite\nexcept MissingExtraError as error:\n    print(error)"
    )

    done = run_python("-c", code, cwd=tmp_path)

    assert done.stdout == "this needs an extra: pip install 'session-store[testing]'\n", done.stderr
