"""Many stores in one thread, one step at a time, in an order that a seed decides."""

from collections.abc import Callable, Coroutine, Generator
from contextlib import suppress
from random import Random
from typing import Any

from locks_kit import LOCK, LOG, SESSION, MiniStore, log_line, order_violations

from session_store.errors import LeaseLostError, NotLockOwnerError, UnavailableError
from session_store.files.filesystem import ANY, FileStats, IfVersion
from session_store.files.memory import InMemoryFileSystem
from session_store.runtime import BlockingRuntime, run

TTL_MS = 100


class Interrupted(BaseException):
    """What a cancelled task is thrown."""


class Pause:
    """A point where any other task may go on instead."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class World:
    """A clock, the dice, and the tasks; `run` lets each of them go one step at a time."""

    def __init__(self, seed: int) -> None:
        self.dice = Random(seed)
        self.seconds = 0.0
        self.files = WorldFiles(self)
        self.lost_answers = 0.0
        self.tasks: list[Coroutine[Any, Any, None]] = []

    def run(self, steps: int, interrupts: float = 0.0) -> None:
        """Step random tasks until all are done; some are stopped for a while, or for ever."""
        dice = self.dice
        chance = dice.random
        asleep: dict[Coroutine[Any, Any, None], int] = {}
        for step in range(steps):
            if not self.tasks:
                break
            self.seconds += 0.003 * chance()
            task = self.tasks[int(chance() * len(self.tasks))]
            if asleep.get(task, 0) > step:
                continue
            if chance() < 0.02:
                asleep[task] = step + dice.choice((20, 60, 200, steps))
                self.seconds += dice.choice((0.0, TTL_MS / 1000))
                continue
            try:
                if chance() < interrupts:
                    task.throw(Interrupted())
                else:
                    task.send(None)
            except (StopIteration, Interrupted):
                self.tasks.remove(task)
        for task in self.tasks:
            task.close()


class WorldFiles(InMemoryFileSystem):
    """Files where anything can happen before a call, and between its effect and its answer."""

    def __init__(self, world: World) -> None:
        super().__init__()
        self._world = world

    async def stat(self, path: str) -> FileStats:
        await Pause()
        return await super().stat(path)

    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        await Pause()
        data = await super().read(path, start, end)
        await Pause()
        return data

    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        await Pause()
        stats = await super().write(path, data, if_version=if_version, durable=durable)
        await self._answer(path)
        return stats

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        await Pause()
        size = await super().append(path, data, if_size=if_size)
        await self._answer(path)
        return size

    async def _answer(self, path: str) -> None:
        await Pause()
        if self._world.dice.random() < self._world.lost_answers:
            raise UnavailableError(path, "the answer was lost")


class WorldRuntime(BlockingRuntime):
    """The world's clock, seen through a wall clock of its own that is off by something."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._off_ms = world.dice.choice((0, 0, -TTL_MS, TTL_MS, 3_600_000))

    def now_ms(self) -> int:
        return 10_000_000 + self._off_ms + int(self._world.seconds * 1000)

    def monotonic(self) -> float:
        return self._world.seconds

    def token(self) -> str:
        return f"{self._world.dice.getrandbits(64):016x}"

    async def sleep(self, seconds: float) -> None:
        until = self._world.seconds + seconds
        await Pause()
        while self._world.seconds < until:
            await Pause()

    def mutex(self) -> "WorldMutex":
        return WorldMutex()


class WorldMutex:
    def __init__(self) -> None:
        self._taken = False

    def try_enter(self) -> bool:
        taken, self._taken = self._taken, True
        return not taken

    enter_now = try_enter

    def leave(self) -> None:
        self._taken = False

    async def __aenter__(self) -> None:
        while not self.try_enter():
            await Pause()

    async def __aexit__(self, *_: object) -> None:
        self.leave()


async def worker(world: World, store: MiniStore, owner: str) -> None:
    """Take the lock and write under it, again and again, tidily or not."""
    dice = world.dice
    for _ in range(4):
        try:
            if dice.random() < 0.7:
                result = await store.locks.wait(SESSION, owner, timeout_ms=5 * TTL_MS)
            else:
                result = await store.locks.acquire(SESSION, owner)
            if not result.acquired:
                continue
            for _ in range(dice.randrange(4)):
                await store.append(owner)
                if dice.random() < 0.3:
                    await store.locks.renew(SESSION)
            if dice.random() < 0.8:
                await store.locks.release(SESSION, owner)
        except (LeaseLostError, NotLockOwnerError, UnavailableError, Interrupted):
            await Pause()


async def reader(store: MiniStore) -> None:
    """Read the log now and then, so that fences are met outside of appends as well."""
    for _ in range(20):
        await store.catch_up()
        await Pause()


async def forcer(world: World, store: MiniStore) -> None:
    """Free the lock by force at some moment."""
    await WorldRuntime(world).sleep(world.dice.random() * 0.3)
    with suppress(UnavailableError):
        await store.locks.force_release(SESSION)


async def vandal(world: World) -> None:
    """Take away or damage the lock file."""
    for _ in range(4):
        await WorldRuntime(world).sleep(world.dice.random() * 0.2)
        if world.dice.random() < 0.5:
            await world.files.delete(LOCK)
        else:
            await InMemoryFileSystem.write(world.files, LOCK, b"\0" * 9)


def play(
    seed: int,
    *,
    fencing: bool = True,
    prepare: Callable[[MiniStore], None] | None = None,
) -> tuple[bytes, list[str]]:
    """Play one schedule; return the log, and where it shows two leases in force at once."""
    world = World(seed)
    dice = world.dice
    stores = [
        MiniStore(world.files, WorldRuntime(world), fencing=fencing, ttl_ms=TTL_MS)
        for _ in range(dice.choice((2, 3)))
    ]
    for number, store in enumerate(stores):
        if prepare is not None:
            prepare(store)
        # Some pretend to be the first after a restart, and some stores have two workers.
        owner = dice.choice((f"owner {number}", f"owner {number}", "owner 0"))
        world.tasks.append(worker(world, store, owner))
        if dice.random() < 0.3:
            world.tasks.append(worker(world, store, f"second of {number}"))
        if dice.random() < 0.5:
            world.tasks.append(reader(store))
    if dice.random() < 0.2:
        world.tasks.append(forcer(world, dice.choice(stores)))
    if dice.random() < 0.3:
        # An empty log has nothing that a lost lock file could protect.
        run(InMemoryFileSystem.append(world.files, LOG, log_line({"text": "first"})))
        world.tasks.append(vandal(world))
    world.lost_answers = dice.choice((0.0, 0.0, 0.05))
    world.run(3000, interrupts=dice.choice((0.0, 0.0, 0.01)))
    log = b"" if LOG not in world.files._files else bytes(world.files._files[LOG].data)
    return log, order_violations(log)
