"""A process that appends to one session until it is told to end: `URL KEY ACTOR NOTES`.

What it asks is in its file of notes before it asks, and what it is answered before it asks the
next thing. A call whose storage was not there, or did not say what became of it, is made again
with the same ids, as a caller would.
"""

import asyncio
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from typing import Any

from session_store import AppendUnknownError, SessionStore, UnavailableError
from session_store.testing.history import History

PAUSE_SECONDS = 0.02
IO_TIMEOUT_MS = 1_000
READ_EVERY = 15


class Writer:
    """One caller of a store."""

    def __init__(self, store: SessionStore, history: History, actor: str) -> None:
        self._store = store
        self._history = history
        self._actor = actor
        self._said = 0

    async def run(self, key: str, ended: asyncio.Event) -> None:
        """Append, now one message and now a few, and read now and then."""
        ask = lambda: self._store.resolve(key)  # noqa: E731
        session = await self._insist(ask, "resolve", "", key=key)
        while not ended.is_set():
            await self._say(session, self._new(1 + 2 * (self._said % 5 == 4)))
            if self._said % READ_EVERY == 0:
                await self._insist(lambda: self._names(session), "read", session)

    async def _say(self, session: str, messages: list[dict[str, Any]]) -> None:
        ids = [message["id"] for message in messages]

        async def append() -> None:
            if len(messages) == 1:
                await self._store.append(session, messages[0])
            else:
                await self._store.append_many(session, messages)

        kind = "append" if len(messages) == 1 else "append_many"
        await self._insist(append, kind, session, ids=ids)

    async def _insist(
        self, ask: Callable[[], Coroutine[Any, Any, Any]], kind: str, session: str, **facts: Any
    ) -> Any:
        """Ask until there is an answer, and note each time how it went."""
        while True:
            call = self._history.begin(self._actor, kind, session, **facts)
            try:
                answer = await ask()
            except (AppendUnknownError, UnavailableError) as error:
                unknown = isinstance(error, AppendUnknownError) or error.unknown
                (call.unknown if unknown else call.fail)(error)
                await asyncio.sleep(PAUSE_SECONDS)
            else:
                call.ok(answer)
                return answer

    async def _names(self, session: str) -> list[str]:
        return [message.id for message in await self._store.get_messages(session)]

    def _new(self, count: int) -> list[dict[str, Any]]:
        self._said += 1
        ids = [f"{self._actor}.{self._said}.{place}" for place in range(count)]
        return [{"id": id, "type": "user", "content": f"I am {id}"} for id in ids]


async def main(url: str, key: str, actor: str, notes: str) -> None:
    """Write until SIGTERM."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, ended.set)
    file = os.open(notes, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    history = History(time.monotonic, sink=lambda line: os.write(file, line.encode()))
    while True:
        try:
            store = await SessionStore.open(url, io_timeout_ms=IO_TIMEOUT_MS)
        except UnavailableError:
            await asyncio.sleep(PAUSE_SECONDS)
        else:
            break
    async with store:
        await Writer(store, history, actor).run(key, ended)


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
