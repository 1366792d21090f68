"""Files in a bucket of S3, GCS, Azure or what speaks like S3: the seam, and where its words lead.

An append is one request, and one more whenever the tail has become a part; a look is one too.
"""

from collections.abc import Awaitable
from typing import Final

from session_store.errors import ClosedError, ConflictError, NotFoundError
from session_store.files.filesystem import ABSENT, ANY, FileStats, IfVersion, Page, Traits
from session_store.files.paths import check_path
from session_store.index.manager import Recount
from session_store.index.table import TableIndex
from session_store.runtime import Chance, Runtime

from .bucket import Bucket
from .changing import Changing, going
from .folders import Folders
from .index import ObjectIndex
from .known import NEVER, Known
from .opening import Door
from .table import ObjectTable
from .tries import Content
from .urls import Place
from .watching import watch

_TRAITS: Final = Traits(scope="network", durable=True, blocking=False, durable_appends=True)


class ObjectFileSystem:
    """The files of a store in a bucket."""

    def __init__(self, place: Place, *, io_timeout_ms: int = 10_000) -> None:
        self._bucket = Bucket(place, io_timeout_ms)
        self._io_timeout_ms = io_timeout_ms
        self._door = Door(self._bucket)
        self._files = Changing(self._bucket, Chance())
        self._folders = Folders(self._bucket, self._files)
        self._closed = False

    def session_index(
        self, runtime: Runtime, *, recount: Recount, save_delay_ms: int
    ) -> TableIndex:
        """See `OwnIndex.session_index`."""
        return ObjectIndex(
            ObjectTable(self._bucket, self._door, self._files, self._folders),
            self,
            runtime,
            recount=recount,
            save_delay_ms=save_delay_ms,
            io_timeout_ms=self._io_timeout_ms,
        )

    @property
    def traits(self) -> Traits:
        """Facts about this engine."""
        return _TRAITS

    async def stat(self, path: str) -> FileStats:
        """See `FileSystem.stat`."""
        await self._enter(path)
        return _stats(path, await self._files.look(path))

    async def exists(self, path: str) -> bool:
        """See `FileSystem.exists`."""
        await self._enter(path)
        return (await self._files.look(path)).head is not None

    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        """See `FileSystem.read`."""
        await self._enter(path)
        return await self._files.read(path, start, end)

    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        """See `FileSystem.write`; it is always durable."""
        await self._enter(path)

        async def written(known: Known) -> Content:
            _check_not_ended(path, known)
            _check_version(path, known, if_version)
            return Content(self._files.head(len(data)), data)

        guess = NEVER if if_version is ABSENT else None
        return _stats(path, await self._files.change(path, written, guess=guess))

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        """See `FileSystem.append`."""
        await self._enter(path)

        async def appended(known: Known) -> Content | None:
            _check_not_ended(path, known)
            if if_size is not None and if_size != known.size:
                raise ConflictError(path, expected=if_size, actual=known.size)
            if known.head is not None and not data:
                return None
            return await self._files.appended(path, known, data)

        guess = NEVER if if_size == 0 else None
        return (await self._files.change(path, appended, guess=guess)).size

    async def delete(self, path: str, *, if_version: IfVersion = ANY) -> None:
        """See `FileSystem.delete`."""
        await self._enter(path)

        async def deleted(known: Known) -> Content | None:
            if known.head is not None:
                _check_version(path, known, if_version)
            return await going(known)

        await self._files.change(path, deleted)

    async def delete_tree(self, path: str) -> None:
        """See `FileSystem.delete_tree`."""
        await self._enter(path)
        await self._folders.delete(path)

    async def list(self, path: str, *, after: str = "", limit: int = 1000) -> Page:
        """See `FileSystem.list`; folders without files are not there."""
        await self._enter(path, root=True)
        return await self._folders.page(path, after, limit)

    async def mkdir(self, path: str) -> None:
        """See `FileSystem.mkdir`; there is nothing to be made."""
        await self._enter(path, root=True)

    async def sync(self, path: str) -> None:
        """See `FileSystem.sync`; what was answered is durable already."""
        await self.stat(path)

    async def close(self) -> None:
        """See `FileSystem.close`."""
        self._closed = True
        self._files.forget()

    def changed(self, path: str, size: int, timeout: float) -> Awaitable[None]:
        """See `Watch.changed`; a look is a request, so a quiet file is looked at once a second."""

        async def look() -> Known:
            await self._enter(path)
            return await self._files.look(path)

        return watch(look, size, timeout, self._files.chance)

    async def _enter(self, path: str, *, root: bool = False) -> None:
        if self._closed:
            raise ClosedError
        if path or not root:
            check_path(path)
        await self._door.enter()


def _stats(path: str, known: Known) -> FileStats:
    if known.head is None:
        raise NotFoundError(path)
    return FileStats(size=known.size, mtime_ms=known.head.mtime, version=known.head.nonce)


def _check_version(path: str, known: Known, if_version: IfVersion) -> None:
    found = known.head.nonce if known.head else None
    if if_version is ANY or (if_version is ABSENT and found is None):
        return
    if if_version != found:
        raise ConflictError(path, expected=if_version, actual=found)


def _check_not_ended(path: str, known: Known) -> None:
    if known.ended:
        raise NotFoundError(path)


__all__ = ["ObjectFileSystem"]
