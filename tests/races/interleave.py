"""Several processes over the same files, in one thread, one file call at a time, as a seed says.

Every file call is two points at which others may run: before it takes effect, and between
its effect and its answer. There a process may die, a task may be cancelled, an answer may be lost.
"""

from collections.abc import Callable, Coroutine, Generator
from random import Random
from typing import Any, TypeVar, TypeVarTuple

from session_store.errors import ConflictError, UnavailableError
from session_store.files.filesystem import ANY, FileStats, IfVersion, Page, Traits
from session_store.files.memory import InMemoryFileSystem

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Died(BaseException):
    """This process is no more."""


class Cancelled(BaseException):
    """What a cancelled task is thrown."""


class Pause:
    """A point where any other task may go on instead."""

    def __await__(self) -> Generator[None, None, None]:
        yield


class World:
    """The disk, the clock, the dice, and the tasks of all processes."""

    def __init__(self, seed: int) -> None:
        self.dice = Random(seed)
        self.disk = InMemoryFileSystem()
        self.step = 0
        self.seconds = 0.0
        self.ids = 0
        self.deaths = self.cancels = self.faults = self.tears = 0.0
        self.rough = False
        self.writing: set[str] = set()
        self.processes: list[Process] = []

    def bytes_of(self, path: str) -> bytes:
        """Return what stands in a file, past every process."""
        file = self.disk._files.get(path)
        return bytes(file.data) if file else b""

    def names_below(self, folder: str) -> list[str]:
        """Return the files in a folder and below, past every process."""
        return [name for name in self.disk._files if name.startswith(f"{folder}/")]

    def run(self, limit: int = 40_000) -> None:
        """Step random tasks until all have ended; fails if they never do."""
        chance = self.dice.random
        tasks = [(process, task) for process in self.processes for task in process.tasks]
        while tasks:
            self.step += 1
            self.seconds += 0.001
            assert self.step < limit, "nobody gets on"
            process, task = turn = tasks[int(chance() * len(tasks))]
            try:
                if process.dead or chance() < self.deaths:
                    process.dead = True
                    task.throw(Died())
                elif chance() < self.cancels:
                    task.throw(Cancelled())
                else:
                    task.send(None)
            except (StopIteration, Died, Cancelled):
                tasks.remove(turn)


class Process:
    """One process: its tasks, and its view of the disk and the clock."""

    blocking = False
    traits = Traits(scope="host", durable=True, blocking=False)

    def __init__(self, world: World) -> None:
        self.world = world
        self.disk = world.disk
        self.dead = False
        self.tasks: list[Coroutine[Any, Any, None]] = []
        world.processes.append(self)

    async def _turn(self) -> None:
        if self.dead:
            raise Died
        await Pause()

    # What the engine takes from its surroundings

    def now_ms(self) -> int:
        return 1_700_000_000_000 + int(self.world.seconds * 1000)

    def monotonic(self) -> float:
        return self.world.seconds

    def new_id(self) -> str:
        self.world.ids += 1
        return f"i{self.world.ids:04d}"

    def token(self) -> str:
        return f"{self.world.dice.getrandbits(64):016x}"

    async def sleep(self, seconds: float) -> None:
        await self._turn()
        self.world.seconds += seconds

    def mutex(self) -> "Mutex":
        return Mutex(self)

    async def offload(self, call: Callable[[*Ts], T], *args: *Ts) -> T:
        await self._turn()
        return call(*args)

    # The files

    async def stat(self, path: str) -> FileStats:
        await self._turn()
        self._fail(path)
        return await self.disk.stat(path)

    async def exists(self, path: str) -> bool:
        await self._turn()
        return await self.disk.exists(path)

    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        await self._turn()
        self._fail(path)
        return await self.disk.read(path, start, end)

    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        await self._turn()
        stats = await self.disk.write(path, data, if_version=if_version, durable=durable)
        await self._turn()
        return stats

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        await self._turn()
        while path in self.world.writing:
            await self._turn()
        fate = self.world.dice.random() / (self.world.faults or 1e-9)
        if fate < 1:
            raise UnavailableError(path, "lost on the way", unknown=True)
        if self.world.dice.random() < self.world.tears:
            size = await self._in_two(path, data, if_size)
        else:
            size = await self.disk.append(path, data, if_size=if_size)
        if 1 <= fate < 2:
            raise UnavailableError(path, "the answer was lost", unknown=True)
        await self._turn()
        return size

    async def _in_two(self, path: str, data: bytes, if_size: int | None) -> int:
        """Let others read a part of `data` before the rest comes, if it comes at all."""
        dice = self.world.dice
        ends = [place + 1 for place, byte in enumerate(data) if byte == 10]
        cut = dice.choice((dice.randrange(len(data)), dice.choice(ends), len(data) - 1, 1))
        self.world.writing.add(path)
        try:
            size = await self.disk.append(path, data[:cut], if_size=if_size)
            await self._turn()
            if dice.random() < 0.3:
                self.dead = True
                raise Died
            try:
                return await self.disk.append(path, data[cut:], if_size=size)
            except ConflictError as error:  # it was deleted meanwhile, and so is the beginning
                raise ConflictError(path, expected=if_size, actual=error.actual) from None
        finally:
            self.world.writing.discard(path)

    async def delete(self, path: str, *, if_version: IfVersion = ANY) -> None:
        await self._turn()
        await self.disk.delete(path, if_version=if_version)
        await self._turn()

    async def delete_tree(self, path: str) -> None:
        for name in self.world.names_below(path):
            await self._turn()
            await self.disk.delete(name)
        await self._turn()
        await self.disk.delete_tree(path)

    async def list(self, path: str, *, after: str = "", limit: int = 1000) -> Page:
        await self._turn()
        return await self.disk.list(path, after=after, limit=limit)

    async def mkdir(self, path: str) -> None:
        await self.disk.mkdir(path)

    async def sync(self, path: str) -> None:
        await self._turn()
        await self.disk.sync(path)

    async def close(self) -> None:
        """The disk stays."""

    def _fail(self, path: str) -> None:
        if self.world.faults and self.world.dice.random() < self.world.faults / 4:
            raise UnavailableError(path, "not now")


class Fresh(Process):
    """A process that comes when all others have gone, and never waits."""

    blocking = True
    traits = Traits(scope="host", durable=True, blocking=True)

    async def _turn(self) -> None:
        pass


class Mutex:
    """Fair enough: the dice decide who is next."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._taken = False

    async def __aenter__(self) -> None:
        while self._taken:
            await self._process._turn()
        self._taken = True

    async def __aexit__(self, *_: object) -> None:
        self._taken = False
