"""One simulated process: its runtime, and its view of the files, with all that can go wrong."""

from collections.abc import Callable
from typing import TypeVar, TypeVarTuple

from session_store.errors import ConflictError, StorageFullError, UnavailableError
from session_store.files.filesystem import ANY, FileStats, IfVersion, Page, Traits

from .disk import Inode, folder_of
from .world import Cancelled, Died, Pause, Task, World

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

_PAUSE = Pause()
_TRAITS = Traits(scope="host", durable=True, blocking=False)


class Process:
    """One process: its tasks, its view of the disk (a `FileSystem`) and its `Runtime`."""

    blocking = False
    traits = _TRAITS

    def __init__(self, world: World) -> None:
        self.world = world
        self.disk = world.disk
        self.name = f"p{len(world.processes)}"
        self.dead = False
        self.wakes = 0
        self.tasks: list[Task] = []
        self._named: set[Inode] = set()
        """The files whose names this process has synced."""
        self._given_up: set[Inode] = set()
        world.processes.append(self)

    async def _turn(self) -> None:
        self.world.calls += 1
        if self.dead:
            raise Died
        await _PAUSE
        if self.dead:
            raise Died

    # What the engine takes from its surroundings

    def now_ms(self) -> int:
        """Return the wall clock of the machine, which may jump."""
        return self.world.wall_ms + int(self.world.seconds * 1000)

    def monotonic(self) -> float:
        """Return a clock that never goes back."""
        return self.world.seconds

    def new_id(self) -> str:
        """Return the next id."""
        self.world.ids += 1
        return f"i{self.world.ids:04d}"

    def token(self) -> str:
        """Return chance, as the seed has it."""
        return f"{self.world.dice.getrandbits(64):016x}"

    async def sleep(self, seconds: float) -> None:
        """Let others run; the time passes for all."""
        await self._turn()
        self.world.seconds += seconds

    def mutex(self) -> "Mutex":
        """Return a lock for the tasks of this process."""
        return Mutex(self)

    def event(self) -> "Event":
        """Return an event for the tasks of this process."""
        return Event(self)

    async def offload(self, call: Callable[[*Ts], T], *args: *Ts) -> T:
        """Return what `call` gives, while others run."""
        await self._turn()
        return call(*args)

    # The files

    async def stat(self, path: str) -> FileStats:
        """See `FileSystem.stat`."""
        await self._turn()
        self._fail(path)
        return self.disk.find(path).stats()

    async def exists(self, path: str) -> bool:
        """See `FileSystem.exists`."""
        await self._turn()
        return path in self.disk.files

    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        """See `FileSystem.read`."""
        await self._turn()
        self._fail(path)
        return self.disk.find(path).data[start:end]

    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        """See `FileSystem.write`; between its rename and its answer the name is not durable."""
        await self._turn()
        self._fail(path)
        stats = self.disk.replace(path, data, if_version, durable)
        await self._turn()
        if durable:
            self.disk.sync_folder(folder_of(path))
        return stats

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        """See `FileSystem.append`."""
        world = self.world
        await self._turn()
        while path in world.writing:
            await self._turn()
        self._refuse_given_up(path)
        if not (world.ambush or world.faults or world.tears):
            size = self.disk.append(path, data, if_size)
            await self._turn()
            return size
        return await self._append_roughly(path, data, if_size)

    async def _append_roughly(self, path: str, data: bytes, if_size: int | None) -> int:
        world, ambush = self.world, self._ambushed(*_APPEND_AMBUSHES)
        fate = world.dice.random() / (world.faults or 1e-9)
        if ambush == "lost_request" or fate < 1:
            raise UnavailableError(path, "lost on the way", unknown=True)
        if ambush == "refused":
            raise UnavailableError(path, "not now")
        if ambush == "full":
            raise StorageFullError(path, "the disk is full")
        if ambush.startswith("torn") or world.dice.random() < world.tears:
            size = await self._in_two(path, data, if_size, ambush)
        else:
            size = self.disk.append(path, data, if_size)
        if ambush == "lost_answer" or 1 <= fate < 2:
            raise UnavailableError(path, "the answer was lost", unknown=True)
        if ambush == "stop":
            self.stop()
        await self._turn()
        return size

    async def _in_two(self, path: str, data: bytes, if_size: int | None, ambush: str) -> int:
        """Let others read a part of `data` before the rest comes, if it comes at all."""
        dice, world = self.world.dice, self.world
        ends = [place + 1 for place, byte in enumerate(data) if byte == 10]
        cut = dice.choice((dice.randrange(len(data)), dice.choice(ends), len(data) - 1, 1))
        size = self.disk.append(path, data[:cut], if_size)
        world.writing.add(path)
        try:
            await self._turn()
            if ambush == "torn_death" or (not ambush and dice.random() < 0.3):
                world.kill(self)
                raise Died
            try:
                return self.disk.append(path, data[cut:], size)
            except ConflictError as error:  # it was deleted meanwhile, and so is the beginning
                raise ConflictError(path, expected=if_size, actual=error.actual) from None
        except (Died, Cancelled):
            self.disk.hole(path, size - cut, size)
            raise
        finally:
            world.writing.discard(path)

    async def delete(self, path: str, *, if_version: IfVersion = ANY) -> None:
        """See `FileSystem.delete`; until its answer the file may come back."""
        await self._turn()
        self._fail(path)
        self.disk.delete(path, if_version)
        await self._turn()
        self.disk.sync_folder(folder_of(path))

    async def delete_tree(self, path: str) -> None:
        """See `FileSystem.delete_tree`, one name after the other."""
        for name in self.disk.below(path):
            await self._turn()
            self.disk.delete(name)
        await self._turn()
        # What was made meanwhile belongs to the next folder of this name.
        self.disk.remove_folder(path)
        await self._turn()
        for name in [name for name in self.disk.before if name.startswith(f"{path}/")]:
            if name not in self.disk.files:
                del self.disk.before[name]
        self.disk.sync_folder(folder_of(path))

    async def list(self, path: str, *, after: str = "", limit: int = 1000) -> Page:
        """See `FileSystem.list`."""
        await self._turn()
        return self.disk.page(path, after, limit)

    async def mkdir(self, path: str) -> None:
        """See `FileSystem.mkdir`."""
        self.disk.make_folder(path)

    async def sync(self, path: str) -> None:
        """See `FileSystem.sync`; the name of a file is synced once by each process."""
        await self._turn()
        self._refuse_given_up(path)
        inode = self.disk.find(path)
        if self.world.ambush and self._ambushed("fsync_fails"):
            self.disk.drop_pages(path)
        if inode.failed:
            self._given_up.add(inode)
            self._refuse_given_up(path)
        inode.synced = len(inode.data)
        if inode not in self._named:
            self._named.add(inode)
            self.disk.sync_folder(folder_of(path))
        await self._turn()

    async def close(self) -> None:
        """Leave the disk as it is."""

    # What goes wrong

    def stop(self) -> None:
        """Be stopped for long, in the midst of what it does, and go on as if nothing were."""
        self.world.tell(f"** {self.name} is stopped")
        self.wakes = self.world.step + 60
        self.world.seconds += 0.1

    def _fail(self, path: str) -> None:
        world = self.world
        if world.ambush and self._ambushed("refused"):
            raise UnavailableError(path, "not now")
        if world.faults and world.dice.random() < world.faults / 4:
            raise UnavailableError(path, "not now")

    def _ambushed(self, *kinds: str) -> str:
        """Return which of these lies in wait for this call; it strikes once."""
        found = self.world.ambush
        if found not in kinds:
            return ""
        self.world.ambush = ""
        self.world.tell(f"** {self.name}: {found.replace('_', ' ')}")
        return found

    def _refuse_given_up(self, path: str) -> None:
        """Refuse an inode whose fsync failed and which nobody could save (A7)."""
        if self._given_up and self.disk.files.get(path) in self._given_up:
            raise UnavailableError(path, "the disk failed, so nothing more is written to it")


_APPEND_AMBUSHES = (
    "lost_request",
    "lost_answer",
    "full",
    "torn_death",
    "torn_pause",
    "stop",
    "refused",
)


class Brisk(Process):
    """A process whose files answer at once where nothing can go wrong (`Direct`)."""

    def append_now(self, path: str, data: bytes, size: int) -> bool:
        """See `Direct.append_now`."""
        world = self.world
        world.calls += 1
        if self.dead:
            raise Died
        inode = self.disk.files.get(path)
        if inode is None or len(inode.data) != size or path in world.writing:
            return False
        if world.ambush or world.faults or world.tears or inode in self._given_up:
            return False
        self.disk.append(path, data, size)
        return True

    def size_now(self, path: str) -> int | None:
        """See `Direct.size_now`."""
        inode = self.disk.files.get(path)
        return None if inode is None else len(inode.data)

    def read_now(self, path: str, start: int, end: int) -> bytes:
        """See `Direct.read_now`."""
        inode = self.disk.files.get(path)
        return b"" if inode is None else bytes(inode.data[start:end])

    def is_now(self, path: str, size: int) -> bool:
        """See `Direct.is_now`."""
        return self.size_now(path) == size

    def sync_now(self, path: str) -> bool:
        """See `Direct.sync_now`; what it would do, `sync` does."""
        return False


class Fresh(Process):
    """A process that comes when all others have gone, and never waits."""

    blocking = True
    traits = Traits(scope="host", durable=True, blocking=True)

    async def _turn(self) -> None:
        pass

    # What is asked most, without what could go wrong with it.

    async def stat(self, path: str) -> FileStats:
        """See `FileSystem.stat`."""
        return self.disk.find(path).stats()

    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        """See `FileSystem.read`."""
        return self.disk.find(path).data[start:end]


class Event:
    """An event for the tasks of one process."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._set = False

    def set(self) -> None:
        """See `session_store.runtime.Event.set`."""
        self._set = True

    async def wait(self) -> None:
        """See `session_store.runtime.Event.wait`."""
        while not self._set:
            await self._process._turn()


class Mutex:
    """Fair enough: the dice decide who is next."""

    __slots__ = ("_process", "_taken")

    def __init__(self, process: Process) -> None:
        self._process = process
        self._taken = False

    def try_enter(self) -> bool:
        """Take it if it is free."""
        taken, self._taken = self._taken, True
        return not taken

    enter_now = try_enter

    def leave(self) -> None:
        """Give it back."""
        self._taken = False

    async def __aenter__(self) -> None:
        while not self.try_enter():
            await self._process._turn()

    async def __aexit__(self, *_: object) -> None:
        self._taken = False
