"""Connections to one database: few, kept, and never given on with a reply that may yet come."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

import asyncpg

from session_store.errors import (
    ClosedError,
    ConfigError,
    CorruptionError,
    SessionStoreError,
    StorageFullError,
    UnavailableError,
)
from session_store.runtime import on_fork

from .schema import Schema

T = TypeVar("T")

MOST: Final = 10
"""So many at once; who comes then waits for one. One more listens."""
KEPT_SECONDS: Final = 5.0
"""So long a connection that nobody needs is kept, for others want some too; but the last one."""
RETRY_SECONDS: Final = 0.05
MOST_RETRY_SECONDS: Final = 1.0
"""Who is told that there are too many connections asks again, ever more seldom."""

_REFUSALS: Final = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    # A setting in the URL that the server, or a pgbouncer before it, does not know.
    asyncpg.UndefinedObjectError,
    asyncpg.InvalidParameterValueError,
    asyncpg.CantChangeRuntimeParamError,
)
# The second is how a pgbouncer says it.
_NO_ROOM: Final = (asyncpg.TooManyConnectionsError, asyncpg.ProtocolViolationError)
_SHARED: Final = (asyncpg.InvalidSQLStatementNameError, asyncpg.DuplicatePreparedStatementError)
_LOST: Final = (asyncpg.PostgresConnectionError, asyncpg.OperatorInterventionError, OSError)

_FAILURES: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    OSError,
)


class Connections:
    """Connections of one process; each event loop has its own, and a child begins anew."""

    def __init__(
        self, dsn: str, schema: Schema, io_timeout_ms: int, statement_cache_size: int
    ) -> None:
        self.schema = schema
        self.io_timeout_ms = io_timeout_ms
        self._dsn = dsn
        self._statement_cache_size = statement_cache_size
        self._closed = False
        self._prepared = False
        self._pools: WeakKeyDictionary[asyncio.AbstractEventLoop, _Pool] = WeakKeyDictionary()
        on_fork(self)

    def __repr__(self) -> str:
        return f"Connections(schema={self.schema.name!r})"

    def after_fork(self) -> None:
        """Begin anew in a child: the parent goes on with what is open."""
        _left_to_the_parent.extend(self._pools.values())
        self._pools = WeakKeyDictionary()

    async def ask(
        self, path: str, query: str, *values: Any, changes: bool = False
    ) -> Sequence[Any]:
        """Return the rows that the server answers; see `work`."""
        return await self.work(path, lambda db: db.fetch(query, *values), changes=changes)

    async def work(
        self, path: str, work: Callable[[Any], Awaitable[T]], *, changes: bool = False
    ) -> T:
        """Return `work(connection)` within the time-out; errors name `path`.

        If the answer to what `changes` something was lost, it raises `UnavailableError` with
        `unknown`.
        """
        try:
            return await self._once(path, work, changes=changes)
        except UnavailableError as error:
            # A kept connection may have ended unnoticed; what changes nothing is asked again.
            if changes or not isinstance(error.__cause__, _LOST):
                raise
        return await self._once(path, work, changes=changes)

    async def _once(self, path: str, work: Callable[[Any], Awaitable[T]], *, changes: bool) -> T:
        pool = self._pool()
        sent = False
        try:
            async with asyncio.timeout(self.io_timeout_ms / 1000) as limit, pool.room:
                connection = await self._take(pool, limit.when() or 0.0)
                sent = settled = True
                try:
                    return await work(connection)
                except asyncpg.ReadOnlySQLTransactionError:
                    # It has become a replica, for every connection that was made before.
                    settled = False
                    pool.terminate()
                    raise
                except BaseException as error:
                    # A cancelled call may yet be answered: nobody else must get that reply.
                    settled = _is_answer(error)
                    raise
                finally:
                    pool.take_back(connection, good=settled and not self._closed)
        except TimeoutError:
            if sent:
                # A link that fell silent did so for what is kept as well: one time-out is enough.
                pool.terminate()
            reason = f"no answer within {self.io_timeout_ms} ms"
            raise UnavailableError(path, reason, unknown=sent and changes) from None
        except _FAILURES as error:
            raise _typed(path, error, unknown=sent and changes) from error

    async def _take(self, pool: "_Pool", deadline: float) -> Any:
        """Return a connection; while the server has no room for one, the next that comes back."""
        pause = RETRY_SECONDS
        loop = asyncio.get_running_loop()
        while True:
            connection = pool.kept()
            if connection is not None:
                return connection
            try:
                return await self.open()
            except _NO_ROOM:
                if loop.time() + pause >= deadline:
                    raise
            await asyncio.sleep(pause)
            pause = min(2 * pause, MOST_RETRY_SECONDS)

    async def open(self) -> Any:
        """Return a new connection, the schema being there."""
        connection = await self._connect()
        try:
            await self.schema.check(connection)
            if not self._prepared:
                await self.schema.prepare(connection)
                self._prepared = True
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def is_made(self) -> bool:
        """Return whether the schema is there; it is not made."""
        try:
            async with asyncio.timeout(self.io_timeout_ms / 1000):
                connection = await self._connect()
                try:
                    return await self.schema.is_made(connection)
                finally:
                    connection.terminate()
        except TimeoutError:
            raise UnavailableError("", f"no answer within {self.io_timeout_ms} ms") from None
        except _FAILURES as error:
            raise _typed("", error, unknown=False) from error

    async def drop(self) -> None:
        """Drop the schema with all that is in it."""
        connection = await self._connect()
        try:
            await self.schema.drop(connection)
        finally:
            connection.terminate()

    async def close(self) -> None:
        """Close what is open; later calls raise `ClosedError`."""
        self._closed = True
        here = asyncio.get_running_loop()
        for loop, pool in list(self._pools.items()):
            if loop is here:
                await pool.close()
                continue
            with suppress(RuntimeError):  # its loop is closed, and all that was in it
                loop.call_soon_threadsafe(pool.terminate)

    def _pool(self) -> "_Pool":
        if self._closed:
            raise ClosedError
        loop = asyncio.get_running_loop()
        pool = self._pools.get(loop)
        if pool is None:
            # What a loop that was closed leaves behind is let go of; it refers to its loop.
            for closed in [one for one in self._pools if one.is_closed()]:
                del self._pools[closed]
            pool = self._pools[loop] = _Pool(loop, self.io_timeout_ms / 1000)
        return pool

    async def _connect(self) -> Any:
        """Return a connection; while a server that was there is away it is tried again."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + self.io_timeout_ms / 1000
        while True:
            try:
                return await asyncpg.connect(
                    self._dsn,
                    # Parts of seconds are welcome, whatever its annotation says.
                    timeout=deadline - loop.time(),  # pyright: ignore[reportArgumentType]
                    statement_cache_size=self._statement_cache_size,
                )
            except _REFUSALS as error:
                raise ConfigError("url", f"the server refuses it: {error}") from None
            except (asyncpg.CannotConnectNowError, *_LOST) as error:
                if "unsupported startup parameter" in str(error):
                    raise ConfigError("url", f"the pgbouncer refuses it: {error}") from None
                starting = isinstance(error, asyncpg.CannotConnectNowError)
                patient = starting or self._prepared
                if not patient or loop.time() + RETRY_SECONDS >= deadline:
                    raise
            except (ValueError, OverflowError) as error:
                # Its text may hold what stands in the URL.
                raise ConfigError(
                    "url",
                    f"asyncpg does not take it ({type(error).__name__}): see its host, port, "
                    "sslmode, and that what is special in a password is quoted (%40 for @)",
                ) from None
            await asyncio.sleep(RETRY_SECONDS)


class _Pool:
    """The connections of one event loop."""

    def __init__(self, loop: asyncio.AbstractEventLoop, seconds: float) -> None:
        self.idle: list[Any] = []
        self.room = asyncio.Semaphore(MOST)
        self._loop = loop
        self._seconds = seconds
        self._ending: set[asyncio.Task[None]] = set()
        self._fewest = 0
        self._trimming: asyncio.TimerHandle | None = None

    def kept(self) -> Any:
        """Return a connection that was given back, None if there is none."""
        while self.idle:
            connection = self.idle.pop()
            self._fewest = min(self._fewest, len(self.idle))
            if not connection.is_closed():
                return connection
        return None

    def take_back(self, connection: Any, *, good: bool) -> None:
        """Keep a connection, or have the server leave off what it does for it, and close it."""
        if connection.is_closed():
            return
        if good:
            self.idle.append(connection)
            self._watch()
        else:
            self._end(connection)

    def _watch(self) -> None:
        """See in a while how many were not needed."""
        if self._trimming is None and len(self.idle) > 1:
            self._fewest = len(self.idle)
            self._trimming = self._loop.call_later(KEPT_SECONDS, self._trim)

    def _trim(self) -> None:
        self._trimming = None
        # Who is taken last is the first: these have lain there all the time.
        spare = self.idle[:-1][: self._fewest]
        del self.idle[: len(spare)]
        for connection in spare:
            self._end(connection)
        self._watch()

    def _end(self, connection: Any) -> None:
        # Not at once: a statement that waits for somebody's lock would wait on at the server,
        # one more for each call that has given up, until it takes no connections any more.
        task = self._loop.create_task(_close(connection, self._seconds))
        self._ending.add(task)
        task.add_done_callback(self._ending.discard)

    async def close(self) -> None:
        """Close all that is open, within the time-out."""
        idle, self.idle = self.idle, []
        for connection in idle:
            self._end(connection)
        if self._trimming is not None:
            self._trimming.cancel()
        if self._ending:
            await asyncio.wait(self._ending)

    def terminate(self) -> None:
        """Let go of all that is kept, without waiting."""
        for connection in self.idle:
            connection.terminate()
        self.idle.clear()


async def _close(connection: Any, seconds: float) -> None:
    try:
        await connection.close(timeout=seconds)
    except (asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
        connection.terminate()


_left_to_the_parent: list[_Pool] = []


def _is_answer(error: BaseException) -> bool:
    """Return whether the server says by it that nothing was done, and goes on."""
    # FATAL and PANIC end the connection, and may come when a commit is done already.
    return (
        isinstance(error, asyncpg.PostgresError) and getattr(error, "severity_en", None) == "ERROR"
    )


def _typed(path: str, error: Exception, *, unknown: bool) -> SessionStoreError:
    """Return what an error of the client or the server means to a store."""
    reason = str(error) or type(error).__name__
    if isinstance(error, asyncpg.DiskFullError):
        return StorageFullError(path, reason)
    if isinstance(error, asyncpg.DataCorruptedError | asyncpg.IndexCorruptedError):
        return CorruptionError(path, 0, reason)
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return ConfigError("url", f"this user lacks a right: {reason}")
    if isinstance(error, _SHARED):
        return ConfigError(
            "url", "a pgbouncer shares this connection with others: add ?statement_cache_size=0"
        )
    if isinstance(error, asyncpg.ReadOnlySQLTransactionError):
        reason += (
            ": a replica, or a user who may only read; name the primary, or all hosts with "
            "?target_session_attrs=read-write"
        )
    return UnavailableError(path, reason, unknown=unknown and not _is_answer(error))


__all__ = ["Connections"]
