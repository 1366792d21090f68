"""Asking a database that others write to as well: tried again until it is free."""

import threading
from collections.abc import Callable
from typing import Final, TypeVar

import apsw

from session_store.errors import (
    CorruptionError,
    FileSystemError,
    StorageFullError,
    UnavailableError,
)
from session_store.runtime import GroupCommit, Runtime, on_fork

from .database import BusyError, Database

T = TypeVar("T")

FIRST_PAUSE_SECONDS: Final = 0.000_05
LONGEST_PAUSE_SECONDS: Final = 0.005
GROWN_MAX: Final = 1_024
"""So many files are remembered that have grown and were not synced by a plain call."""


class Access:
    """One database, as it serves one runtime.

    Callers here take turns, so that only other processes make somebody wait and try again.
    """

    def __init__(self, database: Database, runtime: Runtime, io_timeout_ms: int) -> None:
        self.database = database
        self.runtime = runtime
        self.io_timeout_ms = io_timeout_ms
        self._start()
        on_fork(self)

    def _start(self) -> None:
        self._turns = self.runtime.mutex()
        self._group = GroupCommit(self.runtime)
        self._alone = threading.Lock()
        self._grown: set[str] = set()

    def after_fork(self) -> None:
        """Wait for nobody of the parent, in a child."""
        self._start()

    async def look(self, path: str, question: Callable[[apsw.Connection], T]) -> T:
        """Return `question(connection)`, which is one small statement."""
        look = self.database.look
        return await self._when_free(path, lambda: look(question))

    async def read(
        self, path: str, question: Callable[[apsw.Connection], T], *, large: bool = False
    ) -> T:
        """Return `question(connection)`; in a thread if that reads much."""
        read = self.database.read
        return await self._when_free(path, lambda: read(question), large=large)

    async def change(self, path: str, deed: Callable[[apsw.Connection], T]) -> T:
        """Return `deed(connection)`, done wholly or not at all."""
        change = self.database.change
        # Who stands in line behind one that waits has waited as well.
        deadline = self._deadline()
        async with self._turns:
            result = await self._when_free(path, lambda: change(deed), deadline=deadline)
        if self.database.log_is_long:
            await self._group.run("checkpoint", self._checkpoint)
        return result

    def at_once(self, path: str, attempt: Callable[[], T]) -> T | None:
        """Return what the attempt returns, None if others write just now."""
        try:
            return attempt()
        except BusyError:
            return None
        except (FileSystemError, CorruptionError) as error:
            raise _with_path(path, error) from error

    async def change_durably(self, path: str, deed: Callable[[apsw.Connection], T]) -> T:
        """Do as `change`, and return when it survives a power cut."""
        result = await self.change(path, deed)
        try:
            await self.sync(path)
        except UnavailableError as error:
            raise UnavailableError(path, error.reason, unknown=True) from error
        return result

    async def sync(self, path: str) -> None:
        """Return when all that was changed before survives a power cut; many share one sync."""
        try:
            await self._group.run("sync", self._sync)
        except FileSystemError as error:
            raise _with_path(path, error) from error

    def grew(self, path: str) -> None:
        """Remember that there is such a file, for `sync_now`."""
        if len(self._grown) >= GROWN_MAX:
            self._grown.clear()
        self._grown.add(path)

    def sync_now(self, path: str) -> bool:
        """Do `sync` and return True, or nothing: others do it, or it is not known to have grown."""
        if path not in self._grown or not self._alone.acquire(False):
            return False
        try:
            synced = self.at_once(path, self._synced)
        finally:
            self._alone.release()
        self._grown.discard(path)
        return synced is not None

    def _synced(self) -> bool:
        self.database.sync()
        return True

    async def _sync(self) -> None:
        await self.runtime.offload(self.database.sync)

    async def _checkpoint(self) -> None:
        try:
            await self.runtime.offload(self.database.checkpoint)
        except (BusyError, FileSystemError):
            pass  # the log stays as long as it is, until it is tried again

    def _deadline(self) -> float:
        return self.runtime.monotonic() + self.io_timeout_ms / 1000

    async def _when_free(
        self,
        path: str,
        attempt: Callable[[], T],
        *,
        deadline: float | None = None,
        large: bool = False,
    ) -> T:
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                return await self.runtime.offload(attempt) if large else attempt()
            except BusyError:
                deadline = self._deadline() if deadline is None else deadline
                if self.runtime.monotonic() >= deadline:
                    reason = f"others wrote to it for {self.io_timeout_ms} ms (is one stopped?)"
                    raise UnavailableError(path, reason) from None
            except (FileSystemError, CorruptionError) as error:
                raise _with_path(path, error) from error
            await self.runtime.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE_SECONDS)


def _with_path(
    path: str, error: FileSystemError | CorruptionError
) -> FileSystemError | CorruptionError:
    """Return the error with the path that was asked for, where it has none."""
    if error.path:
        return error
    match error:
        case StorageFullError():
            return StorageFullError(path, error.reason)
        case UnavailableError():
            return UnavailableError(path, error.reason, unknown=error.unknown)
        case CorruptionError():
            return CorruptionError(path, error.offset, error.reason)
        case _:
            return error


__all__ = ["Access"]
