"""Being told of changes: LISTEN on a connection of its own, for all who wait in this process.

`NOTIFY` takes a lock of the whole database when it commits, so an append tells only what
somebody has said to wait for.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from hashlib import md5
from secrets import token_hex
from typing import Any, Final

import asyncpg

from session_store.errors import NotFoundError, SessionStoreError
from session_store.files.filesystem import FileStats

from . import schema
from .connections import Connections

SUBSCRIBED_SECONDS: Final = 60
"""So long the server tells of a path after somebody last asked for it."""
LOOK_SECONDS: Final = 2.0
"""Without being told somebody who waits looks again after this time."""

Stat = Callable[[str], Awaitable[FileStats]]


class Watching:
    """Those who wait for changes of files."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._client = token_hex(8)
        self._told: dict[str, asyncio.Event] = {}
        self._listening: Any = None
        self._opening: asyncio.Lock | None = None
        self._subscribed: dict[str, float] = {}

    async def changed(self, path: str, size: int, seconds: float, stat: Stat) -> None:
        """Return once the file differs from `size` bytes, or after that time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        name = md5(path.encode(), usedforsecurity=False).hexdigest()
        while True:
            event = self._told.get(name)
            if event is None or event.is_set():
                event = self._told[name] = asyncio.Event()
            listening = await self._listen(path)
            # After the subscription: what came before it is seen here.
            if await _size(stat, path) != size:
                return
            left = deadline - loop.time()
            if left <= 0:
                return
            with suppress(TimeoutError):
                pause = min(left, SUBSCRIBED_SECONDS / 2 if listening else LOOK_SECONDS)
                await asyncio.wait_for(event.wait(), pause)

    async def close(self) -> None:
        """Let go of the connection, and of all who wait."""
        listening, self._listening = self._listening, None
        if listening is not None:
            listening.terminate()
        for event in self._told.values():
            event.set()

    async def _listen(self, path: str) -> bool:
        """Have the server tell of the path, and return whether it will."""
        loop = asyncio.get_running_loop()
        if self._opening is None:
            self._opening = asyncio.Lock()
        try:
            async with self._opening:
                if self._listening is None or self._listening.is_closed():
                    self._subscribed.clear()
                    await self._open()
                if self._subscribed.get(path, 0) < loop.time():
                    await self._subscribe(path)
                    self._subscribed[path] = loop.time() + SUBSCRIBED_SECONDS / 3
        except (SessionStoreError, asyncpg.PostgresError, asyncpg.InterfaceError, OSError):
            # Then who waits looks for himself.
            return False
        return True

    async def _open(self) -> None:
        connection = await self._connections.open()
        await connection.add_listener(schema.channel(self._connections.schema), self._tell)
        connection.add_termination_listener(self._lost)
        self._listening = connection

    async def _subscribe(self, path: str) -> None:
        s = self._connections.schema
        await self._connections.ask(
            path,
            lambda db: db.fetch(
                f"WITH gone AS (DELETE FROM {s}.subscriber WHERE until < clock_timestamp())"
                f" INSERT INTO {s}.subscriber"
                " VALUES ($1, $2, clock_timestamp() + make_interval(secs => $3))"
                " ON CONFLICT (path, client) DO UPDATE SET until = excluded.until",
                path,
                self._client,
                SUBSCRIBED_SECONDS,
            ),
            changes=True,
        )

    def _tell(self, _connection: Any, _pid: int, _channel: str, name: str) -> None:
        event = self._told.pop(name, None)
        if event is not None:
            event.set()

    def _lost(self, _connection: Any) -> None:
        # What was told meanwhile is lost: everybody looks.
        for event in self._told.values():
            event.set()
        self._told.clear()


async def _size(stat: Stat, path: str) -> int:
    try:
        return (await stat(path)).size
    except NotFoundError:
        return 0


__all__ = ["Watching"]
