"""The ten verbs on one SQLite database."""

import os
from typing import Final

import apsw

from session_store.errors import ConflictError, NotFoundError
from session_store.files.filesystem import ANY, FileStats, IfVersion, Page, Traits
from session_store.files.paths import check_path
from session_store.index.manager import Recount
from session_store.index.table import TableIndex
from session_store.runtime import BlockingRuntime, Runtime, on_fork

from . import blobs
from .access import Access
from .database import Database
from .table import SQLiteTable

READ_IN_PLACE_BYTES: Final = 1 << 18


class SQLiteFileSystem:
    """Files in the database at `path`, shared by the processes of one host.

    What was appended survives the death of the process at once, and a power cut after `sync`.
    Nobody waits inside SQLite: who finds others writing tries again, for up to `io_timeout_ms`.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        runtime: Runtime | None = None,
        io_timeout_ms: int = 10_000,
    ) -> None:
        database = Database(os.path.abspath(path))
        self._access = Access(database, runtime or BlockingRuntime(), io_timeout_ms)
        on_fork(database)

    def bind(self, runtime: Runtime) -> "SQLiteFileSystem":
        """Return the same files, waiting by `runtime`; closing either closes both."""
        bound = object.__new__(SQLiteFileSystem)
        access = self._access
        bound._access = Access(access.database, runtime, access.io_timeout_ms)
        return bound

    def session_index(
        self, runtime: Runtime, *, recount: Recount, save_delay_ms: int
    ) -> TableIndex:
        """See `OwnIndex.session_index`."""
        access = self._access
        return TableIndex(
            SQLiteTable(access),
            self,
            runtime,
            recount=recount,
            save_delay_ms=save_delay_ms,
            io_timeout_ms=access.io_timeout_ms,
        )

    @property
    def traits(self) -> Traits:
        """Facts about this engine."""
        return Traits(scope="host", durable=True, blocking=self._access.runtime.blocking)

    async def stat(self, path: str) -> FileStats:
        """See `FileSystem.stat`."""
        folder, name = _split(path)
        found = await self._access.look(path, lambda db: blobs.find(db, folder, name))
        if found is None:
            raise NotFoundError(path)
        return found.stats

    async def exists(self, path: str) -> bool:
        """See `FileSystem.exists`."""
        folder, name = _split(path)
        return await self._access.look(path, lambda db: blobs.find(db, folder, name)) is not None

    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        """See `FileSystem.read`."""
        folder, name = _split(path)

        def look(db: apsw.Connection) -> bytes:
            found = blobs.find(db, folder, name)
            if found is None:
                raise NotFoundError(path)
            stop = found.size if end is None else min(end, found.size)
            return blobs.content(db, found, start, stop)

        large = end is None or end - start > READ_IN_PLACE_BYTES
        return await self._access.read(path, look, large=large)

    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        """See `FileSystem.write`."""
        folder, name = _split(path)

        def put(db: apsw.Connection) -> FileStats:
            found = blobs.find_to_write(db, folder, name)
            blobs.check_version(path, if_version, found)
            file = blobs.empty(db, found) if found else blobs.create(db, path, folder, name)
            return blobs.add(db, path, file, data).stats

        change = self._access.change_durably if durable else self._access.change
        return await change(path, put)

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        """See `FileSystem.append`."""
        folder, name = _split(path)

        def add(db: apsw.Connection) -> int:
            found = blobs.find_to_write(db, folder, name)
            size = found.size if found else 0
            if if_size is not None and if_size != size:
                raise ConflictError(path, expected=if_size, actual=size)
            file = found or blobs.create(db, path, folder, name)
            return blobs.add(db, path, file, data).size

        return await self._access.change(path, add)

    def append_now(self, path: str, data: bytes, size: int) -> bool:
        """See `Direct.append_now`."""
        database = self._access.database
        if database.log_is_long:
            return False  # `append` moves it
        folder, name = _split(path)

        def add(db: apsw.Connection) -> bool:
            found = blobs.find(db, folder, name)
            if found is None or found.size != size:
                return False
            blobs.add(db, path, found, data)
            return True

        if not self._access.at_once(path, lambda: database.change(add)):
            return False
        self._access.grew(path)
        return True

    def size_now(self, path: str) -> int | None:
        """See `Direct.size_now`."""
        folder, name = _split(path)
        database = self._access.database
        found = self._access.at_once(
            path, lambda: database.look(lambda db: blobs.find(db, folder, name))
        )
        return None if found is None else found.size

    def read_now(self, path: str, start: int, end: int) -> bytes:
        """See `Direct.read_now`."""
        folder, name = _split(path)

        def look(db: apsw.Connection) -> bytes:
            found = blobs.find(db, folder, name)
            return b"" if found is None else blobs.content(db, found, start, min(end, found.size))

        database = self._access.database
        return self._access.at_once(path, lambda: database.read(look)) or b""

    def is_now(self, path: str, size: int) -> bool:
        """See `Direct.is_now`."""
        return self.size_now(path) == size

    def sync_now(self, path: str) -> bool:
        """See `Direct.sync_now`."""
        return self._access.sync_now(path)

    async def delete(self, path: str, *, if_version: IfVersion = ANY) -> None:
        """See `FileSystem.delete`."""
        folder, name = _split(path)

        def remove(db: apsw.Connection) -> None:
            found = blobs.find(db, folder, name)
            if found is not None:
                blobs.check_version(path, if_version, found)
                blobs.remove(db, found)

        await self._access.change_durably(path, remove)

    async def delete_tree(self, path: str) -> None:
        """See `FileSystem.delete_tree`."""
        check_path(path)
        await self._access.change_durably(path, lambda db: blobs.remove_tree(db, path))

    async def list(self, path: str, *, after: str = "", limit: int = 1000) -> Page:
        """See `FileSystem.list`."""
        if path:
            check_path(path)
        names = await self._access.look(path, lambda db: blobs.names(db, path, after, limit + 1))
        page = names[:limit]
        return Page(page, after=page[-1] if len(names) > limit else None)

    async def mkdir(self, path: str) -> None:
        """See `FileSystem.mkdir`."""
        if path:
            check_path(path)
            await self._access.change(path, lambda db: blobs.make_folder(db, path, path))

    async def sync(self, path: str) -> None:
        """See `FileSystem.sync`; one for all files, for it is the log of the whole database."""
        if not await self.exists(path):
            raise NotFoundError(path)
        await self._access.sync(path)

    async def close(self) -> None:
        """See `FileSystem.close`."""
        self._access.database.close()


def _split(path: str) -> tuple[str, str]:
    *above, name = check_path(path)
    return "/".join(above), name


__all__ = ["SQLiteFileSystem"]
