"""Tells how much of a store has been read, for a progress bar over work that has none."""

from collections.abc import Callable
from typing import Any, cast

from session_store.files.filesystem import FileSystem
from session_store.index.manager import OwnIndex, Recount, SessionIndexManager
from session_store.runtime import Runtime


class Meter:
    """A file system that reports the size of everything read from it."""

    def __init__(self, files: FileSystem, report: Callable[[int], None]) -> None:
        self._files = files
        self._report = report

    def __getattr__(self, name: str) -> Any:
        if name in {"bind", "session_index"}:
            # What `bind` returns would be read from behind our back.
            raise AttributeError(name)
        return getattr(self._files, name)

    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        """See `FileSystem.read`."""
        data = await self._files.read(path, start, end)
        self._report(len(data))
        return data


class _WithIndex(Meter):
    def session_index(
        self, runtime: Runtime, *, recount: Recount, save_delay_ms: int
    ) -> SessionIndexManager:
        """See `OwnIndex.session_index`."""
        files = cast("OwnIndex", self._files)
        return files.session_index(runtime, recount=recount, save_delay_ms=save_delay_ms)


def metered(files: FileSystem, report: Callable[[int], None]) -> FileSystem:
    """Return the same files, which call `report` with the number of bytes after each read."""
    kind = _WithIndex if isinstance(files, OwnIndex) else Meter
    return cast("FileSystem", kind(files, report))
