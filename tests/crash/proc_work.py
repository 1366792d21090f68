"""What the workers do that are killed, stopped and forked: a bit of everything, written down.

A message goes by the first word of its content. What is asked is in a file before the call is
made, what was answered before the next one: a killed worker leaves its whole story behind.
"""

import os
import random
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from disk_work import name_of

from session_store.errors import (
    AppendUnknownError,
    ClosedError,
    CorruptionError,
    FileSystemError,
    SessionStoreError,
    UnavailableError,
)
from session_store.files import RealFileSystem
from session_store.index import rotation
from session_store.model.config import StoreConfig
from session_store.sync import SessionStore
from session_store.testing.history import History, Operation

# Bound before a test may count the calls of its process: what is noted here is not the store's.
_open, _write, _close = os.open, os.write, os.close
_clock = time.monotonic

ALIAS = ":alias:"
"""What stands between a key and the number of another name for its session."""

under_way: list[Operation] = []
"""The append that this process is in the midst of, for those who sabotage it."""

_UNEXPECTED = (UnavailableError, AppendUnknownError, CorruptionError, ClosedError)
"""Nobody who dies may cause these for others."""


class Notes:
    """A history in a file of its own, and not in memory, however long it gets."""

    def __init__(self, path: Path) -> None:
        self._file = _open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o600)
        self.history = History(_clock, sink=lambda line: _write(self._file, line.encode()))
        self.history.operations = _Counted()

    def close(self) -> None:
        """Let go of the file."""
        _close(self._file)


class _Counted(list[Operation]):
    """A list that only knows how long it would be."""

    def __init__(self) -> None:
        super().__init__()
        self._count = 0

    def append(self, _: Operation) -> None:
        self._count += 1

    def __len__(self) -> int:
        return self._count


def written_in(folder: Path, pattern: str = "*") -> History:
    """Return what all processes have written down in the files of `folder`."""
    files = [path for path in folder.glob(pattern) if path.is_file()]
    # What was torn by a kill has no end: the line is kept as it is, for the history to see.
    texts = [path.read_text(encoding="ascii") for path in files]
    return History.merged(*(text.splitlines(keepends=True) for text in texts))


def open_store(root: Path, **config: Any) -> SessionStore:
    """Return the store in `root`, with an index that is switched every few changes."""
    settings: dict[str, Any] = {"lock_timeout_ms": 30, "index_save_delay_ms": 5} | config
    files = RealFileSystem(root, io_timeout_ms=settings.get("io_timeout_ms", 10_000))
    return SessionStore(files, StoreConfig(**settings))


def rotate_often(every_bytes: int = 1_500) -> None:
    """Let this process begin a new journal of the index so often."""
    rotation.ROTATE_BYTES = every_bytes  # type: ignore[misc]


def told(line: Operation) -> bool:
    """Return whether an operation is an error that nobody may meet."""
    return line.kind == "unexpected"


class Player:
    """One caller with a mind of its own, which the seed decides."""

    def __init__(
        self,
        store: SessionStore,
        history: Callable[[str], History],
        actor: str,
        *,
        seed: object,
        keys: int = 5,
        on_ack: Callable[[], object] = lambda: None,
    ) -> None:
        self.store = store
        self.actor = actor
        self.acknowledged = self.acquired = 0
        self.epochs: dict[str, int] = {}
        self.dice = random.Random(f"{seed} {actor}")
        self._history = history
        self._keys = keys
        self._on_ack = on_ack
        self._said = 0
        self._sessions: dict[str, str] = {}
        self._key = ""

    def step(self) -> None:
        """Make one call, or the few that belong together."""
        session = self.resolve(f"key:{self.dice.randrange(self._keys)}")
        if session is None:
            return
        acts: dict[Callable[[str], Any], int] = {
            self.append: 40,
            self.append_many: 10,
            self.append_below: 5,
            self.append_twice: 3,
            self.append_under_lock: 10,
            self.branch: 8,
            self.describe: 6,
            self.read: 3,
            self.count: 2,
            self.reset: 2,
            self.delete: 2,
            self.flush: 2,
        }
        (act,) = self.dice.choices(list(acts), list(acts.values()))
        act(session)

    def resolve(self, key: str) -> str | None:
        """Return the session of a key, made if need be; None if that failed."""
        self._key = key
        if key in self._sessions:
            return self._sessions[key]
        found = self._made("resolve", "", lambda: self.store.resolve(key), key=key)
        if found is not None:
            self._sessions[key] = found
        return found

    def append(self, session: str, *, says: str | None = None) -> Any:
        """Append one message, guarded if the lock of the session is held."""
        message, name = self._message()
        if says is not None:
            message["content"] = f"{name} {says}"
        return self._append(session, message, ids=[name])

    def append_many(self, session: str) -> Any:
        """Append a few messages at once."""
        said = [self._message() for _ in range(self.dice.randint(2, 4))]
        messages = [message for message, _ in said]
        call = lambda: self.store.append_many(session, messages)  # noqa: E731
        facts = self._lease(session) | {"ids": [name for _, name in said]}
        return self._said_ok(self._made("append_many", session, call, **facts))

    def append_below(self, session: str) -> None:
        """Append below a message that is not the head."""
        above = self.quietly(lambda: self.store.get_messages(session))
        if above:
            parent = self.dice.choice(above)
            message, name = self._message()
            message["parent_id"] = parent.id
            self._append(session, message, ids=[name], parent=name_of(parent))

    def append_twice(self, session: str) -> None:
        """Append a message with an id, and the same again."""
        message, name = self._message()
        message["id"] = name
        self._append(session, message, ids=[name])
        self._append(session, message, ids=[name])

    def append_under_lock(self, session: str) -> None:
        """Take the lock if it is free, append twice, and give it back."""
        if self.lock(session):
            self.append(session)
            self.append(session)
            self.unlock(session)

    def lock(self, session: str, *, wait: bool = False) -> bool:
        """Take the lock, and note which epoch it has."""
        result = self.quietly(
            lambda: self.store.acquire_lock(
                session, self.actor, wait=wait, timeout_ms=5_000 if wait else None
            )
        )
        if result is None or not result.acquired:
            return False
        self.acquired += 1
        self.epochs[session] = result.lock.epoch
        return True

    def unlock(self, session: str) -> None:
        """Give the lock back."""
        self.epochs.pop(session, None)
        self.quietly(lambda: self.store.release_lock(session, self.actor))

    def read(self, session: str) -> Any:
        """Read all messages."""
        names = lambda: [name_of(one) for one in self.store.get_messages(session)]  # noqa: E731
        return self._made("read", session, names)

    def count(self, session: str) -> Any:
        """Ask for the number of messages."""

        def ask() -> int | None:
            metadata = self.store.get_metadata(session)
            return None if metadata is None else metadata.message_count

        call = self._begin("count", session)
        try:
            count = ask()
        except SessionStoreError as error:
            self._note(error)
            call.fail(error)
        else:
            call.ok(count) if count is not None else call.fail("gone")

    def reset(self, session: str) -> Any:
        """Hide what was said so far."""
        return self._made("reset", session, lambda: self.store.reset_session(session))

    def delete(self, session: str) -> Any:
        """Delete the session."""
        done = self._made("delete", session, lambda: self.store.delete_session(session) or "gone")
        self._forget(session)
        return done

    def branch(self, session: str) -> None:
        """Make, take or remove a branch."""
        name = f"b{self.dice.randrange(3)}"
        if self.quietly(lambda: self.store.get_head(session)) is None:
            return
        known = self.quietly(lambda: self.store.get_branch(session, name))
        choice = self.dice.randrange(3)
        if choice == 0:
            self.quietly(lambda: self.store.create_branch(session, name))
        elif known and choice == 1:
            self.quietly(lambda: self.store.switch_to_branch(session, name))
        elif known:
            self.quietly(lambda: self.store.delete_branch(session, name))

    def describe(self, session: str) -> None:
        """Change what the index says of the session."""
        alias = f"{self._key}{ALIAS}{self.dice.randrange(3)}"
        choice = self.dice.randrange(3)
        if choice == 0:
            self.quietly(lambda: self.store.update_metadata(session, {"user_id": alias}))
        elif choice == 1:
            self.quietly(lambda: self.store.add_key(alias, session))
        else:
            self.quietly(lambda: self.store.remove_key(alias))

    def flush(self, _: str) -> None:
        """Bring the index to the disk."""
        snapshot = self.dice.random() < 0.5
        self.quietly(lambda: self.store.flush(snapshot=snapshot))

    def _append(self, session: str, message: dict[str, Any], **facts: Any) -> Any:
        call = lambda: self.store.append(session, message)  # noqa: E731
        return self._said_ok(self._made("append", session, call, **self._lease(session), **facts))

    def _lease(self, session: str) -> dict[str, int]:
        return {"epoch": self.epochs[session]} if session in self.epochs else {}

    def _said_ok(self, answer: Any) -> Any:
        if answer is not None:
            self.acknowledged += 1
            self._on_ack()
        return answer

    def _begin(self, kind: str, session: str, **facts: Any) -> Operation:
        return self._history(self._key).begin(self.actor, kind, session, **facts)

    def _made(self, kind: str, session: str, make: Callable[[], Any], **facts: Any) -> Any:
        """Make the call and note its end; return None if it raised."""
        appends = kind in ("append", "append_many")
        call = self._begin(kind, session, **facts)
        under_way[:] = [call] if appends else []
        try:
            result = make()
        except SessionStoreError as error:
            self._note(error)
            (call.unknown if _may_have_happened(appends, error) else call.fail)(error)
            return None
        call.ok(None if appends else result)
        return result

    def quietly(self, make: Callable[[], Any]) -> Any:
        """Make a call that the history does not judge; return None if it raised."""
        try:
            return make()
        except SessionStoreError as error:
            self._note(error)
            return None

    def _note(self, error: SessionStoreError) -> None:
        if isinstance(error, _UNEXPECTED):
            self._begin("unexpected", "", error=f"{type(error).__name__}: {error}").ok()
        session = getattr(error, "session_id", None)
        if session is not None:  # deleted, perhaps: its key is asked for anew
            self._forget(session)

    def _forget(self, session: str) -> None:
        self._sessions = {k: known for k, known in self._sessions.items() if known != session}
        self.epochs.pop(session, None)

    def _message(self) -> tuple[dict[str, Any], str]:
        self._said += 1
        name = f"{self.actor}.{self._said}"
        size = self.dice.choice((0, 20, 100, 1_000))
        return {"type": "user", "content": f"{name} {'x' * size}"}, name


def _may_have_happened(appends: bool, error: SessionStoreError) -> bool:
    if isinstance(error, AppendUnknownError):
        return True
    if appends:
        return isinstance(error, UnavailableError) and error.unknown
    return isinstance(error, FileSystemError)
