"""When appended bytes must be on the disk: the policy above the seam.

Without it every caller would have to know what `durability=` the user chose.
"""

import threading
from typing import Final, Literal

from session_store.errors import NotFoundError, SessionStoreError
from session_store.runtime import GroupCommit, Runtime, on_fork

from .filesystem import FileSystem, is_direct

Mode = Literal["fsync", "interval", "os"]

SYNC_INTERVAL_MS: Final = 1_000


class Durability:
    """Syncs what was committed: at once (`fsync`), later (`interval`), or when asked to (`os`).

    With `interval` somebody must call `sync_dirty` every `interval_ms`; that, and the time the
    sync takes, is what a power cut can cost. Threads may share one. What is not synced yet takes
    some 200 bytes a file.
    """

    def __init__(
        self,
        files: FileSystem,
        mode: Mode,
        runtime: Runtime,
        *,
        interval_ms: int = SYNC_INTERVAL_MS,
    ) -> None:
        self.mode = mode
        self.interval_ms = interval_ms
        self._files = files
        self._runtime = runtime
        self._durable_appends = files.traits.durable_appends
        self._sync_now = files.sync_now if runtime.blocking and is_direct(files) else None
        self._start()
        on_fork(self)

    async def committed(self, path: str) -> None:
        """Return when what was appended to `path` is as durable as the mode promises."""
        if self._durable_appends:
            return
        if self.mode == "fsync":
            if self._sync_now is None or not self._sync_now(path):
                await self._files.sync(path)
        else:
            self.owe(path)

    def owe(self, path: str) -> None:
        """Remember that `path` has bytes to be synced later, if it is not done at once."""
        # Who finds it there wrote before it is taken out, and that is before it is synced.
        if self.mode != "fsync" and not self._durable_appends and path not in self._dirty:
            with self._guard:
                self._dirty[path] = None

    async def sync_dirty(self) -> None:
        """Return when all that was committed before this call is durable.

        What cannot be synced stays dirty, and the first error is raised when all the rest is
        done. A file that was deleted meanwhile owes nothing.
        """
        # Shared: also what another caller has begun to sync must be done when we return.
        await self._group.run("", self._sync_dirty)

    async def flush(self) -> None:
        """See `sync_dirty`."""
        await self.sync_dirty()

    def after_fork(self) -> None:
        """Leave to the parent, in a child, what the parent owes."""
        self._start()

    def _start(self) -> None:
        self._dirty: dict[str, None] = {}
        self._guard = threading.Lock()
        self._group = GroupCommit(self._runtime)

    async def _sync_dirty(self) -> None:
        first: SessionStoreError | None = None
        with self._guard:
            paths = list(self._dirty)
        for path in paths:
            try:
                await self._sync(path)
            except SessionStoreError as error:
                first = first or error
        if first is not None:
            raise first

    async def _sync(self, path: str) -> None:
        with self._guard:
            # Before the sync: what is committed during it is dirty again.
            self._dirty.pop(path, None)
        try:
            await self._files.sync(path)
        except NotFoundError:
            return
        except BaseException:
            with self._guard:
                self._dirty[path] = None
            raise


__all__ = ["Durability"]
