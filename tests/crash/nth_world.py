"""Stores to break: on a disk that can be copied, with a clock and ids that repeat themselves."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

from session_store import SessionStore, StoreConfig
from session_store.files.filesystem import FileSystem
from session_store.files.memory import InMemoryFileSystem, _File
from session_store.index import rotation
from session_store.model.records import Message
from session_store.runtime import InPlace, run
from session_store.store import aio, blocking
from session_store.store.checking import CheckReport
from session_store.store.engine import Engine
from session_store.sync import SessionStore as BlockingStore

HOUR_MS = 3_600_000
START_MS = 1_700_000_000_000
LATER_MS = START_MS + HOUR_MS
IO_TIMEOUT_MS = 40
MOST_SECONDS = 20.0
ROTATE_AT_ONCE = 300


class Disk(InMemoryFileSystem):
    """Files that several stores share, and that can be copied."""

    def clone(self) -> "Disk":
        copy = Disk()
        copy._folders = set(self._folders)
        copy._versions = self._versions
        for path, file in self._files.items():
            twin = copy._files[path] = _File(bytearray(file.data))
            twin.version, twin.mtime_ms = file.version, file.mtime_ms
        return copy

    def content(self) -> int:
        """Return what is the same for two disks with the same files."""
        return hash((*((path, bytes(file.data)) for path, file in sorted(self._files.items())),))

    async def close(self) -> None:
        """Others go on using it."""


class HeldError(AssertionError):
    """Somebody waits for a mutex that nobody will give back."""


class StuckError(AssertionError):
    """Something waits for what will never come."""


class Mutex:
    """One that says so at once if it would be waited for: all here is one thread, one task."""

    def __init__(self) -> None:
        self._held = False

    async def __aenter__(self) -> None:
        self.enter_now()

    async def __aexit__(self, *_: object) -> None:
        self.leave()

    def enter_now(self) -> bool:
        if self._held:
            raise HeldError("a mutex was left behind")
        self._held = True
        return True

    def try_enter(self) -> bool:
        return not self._held and self.enter_now()

    def leave(self) -> None:
        self._held = False


class StepRuntime:
    """Time passes by looking at it and by waiting; ids are numbers behind a name."""

    def __init__(self, name: str, *, now_ms: int, blocking: bool = True) -> None:
        self.blocking = blocking
        self._name = name
        self._began_ms = now_ms
        self._passed = 0.0
        self._numbers = 0

    def now_ms(self) -> int:
        self._pass(0.001)
        return self._began_ms + int(self._passed * 1000)

    def monotonic(self) -> float:
        self._pass(0.001)
        return self._passed

    def new_id(self) -> str:
        self._numbers += 1
        return f"{self._name}{self._numbers:06d}"

    def token(self) -> str:
        self._numbers += 1
        return f"{hash(self._name) % 16**6:06x}{self._numbers:010x}"

    async def sleep(self, seconds: float) -> None:
        self._pass(seconds)
        if not self.blocking:
            await asyncio.sleep(0)

    def mutex(self) -> Any:
        return Mutex()

    def event(self) -> Any:
        raise HeldError("a group was left behind")

    def _pass(self, seconds: float) -> None:
        self._passed += seconds
        if self._passed > MOST_SECONDS:
            raise StuckError("it goes on for ever")

    async def offload(self, call: Callable[..., Any], *args: Any) -> Any:
        if not self.blocking:
            await asyncio.sleep(0)
        return call(*args)


@dataclass(frozen=True)
class World:
    """What is there before an operation: the files, and how the store comes to them."""

    name: str
    disk: Disk
    session: str = "none"
    other: str = "none"
    findings: frozenset[str] = frozenset()
    rotate_bytes: int = rotation.ROTATE_BYTES
    holds_lock: bool = False

    def rotating(self) -> Any:
        """Let journals be replaced as early as this world wants it, inside of `with`."""
        return patch.object(rotation, "ROTATE_BYTES", self.rotate_bytes)


def config(**fields: Any) -> StoreConfig:
    return StoreConfig(io_timeout_ms=IO_TIMEOUT_MS, poll_interval_ms=1, **fields)


def open_store(
    face: str, files: FileSystem, name: str, *, now_ms: int, **fields: Any
) -> BlockingStore | SessionStore:
    runtime = StepRuntime(name, now_ms=now_ms, blocking=face == "blocking")
    if face == "blocking":
        driver = InPlace()
        driver.runtime = runtime
        with patch.object(blocking, "driver_of", lambda _: driver):
            return BlockingStore(files, config(**fields))
    with patch.object(aio, "AsyncRuntime", lambda: runtime):
        return SessionStore(files, config(**fields))


def open_engine(files: FileSystem, name: str, *, now_ms: int = LATER_MS + 10_000) -> Engine:
    """Return a store as another process would open it; drive it with `run`."""
    return Engine(files, config(), StepRuntime(name, now_ms=now_ms))


def said(message: Message) -> str:
    """Return what tells one message from the others, whatever its id is."""
    content = str(message.content)
    return content if len(content) < 80 else f"{content[:20]}… {len(content)}"


async def shown(store: Engine) -> dict[str, Any]:
    """Return all that a store answers, with messages and sessions named by what people see."""
    sessions: dict[str, Any] = {}
    for session_id in sorted(await store.get_all_session_ids()):
        keys = sorted(await store.get_session_keys(session_id))
        everything = await store.get_messages(session_id, include_reset=True)
        names: dict[str | None, str | None] = {None: None}
        names |= {message.id: said(message) for message in everything}
        metadata = await store.get_metadata(session_id)
        lock = await store.get_lock(session_id)
        head = await store.get_head(session_id)

        def named(messages: list[Message], names: dict[Any, Any] = names) -> list[Any]:
            return [names.get(message.id, message.id) for message in messages]

        sessions[keys[0] if keys else session_id] = {
            "keys": keys,
            "all": [
                (said(m), names.get(m.parent_id, m.parent_id), m.type, m.branch, m.batch)
                for m in everything
            ],
            "visible": named(await store.get_messages(session_id)),
            "head": names.get(head, head),
            "history": named(await store.get_linear_history(session_id)),
            "last": named(await store.get_linear_history(session_id, limit=2)),
            "roots": named(await store.get_children(session_id, None)),
            "tree": named(await store.get_tree(session_id)),
            "branches": [
                (
                    branch.name,
                    names.get(branch.leaf_message_id),
                    [names.get(i) for i in branch.path],
                )
                for branch in await store.get_branches(session_id)
            ],
            "count": metadata and metadata.message_count,
            "user": metadata and metadata.user_id,
            "lock": lock and lock.owner_id,
        }
    return {"sessions": sessions, "keys": sorted(await store.get_all_keys())}


def trouble(report: CheckReport) -> set[str]:
    """Return the codes of the findings that are more than a remark."""
    return {found.code for found in report.findings if found.severity != "info"}


# The worlds


def nothing() -> World:
    return World("nothing", Disk())


def new() -> World:
    disk = Disk()
    store = open_engine(disk, "n", now_ms=START_MS)
    session = run(store.resolve("k"))
    return World("new", disk, session)


def rich() -> World:
    """A session with all that a log can hold, an old lease, and two journals behind it."""
    disk = Disk()
    session, other = run(_live(disk))
    return World("rich", disk, session, other)


async def _live(disk: Disk) -> tuple[str, str]:
    store = open_engine(disk, "r", now_ms=START_MS)
    session = await store.resolve("k")
    other = await store.resolve("o")
    gone = await store.resolve("gone")
    await store.append(gone, {"id": "g1", "type": "user", "content": "gone"})
    await store.append(other, {"id": "o1", "type": "user", "content": "other one"})
    await _say(store, session, "m1", "hidden one")
    await _say(store, session, "m2", "hidden two")
    await store.reset_session(session)
    await _say(store, session, "m3", "three")
    await _say(store, session, "m4", "four")
    await store.append_many(
        session,
        [
            {"id": "b1", "type": "tool_call", "content": "batch one"},
            {"id": "b2", "type": "tool_result", "content": "batch two"},
        ],
    )
    await store.create_branch(session, "side", "m4")
    await store.create_branch(session, "dead", "m3")
    await store.switch_to_branch(session, "side")
    await _say(store, session, "m5", "five, on the side")
    await store.delete_branch(session, "dead")
    await disk.append(f"{session}/messages.jsonl", b'{"id":"torn","type":"us')
    await _say(store, session, "m6", "six, behind a seal")
    with patch.object(rotation, "ROTATE_BYTES", 1):
        await store.update_metadata(session, {"userId": "ann"})
        await store.add_key("k2", session)
    await store.delete_session(gone)
    # Its lease is over as soon as somebody looks.
    runtime = StepRuntime("g", now_ms=START_MS)
    ghost = Engine(disk, config(lock_timeout_ms=10), runtime)
    await ghost.acquire_lock(session, "ghost")
    await store.append(other, {"id": "o2", "type": "assistant", "content": "other two"})
    return session, other


async def _say(store: Engine, session: str, name: str, text: str) -> None:
    await store.append(session, {"id": name, "type": "user", "content": text})


def long() -> World:
    """A log whose end alone does not tell everything."""
    world = rich()
    store = open_engine(world.disk, "l", now_ms=START_MS + HOUR_MS // 2)
    for number in range(3):
        text = f"long {number} {'x' * 30_000}"
        run(_say(store, world.session, f"l{number}", text))
    run(store.switch_to_branch(world.session, "side"))
    return World("long", world.disk, world.session, world.other)


def torn() -> World:
    """Writes were cut off: of a message, of a branch, and of a change of the index."""
    world = rich()
    disk = world.disk
    run(disk.append(f"{world.session}/messages.jsonl", b'{"id":"x1","type":"user","batch":[1,2]'))
    run(disk.append(f"{world.session}/branches.jsonl", b'{"name":"hal'))
    journal = max(name for name in disk._files if name.startswith("sessions.") and "jsonl" in name)
    run(disk.append(journal, b'{"op":"register","at":1'))
    findings = frozenset({"torn_tail"})
    return World("torn", disk, world.session, world.other, findings)


def due() -> World:
    """The next change of the index begins a new journal."""
    world = rich()
    return World("due", world.disk, world.session, world.other, rotate_bytes=ROTATE_AT_ONCE)


def foreign() -> World:
    """The original has written the snapshot since."""
    world = rich()
    snapshot = json.loads(bytes(world.disk._files["sessions.json"].data))
    del snapshot["crc"]
    data = json.dumps(snapshot, indent=2).encode()
    run(world.disk.write("sessions.json", data))
    return World("foreign", world.disk, world.session, world.other)


def damaged() -> World:
    """The snapshot is lost."""
    world = rich()
    run(world.disk.write("sessions.json", b"\0" * 100))
    return World("damaged", world.disk, world.session, world.other, frozenset({"snapshot_rebuilt"}))


def held() -> World:
    """The store holds the lock of the session."""
    world = rich()
    return World("held", world.disk, world.session, world.other, holds_lock=True)


WORLDS: dict[str, Callable[[], World]] = {
    make.__name__: make for make in (nothing, new, rich, long, torn, due, foreign, damaged, held)
}

Act = Callable[[Any], Awaitable[Any]]
