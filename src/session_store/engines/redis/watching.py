"""Being told of changes: one subscription for all who wait in this process.

An append tells of a file only while somebody has said that he waits for it.
"""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from session_store.errors import NotFoundError, SessionStoreError
from session_store.files.filesystem import FileStats

from .client import BROKEN, Client

SUBSCRIBED_SECONDS: Final = 60
"""So long the server tells of a path after somebody last asked for it."""
LOOK_SECONDS: Final = 2.0
"""Without being told somebody who waits looks again after this time."""

Stat = Callable[[str], Awaitable[FileStats]]


class Watching:
    """Those who wait for changes of files."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._told: dict[str, asyncio.Event] = {}
        self._asked: dict[str, float] = {}
        self._listener: asyncio.Task[None] | None = None
        self._listening = False

    async def changed(self, path: str, size: int, seconds: float, stat: Stat) -> None:
        """Return once the file differs from `size` bytes, or after that time."""
        loop = asyncio.get_running_loop()
        deadline = loop.time() + seconds
        while True:
            event = self._told.get(path)
            if event is None or event.is_set():
                event = self._told[path] = asyncio.Event()
            listening = await self._ask_for(path)
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
        listener, self._listener = self._listener, None
        if listener is not None and not listener.done():
            listener.cancel()
            if listener.get_loop() is asyncio.get_running_loop():
                with suppress(asyncio.CancelledError):
                    await listener
        self._wake()

    async def _ask_for(self, path: str) -> bool:
        """Have the server tell of the path, and return whether it will."""
        loop = asyncio.get_running_loop()
        if self._listener is None or self._listener.done():
            self._asked.clear()
            self._listening = False
            began = asyncio.Event()
            self._listener = loop.create_task(self._listen(began))
            with suppress(TimeoutError):
                await asyncio.wait_for(began.wait(), LOOK_SECONDS)
        if self._listening and self._asked.get(path, 0) < loop.time():
            place = f"{self._client.names.top(path)}:watch:{path}"
            try:
                await self._client.ask(
                    path, lambda client: client.set(place, 1, ex=SUBSCRIBED_SECONDS), changes=True
                )
            except SessionStoreError:
                # Where nothing can be asked for, nothing may be told either: both anew.
                self._listener.cancel()
                return False
            self._asked[path] = loop.time() + SUBSCRIBED_SECONDS / 3
        return self._listening

    async def _listen(self, began: asyncio.Event) -> None:
        pubsub: Any = None
        try:
            client = await self._client.open()
            pubsub = client.pubsub()
            await pubsub.subscribe(self._client.names.channel)
            silent = False
            while True:
                said = await pubsub.get_message(timeout=self._client.io_timeout_ms / 1000)
                if said is None:
                    if silent:
                        return  # not even what was asked then is answered: the link is dead
                    silent = True
                    await pubsub.ping()
                    continue
                silent = False
                if said["type"] == "subscribe":
                    self._listening = True
                    began.set()
                elif said["type"] == "message":
                    event = self._told.pop(said["data"].decode(), None)
                    if event is not None:
                        event.set()
        except (SessionStoreError, *BROKEN):
            pass  # who waits looks for himself, and has it begun anew
        finally:
            self._listening = False
            began.set()
            if pubsub is not None:
                with suppress(*BROKEN):
                    await pubsub.aclose()
            # What was told meanwhile is lost: everybody looks.
            self._wake()

    def _wake(self) -> None:
        for event in self._told.values():
            event.set()
        self._told.clear()


async def _size(stat: Stat, path: str) -> int:
    try:
        return (await stat(path)).size
    except NotFoundError:
        return 0


__all__ = ["Watching"]
