"""What a process does to a store while the disk fails under it: a bit of everything.

Each message goes by the first word of its content. What was asked and what was answered is
written to a file outside of the disk that fails, before the next call is made.
"""

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

from session_store.engines.sqlite import database
from session_store.engines.sqlite.files import SQLiteFileSystem
from session_store.errors import (
    AppendUnknownError,
    FileSystemError,
    SessionStoreError,
    UnavailableError,
)
from session_store.files import RealFileSystem
from session_store.index import rotation
from session_store.model.config import StoreConfig
from session_store.sync import SessionStore
from session_store.testing.history import History, Operation

SMALL_JOURNAL_BYTES = 4_000
FEW_PAGES = 60
KEYS = 6


def name_of(message: Any) -> str:
    """Return the name that a message goes by."""
    return str(message.content).split(" ", 1)[0]


class Notes:
    """A history in a file of its own, complete whenever its process dies."""

    def __init__(self, path: Path, clock: Callable[[], float]) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self.history = History(clock, sink=lambda line: os.write(self._file, line.encode()))

    def close(self) -> None:
        """Let go of the file."""
        os.close(self._file)


def open_store(root: Path, **config: Any) -> SessionStore:
    """Return the store in the folder `root`, or in the SQLite database if it ends in `.db`.

    Calls against a dead disk are given up soon.
    """
    settings: dict[str, Any] = {"io_timeout_ms": 2_000, "index_save_delay_ms": 5} | config
    kind = SQLiteFileSystem if root.suffix == ".db" else RealFileSystem
    files = kind(root, io_timeout_ms=settings["io_timeout_ms"])
    return SessionStore(files, StoreConfig(**settings))


def rotate_often() -> None:
    """Let this process begin a new journal of the index, or move SQLite's, after a few changes."""
    rotation.ROTATE_BYTES = SMALL_JOURNAL_BYTES  # type: ignore[misc]
    database.CHECKPOINT_PAGES = FEW_PAGES  # type: ignore[misc]


class Worker:
    """One caller with a mind of its own, which the seed decides."""

    def __init__(
        self,
        store: SessionStore,
        history: History,
        actor: str,
        *,
        seed: int,
        on_ack: Callable[[], object] = lambda: None,
    ) -> None:
        self.store = store
        self.history = history
        self.actor = actor
        self.acknowledged = 0
        self.failures: list[SessionStoreError] = []
        self._on_ack = on_ack
        self._chance = random.Random(f"{seed} {actor}")
        self._said = 0
        self._sessions: dict[str, str] = {}

    def work(self, steps: int, *, give_up_after: int = 4) -> None:
        """Make so many calls, or fewer if the storage refuses again and again."""
        refused = 0
        for _ in range(steps):
            before = len(self.failures)
            self._step()
            storage = any(isinstance(one, OSError) for one in self.failures[before:])
            refused = refused + 1 if storage else 0
            if refused >= give_up_after:
                return

    def _step(self) -> None:
        key = f"key:{self._chance.randrange(KEYS)}"
        session = self._sessions.get(key) or self.resolve(key)
        if session is None:
            return
        (act,) = self._chance.choices(
            [
                self.append,
                self.append_many,
                self.append_under_lock,
                self._branch,
                self._describe,
                self._read,
                self._reset,
                self._delete,
                self._snapshot,
            ],
            [50, 12, 6, 8, 8, 6, 2, 5, 2],
        )
        act(session)

    def resolve(self, key: str) -> str | None:
        """Return the session of a key, made if need be; None if that failed."""
        call = self.history.begin(self.actor, "resolve", key=key)
        found = self._made(call, lambda: self.store.resolve(key))
        if found is not None:
            self._sessions[key] = found
        return found

    def append(self, session: str) -> Any:
        """Append one message."""
        name, text = self._words()
        call = self.history.begin(self.actor, "append", session, ids=[name])
        message = {"type": "user", "content": text}
        return self._made(
            call, lambda: self.store.append(session, message), answer=lambda _: None, acks=True
        )

    def append_many(self, session: str) -> Any:
        """Append a few messages at once."""
        words = [self._words() for _ in range(self._chance.randint(2, 5))]
        names = [name for name, _ in words]
        call = self.history.begin(self.actor, "append_many", session, ids=names)
        messages = [{"type": "user", "content": text} for _, text in words]
        return self._made(
            call,
            lambda: self.store.append_many(session, messages),
            answer=lambda _: None,
            acks=True,
        )

    def append_under_lock(self, session: str) -> None:
        """Take the lock, append, and give it back."""
        try:
            result = self.store.acquire_lock(session, self.actor)
            if not result.acquired:
                return
            self.append(session)
            self.store.release_lock(session, self.actor)
        except SessionStoreError as error:
            self._note(error)

    def delete(self, session: str) -> Any:
        """Delete the session."""
        call = self.history.begin(self.actor, "delete", session)
        done = self._made(call, lambda: self.store.delete_session(session) or "gone")
        self._sessions = {k: known for k, known in self._sessions.items() if known != session}
        return done

    def _delete(self, session: str) -> None:
        self.delete(session)

    def _reset(self, session: str) -> None:
        call = self.history.begin(self.actor, "reset", session)
        self._made(call, lambda: self.store.reset_session(session))

    def _read(self, session: str) -> None:
        call = self.history.begin(self.actor, "read", session)
        self._made(call, lambda: [name_of(message) for message in self.store.get_messages(session)])

    def _branch(self, session: str) -> None:
        name = f"b{self._chance.randrange(3)}"
        try:
            if self.store.get_head(session) is None:
                return
            match self._chance.randrange(3):
                case 0:
                    self.store.create_branch(session, name)
                case 1 if self.store.get_branch(session, name):
                    self.store.switch_to_branch(session, name)
                case _ if self.store.get_branch(session, name):
                    self.store.delete_branch(session, name)
        except SessionStoreError as error:
            self._note(error)

    def _describe(self, session: str) -> None:
        alias = f"alias:{self.actor}:{self._chance.randrange(100)}"
        try:
            match self._chance.randrange(3):
                case 0:
                    self.store.update_metadata(session, {"user_id": alias})
                case 1:
                    self.store.add_key(alias, session)
                case _:
                    self.store.remove_key(alias)
        except SessionStoreError as error:
            self._note(error)

    def _snapshot(self, _: str) -> None:
        try:
            self.store.flush(snapshot=True)
        except SessionStoreError as error:
            self._note(error)

    def _made(
        self,
        call: Operation,
        make: Callable[[], Any],
        *,
        answer: Callable[[Any], Any] = lambda result: result,
        acks: bool = False,
    ) -> Any:
        """Make the call and note its end; return None if it raised."""
        try:
            result = make()
        except SessionStoreError as error:
            self._note(error)
            (call.unknown if _may_have_happened(call, error) else call.fail)(error)
            return None
        call.ok(answer(result))
        if acks:
            self.acknowledged += 1
            self._on_ack()
        return result

    def _note(self, error: SessionStoreError) -> None:
        self.failures.append(error)
        session = getattr(error, "session_id", None)
        if session is not None:  # deleted, perhaps: its key is asked for anew
            self._sessions = {k: known for k, known in self._sessions.items() if known != session}

    def _words(self) -> tuple[str, str]:
        self._said += 1
        name = f"{self.actor}.{self._said}"
        # Mostly short, now and then over more than one page of the disk.
        size = self._chance.choice((10, 60, 200, 900, 5_000))
        return name, f"{name} {'x' * size}"


def _may_have_happened(call: Operation, error: SessionStoreError) -> bool:
    if isinstance(error, AppendUnknownError):
        return True
    if call.kind in ("append", "append_many"):
        return isinstance(error, UnavailableError) and error.unknown
    # Of these nothing is promised when the storage fails in the midst of them.
    return isinstance(error, FileSystemError)
