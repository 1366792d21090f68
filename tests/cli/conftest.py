import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from session_store.cli.app import run
from session_store.sync import SessionStore


class Ended(NamedTuple):
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)

    @property
    def lines(self) -> list[Any]:
        return [json.loads(line) for line in self.out.splitlines()]


Cli = Callable[..., Ended]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the store is, or will be; there is no terminal and no setting of anybody's."""
    for name in ("SESSION_STORE_URL", "NO_COLOR", "COLUMNS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TZ", "UTC")
    monkeypatch.chdir(tmp_path)
    return tmp_path / "sessions"


@pytest.fixture
def cli(
    folder: Path, capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch
) -> Cli:
    """Runs the command inside of this process."""

    def call(*arguments: str, stdin: bytes = b"") -> Ended:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(stdin)))
        capsysbinary.readouterr()
        code = run(arguments)
        out, err = capsysbinary.readouterr()
        return Ended(code, out.decode(), err.decode())

    return call


@pytest.fixture
def store(folder: Path) -> SessionStore:
    return SessionStore.open(folder, durability="os")


@pytest.fixture
def chat(store: SessionStore) -> SessionStore:
    """A store in which `chat` has two answers, the second on the branch `small`."""
    session = store.session("chat")
    question = session.append({"role": "user", "content": "Which database?", "id": "question"})
    session.append({"role": "assistant", "content": "PostgreSQL.", "id": "postgres"})
    session.append(
        {"role": "assistant", "content": "SQLite.", "id": "sqlite", "parentId": question.id}
    )
    session.create_branch("small")
    return store
