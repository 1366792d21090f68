"""The index in a bucket: the table's, but what is noted is written beside the calls.

A note is two requests here. Written within the call that finds it due it would add their time to
that call; and in a slow chat every append would be such a call.
"""

import asyncio
from contextlib import suppress
from typing import Any, Final

from session_store.errors import FileSystemError
from session_store.files.filesystem import FileSystem
from session_store.index.manager import Recount
from session_store.index.table import Table, TableIndex
from session_store.runtime import Runtime

NOTED_MS: Final = 2_000
"""What is noted waits at least so long."""


class ObjectIndex(TableIndex):
    """The index in the `table` of a bucket, whose sessions' folders are in `files`."""

    def __init__(
        self,
        table: Table,
        files: FileSystem,
        runtime: Runtime,
        *,
        recount: Recount,
        save_delay_ms: int,
        io_timeout_ms: int,
    ) -> None:
        self._delay = max(save_delay_ms, NOTED_MS)
        super().__init__(
            table,
            files,
            runtime,
            recount=recount,
            save_delay_ms=self._delay,
            io_timeout_ms=io_timeout_ms,
        )
        self._writing: asyncio.Task[None] | None = None

    async def close(self) -> None:
        """See `SessionIndexManager.close`."""
        await self._stop_writing()
        await super().close()

    async def flush(self, *, snapshot: bool = False) -> None:
        """See `SessionIndexManager.flush`."""
        await self._stop_writing()
        await super().flush(snapshot=snapshot)

    async def _ready(self) -> None:
        self._check_open()

    async def _note(self, session_id: str, changes: dict[str, Any], *, recount: bool) -> None:
        self._check_open()
        self._notes.put(session_id, changes, recount=recount)
        if self._writing is None or self._writing.done():
            self._writing = asyncio.create_task(self._write_later())

    async def _write_later(self) -> None:
        while self._notes:
            await self._runtime.sleep(self._delay / 1000)
            # They stay noted, and can be counted again.
            with suppress(FileSystemError):
                await self._write_notes()

    async def _stop_writing(self) -> None:
        """Break off what is being written: it stays noted, for the caller to write."""
        writing, self._writing = self._writing, None
        if writing is not None:
            writing.cancel()
            await asyncio.wait([writing])
