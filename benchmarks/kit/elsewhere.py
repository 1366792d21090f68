"""A row whose library needs an event loop, used from a thread that has none: it is elsewhere.

What the blocking face of the store is compared with where there is no blocking client: each call
is handed to the loop's thread, and the thread that asks waits.
"""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from .chat import Chat, Native
from .messages import Turn

T = TypeVar("T")


class Elsewhere:
    """The row that `make` makes, with a loop and a thread of its own."""

    def __init__(self, make: Callable[[], Chat]) -> None:
        self._row = make()
        self.promise = self._row.promise
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()

    async def open(self) -> None:
        self._wait(self._row.open())

    async def close(self) -> None:
        self._wait(self._row.close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    def native(self, turn: Turn) -> Native:
        return self._row.native(turn)

    async def append(self, session: str, message: Native) -> None:
        self._wait(self._row.append(session, message))

    async def append_many(self, session: str, messages: list[Native]) -> None:
        self._wait(self._row.append_many(session, messages))  # type: ignore[attr-defined]

    async def read(self, session: str) -> list[Native]:
        return self._wait(self._row.read(session))

    async def last(self, session: str, count: int) -> list[Native]:
        return self._wait(self._row.last(session, count))

    def text(self, message: Native) -> str:
        return self._row.text(message)

    def _wait(self, call: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(call, self._loop).result()
