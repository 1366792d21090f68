"""Connections to one database: few, kept, and thrown away whenever one may hold a foreign reply."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final, TypeVar

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

from . import schema

T = TypeVar("T")

MOST: Final = 10
"""So many at once; who comes then waits for one."""

# What a server answers for sure without having done anything.
_UNDONE: Final = (
    asyncpg.TransactionRollbackError,
    asyncpg.InsufficientResourcesError,
    asyncpg.LockNotAvailableError,
    asyncpg.QueryCanceledError,
    asyncpg.ReadOnlySQLTransactionError,
)
_REFUSED: Final = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)


# The last is what asyncpg says of a connection that fails while nobody waits for it.
_BROKEN: Final = (
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    OSError,
    asyncpg.InternalClientError,
)


class Connections:
    """Connections of one process in one event loop; another loop or a child begins anew."""

    def __init__(
        self, dsn: str, schema_name: str, io_timeout_ms: int, statement_cache_size: int
    ) -> None:
        self.schema = schema_name
        self.io_timeout_ms = io_timeout_ms
        self._dsn = dsn
        self._statement_cache_size = statement_cache_size
        self._closed = False
        self._start()
        on_fork(self)

    def __repr__(self) -> str:
        return f"Connections(schema={self.schema!r})"

    def _start(self) -> None:
        self._idle: list[Any] = []
        self._loop: asyncio.AbstractEventLoop | None = None
        self._room = asyncio.Semaphore(MOST)
        self._prepared = False
        self.lasting = True

    def after_fork(self) -> None:
        """Begin anew in a child: the parent goes on with what is open."""
        _left_to_the_parent.extend(self._idle)
        self._start()

    async def ask(
        self, path: str, question: Callable[[Any], Awaitable[T]], *, changes: bool = False
    ) -> T:
        """Return `question(connection)` within the time-out; `path` is what errors name.

        If the answer of what `changes` something was lost it raises `UnavailableError` with
        `unknown`.
        """
        sent = False
        try:
            async with asyncio.timeout(self.io_timeout_ms / 1000), self.one() as connection:
                sent = True
                return await question(connection)
        except TimeoutError:
            reason = f"no answer within {self.io_timeout_ms} ms"
            raise UnavailableError(path, reason, unknown=sent and changes) from None
        except _BROKEN as error:
            raise _typed(path, error, unknown=sent and changes) from error

    @asynccontextmanager
    async def one(self) -> AsyncGenerator[Any, None]:
        """Give a connection that nobody else has; it is kept only if all its replies have come."""
        self._enter_loop()
        async with self._room:
            connection = await self._take()
            sane = False
            try:
                yield connection
                sane = True
            except asyncpg.PostgresError as error:
                # An error is a reply as well; a fatal one is the last, and what the client
                # itself finds out has no severity.
                sane = getattr(error, "severity_en", None) == "ERROR"
                raise
            finally:
                if sane and not self._closed and not connection.is_closed():
                    self._idle.append(connection)
                else:
                    connection.terminate()

    async def open(self) -> Any:
        """Return a new connection, the schema being there."""
        try:
            connection = await asyncpg.connect(
                self._dsn,
                timeout=self.io_timeout_ms / 1000,
                statement_cache_size=self._statement_cache_size,
            )
        except _REFUSED as error:
            raise ConfigError("url", f"the server refuses it: {error}") from None
        except ValueError as error:
            # asyncpg tells what is wrong of a URL, and may repeat the whole of it.
            raise ConfigError("url", f"no URL of PostgreSQL's ({type(error).__name__})") from None
        try:
            if not self._prepared:
                await schema.prepare(connection, self.schema)
                level = await connection.fetchval("SHOW synchronous_commit")
                self.lasting = level != "off" and await connection.fetchval("SHOW fsync") == "on"
                self._prepared = True
        except BaseException:
            connection.terminate()
            raise
        return connection

    async def close(self) -> None:
        """Close what is open; later calls raise `ClosedError`."""
        self._closed = True
        idle, self._idle = self._idle, []
        for connection in idle:
            if self._loop is asyncio.get_running_loop():
                with suppress(asyncpg.PostgresError, asyncpg.InterfaceError, OSError, TimeoutError):
                    await connection.close(timeout=self.io_timeout_ms / 1000)

    def _enter_loop(self) -> None:
        if self._closed:
            raise ClosedError
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._start()
            self._loop = loop

    async def _take(self) -> Any:
        while self._idle:
            connection = self._idle.pop()
            if not connection.is_closed():
                return connection
        return await self.open()


_left_to_the_parent: list[Any] = []


def _typed(path: str, error: Exception, *, unknown: bool) -> SessionStoreError:
    """Return what an error of the client or the server means to a store."""
    reason = str(error) or type(error).__name__
    if isinstance(error, asyncpg.DiskFullError):
        return StorageFullError(path, reason)
    if isinstance(error, asyncpg.DataCorruptedError | asyncpg.IndexCorruptedError):
        return CorruptionError(path, 0, reason)
    if isinstance(error, asyncpg.InsufficientPrivilegeError):
        return ConfigError("url", f"this user lacks a right: {reason}")
    return UnavailableError(path, reason, unknown=unknown and not isinstance(error, _UNDONE))


__all__ = ["Connections"]
