"""File systems that keep the contract in odd ways: the suite must not mind, and has to go there."""

import asyncio
import threading
from typing import Any

from session_store.errors import ClosedError
from session_store.files.filesystem import ANY, FileStats, FileSystem, IfVersion, Traits
from session_store.files.memory import InMemoryFileSystem
from session_store.runtime import Runtime, run


class Memory(InMemoryFileSystem):
    """Sound: what the broken ones are made of."""

    def data_at(self, path: str) -> bytearray | None:
        file = self._files.get(path)
        return file.data if file else None


class _Passing:
    """Hands every verb on."""

    def __init__(self, files: Any) -> None:
        self._files = files

    def __getattr__(self, name: str) -> Any:
        return getattr(self._files, name)


class _NotBlocking(_Passing):
    @property
    def traits(self) -> Traits:
        facts = self._files.traits
        return Traits(scope=facts.scope, durable=facts.durable, blocking=False)


class Bound(Memory):
    """Sound: it can be bound to a runtime, and shares its files with what it was bound from."""

    blocking = True
    forgets = False

    @property
    def traits(self) -> Traits:
        return Traits(scope="process", durable=False, blocking=self.blocking)

    def bind(self, runtime: Runtime) -> FileSystem:
        bound = type(self)()
        bound.__dict__ = dict(self.__dict__) if self.forgets else self.__dict__
        passing: Any = _NotBlocking(bound)
        return passing


class Watching(Memory):
    """Sound: whoever waits is woken by each append."""

    deaf = False

    def __init__(self) -> None:
        super().__init__()
        self._news = threading.Condition()

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        size = await super().append(path, data, if_size=if_size)
        with self._news:
            self._news.notify_all()
        return size

    async def changed(self, path: str, size: int, timeout: float) -> None:
        with self._news:
            wait = (
                (lambda: False) if self.deaf else (lambda: len(self.data_at(path) or b"") != size)
            )
            self._news.wait_for(wait, timeout)


class Prompt(Memory):
    """Sound: the plain calls do what the others do."""

    def append_now(self, path: str, data: bytes, size: int) -> bool:
        if self.size_now(path) != size:
            return False
        run(super().append(path, data))
        return True

    def size_now(self, path: str) -> int | None:
        data = self.data_at(path)
        return None if data is None else len(data)

    def read_now(self, path: str, start: int, end: int) -> bytes:
        return bytes((self.data_at(path) or b"")[start:end])

    def is_now(self, path: str, size: int) -> bool:
        return self.size_now(path) == size

    def sync_now(self, path: str) -> bool:
        return self.data_at(path) is not None


class Handle(_Passing):
    """Sound: one of several on the same files; closing it closes no other."""

    closed = False

    def __getattr__(self, name: str) -> Any:
        if self.closed and name != "traits":
            raise ClosedError
        return super().__getattr__(name)

    async def close(self) -> None:
        self.closed = True


class Suspending(Memory):
    """Sound: a client that needs an event loop, and belongs to the first it meets."""

    def __init__(self) -> None:
        super().__init__()
        self._loop: Any = None

    @property
    def traits(self) -> Traits:
        return Traits(scope="process", durable=False, blocking=False)

    async def _turn(self) -> None:
        loop = asyncio.get_running_loop()
        assert self._loop in {None, loop}, "used in another event loop"
        self._loop = loop
        await asyncio.sleep(0)

    async def stat(self, path: str) -> FileStats:
        await self._turn()
        return await super().stat(path)

    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        await self._turn()
        return await super().read(path, start, end)

    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        await self._turn()
        stats = await super().write(path, data, if_version=if_version)
        await self._turn()
        return stats

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        await self._turn()
        size = await super().append(path, data, if_size=if_size)
        await self._turn()
        return size

    async def sync(self, path: str) -> None:
        await self._turn()
        await super().sync(path)


class Flat(Memory):
    """Sound: names with slashes in them, as in object storage; there are no folders."""

    def _make_folders(self, parts: Any, path: str) -> None:
        """Where would they be?"""

    def _check_is_no_folder(self, path: str) -> None:
        """There are none."""

    async def delete_tree(self, path: str) -> None:
        self._folders.add(path)
        await super().delete_tree(path)

    def _names_in(self, folder: str) -> set[str]:
        below = f"{folder}/" if folder else ""
        found = set()
        for name in self._files:
            if name.startswith(below):
                first, slash, _ = name[len(below) :].partition("/")
                found.add(first + slash)
        return found


class Disk(Memory):
    """Sound: what was not synced is gone after a power cut."""

    def __init__(self) -> None:
        super().__init__()
        self.platter: dict[str, bytes] = {}
        self._syncing = threading.Lock()

    @property
    def traits(self) -> Traits:
        return Traits(scope="process", durable=True, blocking=True)

    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        stats = await super().write(path, data, if_version=if_version)
        if durable:
            self._keep(path)
        return stats

    async def sync(self, path: str) -> None:
        await super().sync(path)
        self._keep(path)

    def _keep(self, path: str) -> None:
        with self._syncing:  # or a sync that began earlier could put back what a later one kept
            self.platter[path] = bytes(self.data_at(path) or b"")

    async def crash(self) -> FileSystem:
        after = type(self)()
        for path, data in self.platter.items():
            await after.write(path, data)
        return after
