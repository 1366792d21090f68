"""The ten verbs on tables of PostgreSQL."""

from collections.abc import Awaitable
from typing import Any, NamedTuple

from session_store.errors import ConflictError, NotFoundError, UnavailableError
from session_store.files.filesystem import ABSENT, ANY, FileStats, IfVersion, Page, Traits
from session_store.files.paths import check_path
from session_store.index.manager import Recount
from session_store.index.table import TableIndex
from session_store.runtime import Runtime

from . import schema
from .connections import Connections
from .table import PostgresTable
from .watching import Watching


class Outcome(NamedTuple):
    """What a function of the schema answers: what was done, and the file as it is then."""

    status: int
    number: int | None
    size: int | None
    changes: int | None
    mtime_ms: int | None


class PostgresFileSystem:
    """Files in a schema of a database, shared by every host that reaches it.

    What was appended survives a power cut as soon as it is answered, unless the server is told
    otherwise (`synchronous_commit = off`, `fsync = off`).
    """

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._watching = Watching(connections)
        s = connections.schema
        self._append = f"SELECT * FROM {s}.append($1, $2, $3, $4)"
        self._write = f"SELECT * FROM {s}.write($1, $2, $3, $4, $5)"
        self._remove = f"SELECT * FROM {s}.remove($1, $2, $3, $4)"
        self._find = (
            f"SELECT 0, number, size, changes, mtime_ms FROM {s}.file"
            " WHERE folder = $1 AND name = $2"
        )
        self._read = (
            "SELECT f.size, c.start, substring(c.data"
            " FROM least(greatest($3 - c.start, 0), length(c.data))::integer + 1"
            " FOR greatest(least($4 - c.start, length(c.data))"
            "              - least(greatest($3 - c.start, 0), length(c.data)), 0)::integer)"
            f" FROM {s}.file AS f LEFT JOIN LATERAL ("
            f"  SELECT start, data FROM {s}.chunk WHERE file = f.number AND start < $4"
            f"  AND start >= coalesce((SELECT max(start) FROM {s}.chunk"
            "   WHERE file = f.number AND start <= $3), 0)"
            " ) AS c ON true WHERE f.folder = $1 AND f.name = $2 ORDER BY c.start"
        )
        within = "WHERE {} = $1 AND name > $2 ORDER BY name LIMIT $3"
        self._names = (
            f"SELECT name FROM ((SELECT name FROM {s}.file {within.format('folder')})"
            f" UNION ALL (SELECT name FROM {s}.folder {within.format('parent')})) AS n"
            " ORDER BY name LIMIT $3"
        )

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
        """Facts about this engine; before the first call it is taken to be durable."""
        lasting = self._connections.lasting
        return Traits(scope="network", durable=lasting, blocking=False, durable_appends=True)

    async def stat(self, path: str) -> FileStats:
        """See `FileSystem.stat`."""
        folder, name = _split(path)
        found = await self._ask(path, self._find, folder, name)
        if found is None:
            raise NotFoundError(path)
        return _stats(Outcome(*found))

    async def exists(self, path: str) -> bool:
        """See `FileSystem.exists`."""
        folder, name = _split(path)
        return await self._ask(path, self._find, folder, name) is not None

    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        """See `FileSystem.read`."""
        folder, name = _split(path)
        values = (folder, name, start, MAX_END if end is None else end)
        rows = await self._connections.ask(path, lambda db: db.fetch(self._read, *values))
        if not rows:
            raise NotFoundError(path)
        return b"".join(row[2] for row in rows if row[2])

    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        """See `FileSystem.write`."""
        folder, name = _split(path)
        values = (folder, name, data, *_parsed(if_version))
        outcome = await self._change(path, self._write, *values)
        if outcome.status == schema.CONFLICT:
            raise ConflictError(path, expected=if_version, actual=_version(outcome))
        return _stats(_done(path, outcome))

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        """See `FileSystem.append`."""
        folder, name = _split(path)
        outcome = await self._change(path, self._append, folder, name, data, if_size)
        if outcome.status == schema.CONFLICT:
            raise ConflictError(path, expected=if_size, actual=outcome.size or 0)
        return _stats(_done(path, outcome)).size

    async def delete(self, path: str, *, if_version: IfVersion = ANY) -> None:
        """See `FileSystem.delete`."""
        folder, name = _split(path)
        outcome = await self._change(path, self._remove, folder, name, *_parsed(if_version))
        if outcome.status == schema.CONFLICT:
            raise ConflictError(path, expected=if_version, actual=_version(outcome))

    async def delete_tree(self, path: str) -> None:
        """See `FileSystem.delete_tree`."""
        check_path(path)
        await self._value(path, f"SELECT {self._connections.schema}.remove_tree($1)", path)

    async def list(self, path: str, *, after: str = "", limit: int = 1000) -> Page:
        """See `FileSystem.list`."""
        if path:
            check_path(path)
        values = (path, after, limit + 1)
        rows = await self._connections.ask(path, lambda db: db.fetch(self._names, *values))
        names = [row[0] for row in rows[:limit]]
        return Page(names, after=names[-1] if len(rows) > limit else None)

    async def mkdir(self, path: str) -> None:
        """See `FileSystem.mkdir`."""
        if not path:
            return
        check_path(path)
        status = await self._value(path, f"SELECT {self._connections.schema}.mkdir($1)", path)
        _done(path, Outcome(status, None, None, None, None))

    async def sync(self, path: str) -> None:
        """See `FileSystem.sync`; what was answered is durable."""
        if not await self.exists(path):
            raise NotFoundError(path)

    def changed(self, path: str, size: int, timeout: float) -> Awaitable[None]:
        """See `Watch.changed`; told by the server, also of what another host does."""
        check_path(path)
        return self._watching.changed(path, size, timeout, self.stat)

    async def close(self) -> None:
        """See `FileSystem.close`."""
        await self._watching.close()
        await self._connections.close()

    async def _ask(self, path: str, query: str, *values: Any) -> Any:
        return await self._connections.ask(path, lambda db: db.fetchrow(query, *values))

    async def _change(self, path: str, query: str, *values: Any) -> Outcome:
        row = await self._connections.ask(
            path, lambda db: db.fetchrow(query, *values), changes=True
        )
        return Outcome(*row)

    async def _value(self, path: str, query: str, *values: Any) -> Any:
        return await self._connections.ask(
            path, lambda db: db.fetchval(query, *values), changes=True
        )


MAX_END = (1 << 63) - 1


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


def _version(outcome: Outcome) -> str | None:
    # A file's number never comes back, and its changes only grow.
    return None if outcome.number is None else f"{outcome.number}.{outcome.changes}"


def _stats(outcome: Outcome) -> FileStats:
    version, size, mtime_ms = _version(outcome), outcome.size, outcome.mtime_ms
    assert version is not None
    assert size is not None
    assert mtime_ms is not None
    return FileStats(size=size, mtime_ms=mtime_ms, version=version)


def _done(path: str, outcome: Outcome) -> Outcome:
    """Return what was done, or raise what hindered it."""
    if outcome.status == schema.DELETED:
        raise NotFoundError(path)
    if outcome.status == schema.FOLDER:
        raise UnavailableError(path, "it is a folder")
    if outcome.status == schema.FILE:
        raise UnavailableError(path, "what should be a folder above it is a file")
    return outcome


__all__ = ["PostgresFileSystem"]
