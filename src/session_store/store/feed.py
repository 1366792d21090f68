"""`subscribe`: what is there, and then what comes, from whichever process it comes."""

from collections import deque
from collections.abc import AsyncGenerator, Iterable
from typing import Final

from session_store.errors import MessageNotFoundError, NotFoundError
from session_store.files.filesystem import FileSystem, Watch
from session_store.index.manager import SessionIndexManager
from session_store.jsonl.scanner import Replaced, Retracted, Scanner
from session_store.model.records import Message
from session_store.runtime import Runtime

from .logs import Logs
from .reader import Reader
from .records import is_control, read_message

FIRST_WAIT_S: Final = 0.001
WATCHED_S: Final = 5.0
"""How long a file is watched until its session is looked for again: it may be deleted though
nothing is seen of it there, because it never had a log, or the delete was broken off."""
GIVEN_MAX: Final = 1_000
"""So many of the messages given last are remembered: one of them is looked for in a log that has
become another."""


class Feed:
    """Follows the logs of sessions."""

    def __init__(
        self,
        files: FileSystem,
        runtime: Runtime,
        index: SessionIndexManager,
        reader: Reader,
        logs: Logs,
        poll_interval_ms: int,
    ) -> None:
        self._files = files
        self._watch = files if isinstance(files, Watch) else None
        self._runtime = runtime
        self._index = index
        self._reader = reader
        self._logs = logs
        self._longest = poll_interval_ms / 1000

    async def follow(
        self, session_id: str, after: str | None, durable: bool
    ) -> AsyncGenerator[Message, None]:
        """Yield the messages behind `after` (None: all), then every new one, for ever."""
        start = await self._start(session_id, after)
        if durable:
            # What nobody can find by its session has not survived.
            await self._index.sync()
        async with self._logs.using(session_id) as log:
            file = log.file
        scanner = Scanner(read_message, start)
        given: deque[str] = deque(maxlen=GIVEN_MAX)
        seen, wait = -1, FIRST_WAIT_S
        while True:
            await self._reader.require(session_id)
            size = await file.size()
            if size == seen:
                await self._wait(file.path, size, wait)
                wait = min(wait * 2, self._longest)
                continue
            seen, wait = size, FIRST_WAIT_S
            try:
                if size < scanner.position:
                    raise Replaced
                if durable and size and not self._files.traits.durable_appends:
                    await self._files.sync(file.path)
                async for entries in file.scan(scanner, size):
                    for _, _, message in entries:
                        if message.control is None or not is_control(message):
                            given.append(message.id)
                            yield message
            except Replaced:
                # The original began it anew, or a server came back with less than it had.
                scanner = Scanner(read_message, await self._behind_given(session_id, given))
                seen = -1
            except Retracted:
                scanner = Scanner(read_message, scanner.position)
                seen = -1
            except NotFoundError:
                seen = -1

    async def _start(self, session_id: str, after: str | None) -> int:
        async with self._reader.reading(session_id) as log:
            if after is None:
                return await self._reader.visible_from(log)
            nodes = await log.load(messages=False)
            ordinal = nodes.used(after)
            if ordinal is None:
                raise MessageNotFoundError(session_id, after)
            # From the record itself on: its line may end a batch.
            return await self._behind(log.path, nodes.ends[ordinal])

    async def _behind_given(self, session_id: str, given: Iterable[str]) -> int:
        """Return where to go on in a log that is another now: behind the last that is known."""
        async with self._reader.reading(session_id) as log:
            nodes = await log.load(messages=False)
            there = [one for one in map(nodes.used, given) if one is not None]
            return await self._behind(log.path, nodes.ends[max(there)]) if there else 0

    async def _behind(self, path: str, end: int) -> int:
        ending = await self._files.read(path, end, end + 2)
        return end + (2 if ending == b"\r\n" else 1)

    async def _wait(self, path: str, size: int, seconds: float) -> None:
        if self._watch is not None:
            await self._watch.changed(path, size, WATCHED_S)
        else:
            await self._runtime.sleep(seconds)
