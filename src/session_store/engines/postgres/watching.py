"""Being told of changes: LISTEN on a connection of its own, for all who wait in this process.

`NOTIFY` takes a lock of the whole database while it commits, so an append tells only while
somebody has said, in the row of the file, that he waits.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final
from weakref import WeakKeyDictionary

import asyncpg

from session_store.errors import NotFoundError, SessionStoreError
from session_store.files.filesystem import FileStats
from session_store.runtime import on_fork

from .connections import Connections
from .statements import TELL

TOLD_SECONDS: Final = 300
"""So long the server tells of a file after somebody last waited for it."""
LOOK_SECONDS: Final = 2.0
"""Told or not, who waits looks again after this time: a pgbouncer that shares connections between
transactions tells nothing."""
LOOK_FOR_FILE_SECONDS: Final = 0.1
"""And after this time while there is no file yet, of which nothing could be told."""

Stat = Callable[[str], Awaitable[FileStats]]


class Watching:
    """Those who wait for changes of files, by their event loops."""

    def __init__(self, connections: Connections, stat: Stat) -> None:
        self._connections = connections
        self._stat = stat
        self._listeners: WeakKeyDictionary[asyncio.AbstractEventLoop, _Listener]
        self._listeners = WeakKeyDictionary()
        on_fork(self)

    def after_fork(self) -> None:
        """Begin anew in a child: the parent goes on listening."""
        _left_to_the_parent.extend(self._listeners.values())
        self._listeners = WeakKeyDictionary()

    async def changed(self, path: str, size: int, seconds: float) -> None:
        """Return once the file differs from `size` bytes, or after that time."""
        loop = asyncio.get_running_loop()
        listener = self._listeners.get(loop)
        if listener is None:
            for closed in [one for one in self._listeners if one.is_closed()]:
                del self._listeners[closed]
            listener = self._listeners[loop] = _Listener(self._connections)
        deadline = loop.time() + seconds
        while True:
            with listener.waiting(path) as told:
                asked = await listener.listen(path)
                # Afterwards: what came before it is seen here.
                found = await self._size(path)
                left = deadline - loop.time()
                if found != size or left <= 0:
                    return
                pause = LOOK_SECONDS if asked else LOOK_FOR_FILE_SECONDS
                with suppress(TimeoutError):
                    await asyncio.wait_for(told.wait(), min(left, pause))

    async def close(self) -> None:
        """Let go of the connection, and of all who wait."""
        for loop, listener in list(self._listeners.items()):
            if loop is asyncio.get_running_loop():
                listener.close()
                continue
            with suppress(RuntimeError):  # its loop is closed, and all that was in it
                loop.call_soon_threadsafe(listener.close)

    async def _size(self, path: str) -> int:
        try:
            return (await self._stat(path)).size
        except NotFoundError:
            return 0


class _Listener:
    """The connection of one event loop that is told, and those who wait there."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._connection: Any = None
        self._opening = asyncio.Lock()
        self._waiting: dict[str, set[asyncio.Event]] = {}
        self._renew_at: dict[str, float] = {}
        self._paths: dict[str, str] = {}

    @contextmanager
    def waiting(self, path: str) -> Iterator[asyncio.Event]:
        """Give what is set when the server tells of the file."""
        told = asyncio.Event()
        self._waiting.setdefault(path, set()).add(told)
        try:
            yield told
        finally:
            self._waiting[path].discard(told)
            if not self._waiting[path]:
                del self._waiting[path]

    async def listen(self, path: str) -> bool:
        """Have the server tell of the file, and return whether there is one."""
        now = asyncio.get_running_loop().time()
        try:
            async with self._opening:
                if self._connection is None or self._connection.is_closed():
                    await self._open()
            if self._renew_at.get(path, now) <= now:
                return await self._ask_for(path, now)
        except (SessionStoreError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            pass  # who waits looks for himself, and is told if that fails too
        return True

    def close(self) -> None:
        """Let go of the connection, and of all who wait."""
        if self._connection is not None:
            self._connection.terminate()
        self._wake()

    async def _open(self) -> None:
        async with asyncio.timeout(self._connections.io_timeout_ms / 1000):
            connection = await self._connections.open()
            try:
                await connection.add_listener(self._connections.schema.channel, self._tell)
            except BaseException:
                connection.terminate()
                raise
        connection.add_termination_listener(self._lost)
        self._connection = connection

    async def _ask_for(self, path: str, now: float) -> bool:
        folder, _, name = path.rpartition("/")
        rows = await self._connections.ask(
            path,
            self._connections.schema.sql(TELL),
            folder,
            name,
            TOLD_SECONDS * 1000,
            changes=True,
        )
        self._forget(now)
        for row in rows:
            self._paths[str(row[0])] = path
            self._renew_at[path] = now + TOLD_SECONDS / 3
        return bool(rows)

    def _forget(self, now: float) -> None:
        """Let go of the files that nobody has waited for of late."""
        self._renew_at = {path: at for path, at in self._renew_at.items() if at > now}
        self._paths = {
            number: path for number, path in self._paths.items() if path in self._renew_at
        }

    def _tell(self, _connection: Any, _pid: int, _channel: str, number: str) -> None:
        for told in self._waiting.get(self._paths.get(number, ""), ()):
            told.set()

    def _lost(self, _connection: Any) -> None:
        # What was told meanwhile is lost: everybody looks.
        self._wake()

    def _wake(self) -> None:
        for waiting in self._waiting.values():
            for told in waiting:
                told.set()


_left_to_the_parent: list[_Listener] = []

__all__ = ["Watching"]
