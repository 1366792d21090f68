"""The disk of the simulation as a file system by itself: what is lost in its power cuts is mean.

The simulation leaves out what a store never asks for (bad paths, deep folders, the end of a
file system); that is added here, and the rest is its own.
"""

from session_store.errors import ClosedError
from session_store.files.filesystem import ANY, FileStats, IfVersion, Page
from session_store.files.paths import check_path
from session_store.testing.simulation import Process, World


class Simulated(Process):
    """One process on the disk of a world; names have slashes in them, and no folders are kept."""

    def __init__(self, world: World) -> None:
        super().__init__(world)
        self._closed = False

    def after_power_cut(self) -> "Simulated":
        """Return a process on what the power cut left."""
        disk, _ = self.world.disk.cut_power(self.world.dice)
        return Simulated(World(self.world.dice.getrandbits(32), disk))

    async def stat(self, path: str) -> FileStats:
        self._enter(path)
        stats = await super().stat(path)
        return FileStats(size=stats.size, mtime_ms=self.now_ms(), version=stats.version)

    async def exists(self, path: str) -> bool:
        self._enter(path)
        return await super().exists(path)

    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        self._enter(path)
        return await super().read(path, start, end)

    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        self._enter(path)
        return await super().write(path, data, if_version=if_version, durable=durable)

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        self._enter(path)
        return await super().append(path, data, if_size=if_size)

    async def delete(self, path: str, *, if_version: IfVersion = ANY) -> None:
        self._enter(path)
        await super().delete(path, if_version=if_version)

    async def delete_tree(self, path: str) -> None:
        self._enter(path)
        await super().delete_tree(path)

    async def list(self, path: str, *, after: str = "", limit: int = 1000) -> Page:
        self._enter(path or "root")
        below = f"{path}/" if path else ""
        parts = [
            name[len(below) :].partition("/") for name in self.disk.files if name.startswith(below)
        ]
        names = sorted({first + slash for first, slash, _ in parts if first + slash > after})
        return Page(names[:limit], after=names[limit - 1] if len(names) > limit else None)

    async def mkdir(self, path: str) -> None:
        self._enter(path or "root")

    async def sync(self, path: str) -> None:
        self._enter(path)
        await super().sync(path)

    async def close(self) -> None:
        self._closed = True

    def _enter(self, path: str) -> None:
        if self._closed:
            raise ClosedError
        check_path(path)
