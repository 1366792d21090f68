"""Several processes on one disk, in one thread: a seed decides who runs, dies, or loses power.

Every file call is two points at which another process may run, and at which its process may
die. The disk keeps apart what was written and what would survive a power cut.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, TypeVar, TypeVarTuple

from session_store.errors import ConflictError, UnavailableError
from session_store.files import InMemoryFileSystem, Traits
from session_store.files.filesystem import ANY, FileStats, IfVersion, Page
from session_store.index import JournalIndex
from session_store.model.records import SessionMetadata
from session_store.runtime import run

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Died(BaseException):
    """This process is no more."""


class _Switch:
    def __await__(self) -> Generator[None, None, None]:
        yield


class SimRuntime:
    """Virtual time, and chance from a seed."""

    blocking = False

    def __init__(self, world: World) -> None:
        self._world = world

    def now_ms(self) -> int:
        return 1_700_000_000_000 + self._world.steps

    def monotonic(self) -> float:
        return self._world.steps / 1000

    def new_id(self) -> str:
        self._world.ids += 1
        return f"s{self._world.ids:04d}"

    def token(self) -> str:
        return f"{self._world.random.getrandbits(64):016x}"

    async def sleep(self, seconds: float) -> None:
        await _Switch()

    def mutex(self) -> Any:
        return _Mutex()

    def event(self) -> Any:
        raise NotImplementedError

    async def offload(self, call: Callable[[*Ts], T], *args: *Ts) -> T:
        await _Switch()
        return call(*args)


class _Mutex:
    def __init__(self) -> None:
        self._held = False

    async def __aenter__(self) -> None:
        while self._held:
            await _Switch()
        self._held = True

    async def __aexit__(self, *_: object) -> None:
        self._held = False


class Disk(InMemoryFileSystem):
    """Files, and what of them a power cut would leave."""

    def __init__(self) -> None:
        super().__init__()
        self.durable: dict[str, bytes] = {}

    def keep(self, path: str) -> None:
        self.durable[path] = run(self.read(path))

    def forget(self, path: str) -> None:
        for name in [name for name in self.durable if name == path or name.startswith(f"{path}/")]:
            del self.durable[name]

    def cut_power(self, chance: random.Random) -> None:
        """Keep what is durable, and any part of what was appended since."""
        for path in list(self._files):
            kept = self.durable.get(path)
            now = bytes(self._files[path].data)
            if kept is None:
                run(self.delete(path))
            elif now != kept:
                more = now[: chance.randint(len(kept), len(now))] if now.startswith(kept) else kept
                run(self.write(path, more))
                self.durable[path] = more


class SimFiles:
    """One process' view of the disk."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._disk = world.disk

    @property
    def traits(self) -> Traits:
        return Traits(scope="host", durable=True, blocking=False)

    async def stat(self, path: str) -> FileStats:
        await _Switch()
        return await self._disk.stat(path)

    async def exists(self, path: str) -> bool:
        await _Switch()
        return await self._disk.exists(path)

    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        await _Switch()
        return await self._disk.read(path, start, end)

    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        await _Switch()
        stats = await self._disk.write(path, data, if_version=if_version)
        self._disk.keep(path)
        await _Switch()
        return stats

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        await _Switch()
        assert if_size, "a journal is never appended with if_size=0"
        fate = self._world.random.random()
        if fate < self._world.faults:
            await self._torn(path, data, if_size)
        if fate < 2 * self._world.faults:
            raise UnavailableError(path, "lost before", unknown=True)
        size = await self._disk.append(path, data, if_size=if_size)
        await _Switch()
        if fate < 3 * self._world.faults:
            raise UnavailableError(path, "lost behind", unknown=True)
        return size

    async def _torn(self, path: str, data: bytes, if_size: int) -> None:
        part = data[: self._world.random.randint(0, len(data))]
        with suppress(ConflictError):
            await self._disk.append(path, part, if_size=if_size)
        raise Died

    async def delete(self, path: str, *, if_version: IfVersion = ANY) -> None:
        await _Switch()
        await self._disk.delete(path, if_version=if_version)
        self._disk.forget(path)
        await _Switch()

    async def delete_tree(self, path: str) -> None:
        await _Switch()
        await self._disk.delete_tree(path)
        self._disk.forget(path)
        await _Switch()

    async def list(self, path: str, *, after: str = "", limit: int = 1000) -> Page:
        await _Switch()
        return await self._disk.list(path, after=after, limit=limit)

    async def mkdir(self, path: str) -> None:
        await self._disk.mkdir(path)

    async def sync(self, path: str) -> None:
        await _Switch()
        await self._disk.sync(path)
        self._disk.keep(path)
        await _Switch()

    async def close(self) -> None:
        pass


@dataclass
class World:
    """The disk, the dice, and everything that anybody was ever told."""

    seed: int
    faults: float = 0.004
    steps: int = 0
    ids: int = 0
    disk: Disk = field(default_factory=Disk)
    shared: dict[str, str] = field(default_factory=dict)
    alive: set[str] = field(default_factory=set)
    deleting: set[str] = field(default_factory=set)
    deleted: set[str] = field(default_factory=set)
    own_keys: dict[str, set[str | None]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.random = random.Random(self.seed)

    def open(self) -> JournalIndex:
        files = SimFiles(self)
        return JournalIndex(
            files, SimRuntime(self), commit=files.sync, recount=self._recount, save_delay_ms=20
        )

    async def _recount(self, session_id: str) -> SessionMetadata | None:
        return SessionMetadata(session_id=session_id, created_at=1, updated_at=1)


async def live(world: World, name: str, operations: int) -> None:
    """Be a process: open the index, do this and that, and check every answer."""
    index = world.open()
    await index.load()
    for _ in range(operations):
        action = world.random.choice(ACTIONS)
        await action(world, index, name)
    if world.random.random() < 0.5:
        await index.close()


async def resolve_shared(world: World, index: JournalIndex, name: str) -> None:
    key = f"shared:{world.random.randrange(6)}"
    found = await _resolve(world, index, key)
    assert world.shared.setdefault(key, found) == found, "two resolvers disagree"
    world.alive.add(found)


async def _resolve(world: World, index: JournalIndex, key: str) -> str:
    known = await index.resolve_key(key)
    if known is not None:
        return known
    runtime = SimRuntime(world)
    metadata = SessionMetadata(session_id=runtime.new_id(), created_at=1, updated_at=1)
    return await index.register(metadata.session_id, key, metadata)


async def make(world: World, index: JournalIndex, name: str) -> None:
    session_id = SimRuntime(world).new_id()
    metadata = SessionMetadata(session_id=session_id, created_at=1, updated_at=1)
    await index.register(session_id, None, metadata)
    await SimFiles(world).write(f"{session_id}/messages.jsonl", b"{}\n")
    world.alive.add(session_id)


async def delete(world: World, index: JournalIndex, name: str) -> None:
    before = sorted(world.alive - world.deleting - set(world.shared.values()))
    if not before:
        return
    session_id = world.random.choice(before)
    world.deleting.add(session_id)
    world.alive.discard(session_id)
    assert await index.delete(session_id)
    world.deleted.add(session_id)
    if world.random.random() < 0.7:
        await SimFiles(world).delete_tree(session_id)
    assert not await index.has(session_id)


async def change_key(world: World, index: JournalIndex, name: str) -> None:
    key, targets = f"own:{name}", sorted(world.shared.values())
    possible = world.own_keys.setdefault(key, {None})
    found = await index.resolve_key(key)
    assert found in possible, "a change of a key was lost"
    world.own_keys[key] = {found}
    target = world.random.choice([None, *targets])
    world.own_keys[key].add(target)
    if target is None:
        await index.remove_key(key)
    else:
        await index.add_key(key, target)
    world.own_keys[key] = {target}


async def look(world: World, index: JournalIndex, name: str) -> None:
    alive, deleted = sorted(world.alive), sorted(world.deleted)
    if alive:
        session_id = world.random.choice(alive)
        assert await index.has(session_id) or session_id in world.deleting, "a session was lost"
    if deleted:
        assert not await index.has(world.random.choice(deleted)), "a delete came back"


async def note(world: World, index: JournalIndex, name: str) -> None:
    if world.alive:
        await index.note_append(world.random.choice(sorted(world.alive)), world.steps, None)


async def save(world: World, index: JournalIndex, name: str) -> None:
    await index.flush(snapshot=world.random.random() < 0.5)


ACTIONS = (
    [resolve_shared] * 4
    + [make] * 3
    + [delete, change_key, change_key]
    + [
        look,
        note,
        save,
    ]
)


def simulate(seed: int, *, processes: int = 3, lives: int = 4, operations: int = 8) -> World:
    """Let processes live and die on one disk; return the world after the last of them."""
    world = World(seed)
    waiting = [f"p{number}" for number in range(processes)] * lives
    running: dict[str, Coroutine[Any, Any, None]] = {}
    try:
        while waiting or running:
            for name in list(waiting):
                if name not in running:
                    waiting.remove(name)
                    running[name] = live(world, name, operations)
            _step(world, running)
            assert world.steps < 200_000, "nothing comes to an end"
    finally:
        for coroutine in running.values():
            coroutine.close()
    world.faults = 0
    judge(world)
    return world


def _step(world: World, running: dict[str, Coroutine[Any, Any, None]]) -> None:
    """Let one of them run up to its next file call, or die; or take the power from all."""
    dice = world.random
    world.steps += 1
    fate = dice.random()
    name = dice.choice(list(running))
    if fate < 0.0005:
        while running:
            running.popitem()[1].close()
        world.disk.cut_power(dice)
    elif fate < 0.002:
        running.pop(name).close()
    else:
        try:
            running[name].send(None)
        except (StopIteration, Died):
            del running[name]
        except UnavailableError as error:
            # Unknown to the end: as good as dead.
            assert error.unknown
            del running[name]


def judge(world: World) -> None:
    """Check what is on the disk against all that anybody was told; then without the snapshot."""
    _check(world)
    data = run(world.disk.read("sessions.json"))
    run(world.disk.write("sessions.json", data[: len(data) // 2]))
    _check(world)


def _check(world: World) -> None:
    index = world.open()
    finished(index.load())
    ids = set(finished(index.all_ids()))
    assert world.alive <= ids, "a session was lost"
    assert not world.deleted & ids, "a delete came back"
    for key, session_id in world.shared.items():
        assert finished(index.resolve_key(key)) == session_id, "a key was lost"
    for key, possible in world.own_keys.items():
        assert finished(index.resolve_key(key)) in possible, "a change of a key was lost"
    # A write that was torn while it sealed another leaves a line that is none.
    errors = [
        found
        for found in finished(index.findings())
        if found.severity == "error" and found.code != "damaged_line"
    ]
    assert not errors, errors
    finished(index.close())


def finished(coroutine: Coroutine[Any, Any, Any]) -> Any:
    """Run one coroutine alone, to its end."""
    while True:
        try:
            coroutine.send(None)
        except StopIteration as done:
            return done.value


__all__ = ["World", "simulate"]
