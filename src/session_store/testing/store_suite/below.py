"""A file system below a folder of another: a fresh root for each test on one shared engine."""

from collections.abc import Awaitable
from typing import TypeVar, cast

from session_store.errors import ClosedError, FileSystemError
from session_store.files.filesystem import (
    ANY,
    Bindable,
    FileStats,
    FileSystem,
    IfVersion,
    Page,
    Traits,
    Watch,
)
from session_store.files.paths import check_path
from session_store.index.manager import OwnIndex, Recount, SessionIndexManager
from session_store.runtime import Runtime

T = TypeVar("T")


class Life:
    """Whether those that were bound to one another are closed; they are together."""

    def __init__(self) -> None:
        self.closed = False


class Below:
    """What lies in one folder of `files`; closing it leaves `files` open unless it owns them."""

    def __init__(
        self, files: FileSystem, folder: str, *, owned: bool = False, life: Life | None = None
    ) -> None:
        self.files = files
        self.folder = folder
        self.owned = owned
        self.life = life or Life()

    @property
    def traits(self) -> Traits:
        """Facts about this engine."""
        return self.files.traits

    async def stat(self, path: str) -> FileStats:
        """See `FileSystem.stat`."""
        return await self._told(self.files.stat(self.path(path)))

    async def exists(self, path: str) -> bool:
        """See `FileSystem.exists`."""
        return await self._told(self.files.exists(self.path(path)))

    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        """See `FileSystem.read`."""
        return await self._told(self.files.read(self.path(path), start, end))

    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        """See `FileSystem.write`."""
        return await self._told(
            self.files.write(self.path(path), data, if_version=if_version, durable=durable)
        )

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        """See `FileSystem.append`."""
        return await self._told(self.files.append(self.path(path), data, if_size=if_size))

    async def delete(self, path: str, *, if_version: IfVersion = ANY) -> None:
        """See `FileSystem.delete`."""
        await self._told(self.files.delete(self.path(path), if_version=if_version))

    async def delete_tree(self, path: str) -> None:
        """See `FileSystem.delete_tree`."""
        await self._told(self.files.delete_tree(self.path(path)))

    async def list(self, path: str, *, after: str = "", limit: int = 1000) -> Page:
        """See `FileSystem.list`."""
        return await self._told(self.files.list(self._folder(path), after=after, limit=limit))

    async def mkdir(self, path: str) -> None:
        """See `FileSystem.mkdir`."""
        await self._told(self.files.mkdir(self._folder(path)))

    async def sync(self, path: str) -> None:
        """See `FileSystem.sync`."""
        await self._told(self.files.sync(self.path(path)))

    async def close(self) -> None:
        """See `FileSystem.close`."""
        self.life.closed = True
        if self.owned:
            await self.files.close()

    def path(self, path: str) -> str:
        """Return where `path` is on the engine; raises what every file system raises."""
        if self.life.closed:
            raise ClosedError
        check_path(path)
        return f"{self.folder}/{path}" if self.folder else path

    async def _told(self, call: Awaitable[T]) -> T:
        """Return what `call` returns; an error names the path that was asked for."""
        try:
            return await call
        except FileSystemError as error:
            if self.folder:
                error.path = error.path.removeprefix(f"{self.folder}/")
            raise

    def _folder(self, path: str) -> str:
        if path:
            return self.path(path)
        if self.life.closed:
            raise ClosedError
        return self.folder


class _Bindable(Below):
    def bind(self, runtime: Runtime) -> FileSystem:
        """See `Bindable.bind`."""
        assert isinstance(self.files, Bindable)
        bound = self.files.bind(runtime)
        return below(bound, self.folder, owned=self.owned, life=self.life)


class _Watching(Below):
    def changed(self, path: str, size: int, timeout: float) -> Awaitable[None]:
        """See `Watch.changed`."""
        assert isinstance(self.files, Watch)
        return self.files.changed(self.path(path), size, timeout)


class _OwnIndex(Below):
    def session_index(
        self, runtime: Runtime, *, recount: Recount, save_delay_ms: int
    ) -> SessionIndexManager:
        """See `OwnIndex.session_index`."""
        assert isinstance(self.files, OwnIndex)
        files = self.files
        return files.session_index(runtime, recount=recount, save_delay_ms=save_delay_ms)


def below(
    files: FileSystem, folder: str, *, owned: bool = False, life: Life | None = None
) -> FileSystem:
    """Return `files` from `folder` on (`""`: all of it), with what is optional in them.

    An index of the engine's own is that of its root, and of no other folder. With `owned`,
    closing it closes `files`.
    """
    offered = [
        mixin
        for offers, mixin in (
            (isinstance(files, Bindable), _Bindable),
            (isinstance(files, Watch), _Watching),
            (isinstance(files, OwnIndex) and not folder, _OwnIndex),
        )
        if offers
    ]
    kind = type("Below", (*offered, Below), {})
    return cast("FileSystem", kind(files, folder, owned=owned, life=life))
