"""A small but rich store as a dict of files, the same at every run, and ways to open it.

It has all that can stand in a log: messages, tool calls, batches, branches, switches, a reset,
fences, a sealed tail and other scripts; and an index with a previous snapshot and two journals.
"""

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple
from unittest.mock import patch

from session_store.files import InMemoryFileSystem
from session_store.files.filesystem import FileSystem
from session_store.index import rotation
from session_store.jsonl.lines import close_line
from session_store.model.config import StoreConfig
from session_store.model.records import Branch, Message, SessionMetadata
from session_store.runtime import BlockingRuntime, run
from session_store.store.engine import Engine
from session_store.sync import SessionStore

Image = dict[str, bytes]
"""The files of a store by their paths; a folder without files has a path that ends in `/`."""

START_MS: Final = 1_767_225_600_000
ACKNOWLEDGED_AT_LEAST: Final = 25


class Steady(BlockingRuntime):
    """A runtime without chance: its clock moves when somebody waits, its ids count."""

    def __init__(self, serial: int = 0) -> None:
        self._serial = serial << 32
        self._seconds = 0.0

    def _next(self) -> int:
        self._serial += 1
        return self._serial

    def now_ms(self) -> int:
        return START_MS + int(self._seconds * 1000) + (self._serial >> 32) * 3_600_000

    def monotonic(self) -> float:
        return self._seconds

    def new_id(self) -> str:
        self._seconds += 1
        return str(uuid.UUID(int=(0x019B76DA << 96) | (0x7 << 76) | (0x8 << 60) | self._next()))

    def token(self) -> str:
        return f"{self._next():016x}"

    async def sleep(self, seconds: float) -> None:
        self._seconds += seconds


class SessionTruth(NamedTuple):
    """What was acknowledged of a session."""

    every: list[Message]
    visible: list[Message]
    branches: list[Branch]
    metadata: SessionMetadata | None


class Truth(NamedTuple):
    """What was acknowledged of a store."""

    sessions: dict[str, SessionTruth]
    keys: dict[str, str]


class World(NamedTuple):
    """A store when it was closed, an older and a killed one of it, and what they hold.

    `main` is the session with everything in its log. `killed` was never closed: its journal
    says more than its snapshot. `deleted` was deleted.
    """

    closed: Image
    killed: Image
    older: Image
    truth: Truth
    main: str
    other: str
    deleted: str

    @property
    def log(self) -> str:
        """Where the log with everything is."""
        return f"{self.main}/messages.jsonl"


def open_store(files: FileSystem, serial: int, **config: Any) -> SessionStore:
    """Open a store without chance, as another process; `serial` tells its ids from others'."""
    settings = StoreConfig(durability="os", **config)
    store = SessionStore(files, settings)
    store._engine = Engine(files, settings, Steady(serial))
    store.init()
    return store


def loaded(image: Image) -> InMemoryFileSystem:
    """Return the files of `image`, in memory."""
    files = InMemoryFileSystem()
    for path, data in image.items():
        if path.endswith("/"):
            run(files.mkdir(path[:-1]))
        else:
            run(files.write(path, data))
    return files


def unload(files: FileSystem) -> Image:
    """Return all files."""
    return dict(_walk(files, ""))


def _walk(files: FileSystem, folder: str) -> Iterator[tuple[str, bytes]]:
    for name in run(files.list(folder, limit=1 << 20)).names:
        path = f"{folder}/{name}" if folder else name
        if name.endswith("/"):
            yield from _walk(files, path[:-1])
        else:
            yield path, run(files.read(path))


def put_in_folder(image: Image, root: Path) -> None:
    """Write the files of `image` below the folder `root`."""
    for path, data in image.items():
        place = root / path
        place.parent.mkdir(parents=True, exist_ok=True)
        if path.endswith("/"):
            place.mkdir(exist_ok=True)
        else:
            place.write_bytes(data)


@contextmanager
def early_rotation() -> Iterator[None]:
    """Rotate an index that is as small as one of a test."""
    with patch.object(rotation, "ROTATE_BYTES", 900):
        yield


def make_world(serial: int = 1) -> World:
    """Return the store: for the same `serial` the same bytes, for another another store."""
    files = InMemoryFileSystem()
    with early_rotation():
        store = open_store(files, serial)
        main, deleted = _first_half(store)
        older = unload(files)
        other = _second_half(store, files, main, deleted)
    killed = unload(files)
    truth = truth_of(store)
    with patch.object(InMemoryFileSystem, "close", _stay_open):
        store.close()
    world = World(unload(files), killed, older, truth, main, other, deleted)
    assert sum(len(session.every) for session in truth.sessions.values()) >= ACKNOWLEDGED_AT_LEAST
    assert {"sessions.json", "sessions.json.prev"} <= world.killed.keys()
    return world


async def _stay_open(self: InMemoryFileSystem) -> None:
    """Leave the files readable for those who look at them afterwards."""


def _first_half(store: SessionStore) -> tuple[str, str]:
    main = store.resolve("telegram:123")
    deleted = store.resolve("web:gone")
    store.append(deleted, {"role": "user", "content": "Forget me."})
    store.append(main, {"role": "user", "content": "Hidden by the reset. \U0001f5c4\ufe0f"})
    store.append(main, {"role": "assistant", "content": "As you like."})
    store.reset_session(main)
    store.append(main, {"role": "system", "content": "Антworte auf 日本語, \u202eplease\u0000."})
    question = store.append(main, {"role": "user", "content": 'Which "database"?\n{"id":"x"}'})
    store.append(main, {"role": "assistant", "content": "PostgreSQL."})
    other = store.append(main, {"role": "assistant", "content": "SQLite.", "parentId": question.id})
    store.create_branch(main, "small", other.id)
    store.flush(snapshot=True)
    return main, deleted


def _second_half(store: SessionStore, files: InMemoryFileSystem, main: str, deleted: str) -> str:
    store.switch_to_branch(main, "small")
    store.append_many(
        main,
        [
            {
                "type": "tool_call",
                "toolCalls": [{"id": "c1", "name": "n", "arguments": {"a": [1]}}],
            },
            {"type": "tool_result", "toolResult": {"toolCallId": "c1", "result": {"b": None}}},
            {"role": "assistant", "content": [{"type": "text", "text": "3.51.3"}]},
            {"role": "user", "content": "And the other?", "metadata": {"n": 2**53, "é": [{}]}},
        ],
    )
    store.acquire_lock(main, "worker-1")
    store.append(main, {"role": "user", "content": "Under the lock."})
    store.release_lock(main, "worker-1")
    _tear(files, main)
    store.append(main, {"role": "assistant", "content": "After the torn tail."})
    store.create_branch(main, "gone")
    store.delete_branch(main, "gone")
    store.append_many(main, [{"role": "user", "content": f"pair {n}"} for n in range(2)])
    # The files as a whole batch's last line, then single ones, leave them: both ends are met.
    other = store.resolve("telegram:456")
    store.add_key("web:ada", other)
    for n in range(8):
        store.append(other, {"role": "user", "content": f"other {n}"})
    store.update_metadata(other, {"metadata": {"title": "Ada's", "tags": ["x"]}})
    third = store.resolve("empty:session")
    store.update_metadata(third, {"userId": "nobody"})
    for n in range(6):
        store.update_metadata(other, {"userId": f"user-{n}"})
    store.delete_session(deleted)
    store.append(other, {"role": "assistant", "content": "The last."})
    store.add_key("cli:ada", other)
    store.append(main, {"role": "user", "content": "Fine.", "id": "a foreign id"})
    store.append_many(main, [{"role": "user", "content": f"last {n}"} for n in range(3)])
    return other


def _tear(files: InMemoryFileSystem, session_id: str) -> None:
    """Leave what a writer leaves that was killed inside its write."""
    line = close_line(b'{"id":"never answered","parentId":null,"type":"user","timestamp":7}')
    run(files.append(f"{session_id}/messages.jsonl", line[:40]))


def truth_of(store: SessionStore) -> Truth:
    """Return all that a store shows."""
    sessions = {
        session_id: SessionTruth(
            every=store.get_messages(session_id, include_reset=True),
            visible=store.get_messages(session_id),
            branches=store.get_branches(session_id),
            metadata=store.get_metadata(session_id),
        )
        for session_id in store.get_all_session_ids()
    }
    keys = {key: store.get_session_id(key) or "" for key in store.get_all_keys()}
    return Truth(sessions, keys)
