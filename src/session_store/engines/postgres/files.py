"""The ten verbs on tables of PostgreSQL."""

from collections.abc import Awaitable, Sequence
from typing import Any, Final, NamedTuple

from session_store.errors import ConflictError, NotFoundError, UnavailableError
from session_store.files.filesystem import ABSENT, ANY, FileStats, IfVersion, Page, Traits
from session_store.files.paths import check_path
from session_store.index.manager import Recount
from session_store.index.table import TableIndex
from session_store.runtime import Runtime

from . import schema, statements
from .connections import Connections
from .pieces import PIECE_BYTES, pieces_of
from .table import PostgresTable
from .watching import Watching

MOST_BYTES: Final = 64 << 20
"""So much is read by one statement: a value of PostgreSQL's ends at 1 GiB."""
_END: Final = (1 << 63) - 1


class Found(NamedTuple):
    """What a function of the schema answers: what was done, and the file as it is then."""

    status: int
    number: int | None
    changes: int | None
    size: int | None
    mtime_ms: int | None


class PostgresFileSystem:
    """Files in a schema of a database, shared by every host that reaches it.

    What was appended survives a power cut as soon as it is answered, unless the URL says
    otherwise (`synchronous_commit=off`).
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._watching = Watching(connections, self.stat)
        sql = connections.schema.sql
        self._append = sql(statements.APPEND)
        self._append_pieces = sql(statements.APPEND_PIECES)
        self._write = sql(statements.WRITE)
        self._remove = sql(statements.REMOVE)
        self._remove_tree = sql(statements.REMOVE_TREE)
        self._sweep = sql(statements.SWEEP)
        self._make_folder = sql(statements.MAKE_FOLDER)
        self._find = sql(statements.FIND)
        self._read = sql(statements.READ)
        self._names = sql(statements.NAMES)

    def session_index(
        self, runtime: Runtime, *, recount: Recount, save_delay_ms: int
    ) -> TableIndex:
        """See `OwnIndex.session_index`."""
        return TableIndex(
            PostgresTable(self._connections),
            self,
            runtime,
            recount=recount,
            save_delay_ms=save_delay_ms,
            io_timeout_ms=self._connections.io_timeout_ms,
        )

    @property
    def traits(self) -> Traits:
        """Facts about this engine."""
        durable = not self._connections.schema.may_lose
        return Traits(scope="network", durable=durable, blocking=False, durable_appends=True)

    async def stat(self, path: str) -> FileStats:
        """See `FileSystem.stat`."""
        for row in await self._connections.ask(path, self._find, *_split(path)):
            return _stats(Found(*row))
        raise NotFoundError(path)

    async def exists(self, path: str) -> bool:
        """See `FileSystem.exists`."""
        return bool(await self._connections.ask(path, self._find, *_split(path)))

    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        """See `FileSystem.read`; also of much, all is of one moment."""
        folder, name = _split(path)
        end = _END if end is None else min(end, _END)
        most = min(end, start + MOST_BYTES)
        rows = await self._connections.ask(
            path, self._read, folder, name, min(start, _END), min(most, _END)
        )
        if not rows:
            raise NotFoundError(path)
        if most < min(end, rows[0][0]):
            return await self._read_much(path, start, end)
        return _joined(rows)

    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        """See `FileSystem.write`."""
        values = (*_split(path), pieces_of(data), *_parsed(if_version))
        found = Found(*await self._change(path, self._write, *values))
        if found.status == schema.CONFLICT:
            raise ConflictError(path, expected=if_version, actual=_version(found))
        _check(path, found.status)
        return _stats(found)

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        """See `FileSystem.append`."""
        folder, name = _split(path)
        if len(data) <= PIECE_BYTES:
            answer = self._change(path, self._append, folder, name, data, if_size)
        else:
            pieces = pieces_of(data)
            answer = self._change(path, self._append_pieces, folder, name, pieces, if_size)
        status, size, _ = await answer
        if status == schema.CONFLICT:
            raise ConflictError(path, expected=if_size, actual=size)
        _check(path, status)
        return int(size)

    async def delete(self, path: str, *, if_version: IfVersion = ANY) -> None:
        """See `FileSystem.delete`."""
        values = (*_split(path), *_parsed(if_version))
        found = Found(*await self._change(path, self._remove, *values))
        if found.status == schema.CONFLICT:
            raise ConflictError(path, expected=if_version, actual=_version(found))

    async def delete_tree(self, path: str) -> None:
        """See `FileSystem.delete_tree`."""
        check_path(path)
        [more] = await self._change(path, self._remove_tree, path)
        while more:
            [more] = await self._change(path, self._sweep)

    async def list(self, path: str, *, after: str = "", limit: int = 1000) -> Page:
        """See `FileSystem.list`; in the order of their bytes."""
        if path:
            check_path(path)
        rows = await self._connections.ask(path, self._names, path, after, limit + 1)
        names = [row[0] for row in rows[:limit]]
        return Page(names, after=names[-1] if len(rows) > limit else None)

    async def mkdir(self, path: str) -> None:
        """See `FileSystem.mkdir`."""
        if path:
            check_path(path)
            [status] = await self._change(path, self._make_folder, path)
            _check(path, status)

    async def sync(self, path: str) -> None:
        """See `FileSystem.sync`; what was answered is durable."""
        if not await self.exists(path):
            raise NotFoundError(path)

    def changed(self, path: str, size: int, timeout: float) -> Awaitable[None]:
        """See `Watch.changed`; told by the server, also of what another host does."""
        check_path(path)
        return self._watching.changed(path, size, timeout)

    async def close(self) -> None:
        """See `FileSystem.close`."""
        await self._watching.close()
        await self._connections.close()

    async def _change(self, path: str, statement: str, *values: Any) -> Any:
        [row] = await self._connections.ask(path, statement, *values, changes=True)
        return row

    async def _read_much(self, path: str, start: int, end: int) -> bytes:
        """Return what more than one statement has to read, as it was at one moment."""
        folder, name = _split(path)

        async def read(connection: Any) -> bytes:
            pieces = bytearray()
            async with connection.transaction(isolation="repeatable_read", readonly=True):
                for at in range(start, end, MOST_BYTES):
                    values = folder, name, at, min(at + MOST_BYTES, end)
                    rows = await connection.fetch(self._read, *values)
                    pieces += _joined(rows)
                    if not rows or rows[0][0] <= values[-1]:
                        break
            return bytes(pieces)

        return await self._connections.work(path, read)


def _joined(rows: Sequence[Any]) -> bytes:
    return b"".join([data for _, data in rows if data])


def _split(path: str) -> tuple[str, str]:
    *above, name = check_path(path)
    return "/".join(above), name


def _parsed(if_version: IfVersion) -> tuple[int | None, int | None]:
    """Return number and changes as the functions take them."""
    if if_version is ANY:
        return None, None
    if if_version is ABSENT:
        return -1, None
    number, _, changes = str(if_version).partition(".")
    # What is no version of ours is the version of nothing.
    return (int(number), int(changes)) if number.isdigit() and changes.isdigit() else (-2, -2)


def _version(found: Found) -> str | None:
    # A file's number never comes back, and its changes only grow.
    return None if found.number is None else f"{found.number}.{found.changes}"


def _stats(found: Found) -> FileStats:
    version, size, mtime_ms = _version(found), found.size, found.mtime_ms
    assert version is not None
    assert size is not None
    assert mtime_ms is not None
    return FileStats(size=size, mtime_ms=mtime_ms, version=version)


def _check(path: str, status: int) -> None:
    """Raise what hindered it, if something did."""
    if status == schema.DELETED:
        raise NotFoundError(path)
    if status == schema.FOLDER:
        raise UnavailableError(path, "it is a folder")
    if status == schema.FILE:
        raise UnavailableError(path, "what should be a folder above it is a file")


__all__ = ["PostgresFileSystem"]
