"""The parts of a store put together, and its life: opened, made durable, checked, closed."""

from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from functools import partial
from typing import Any, TypeVar, cast

from session_store.errors import (
    ClosedError,
    FileSystemError,
    LeaseLostError,
    NotFoundError,
    NotLockOwnerError,
    SessionNotFoundError,
    SessionStoreError,
    UnavailableError,
)
from session_store.files.durability import Durability
from session_store.files.filesystem import Bindable, FileSystem, is_direct
from session_store.index.journal import JournalIndex
from session_store.index.manager import OwnIndex, SessionIndexManager
from session_store.locks.manager import LockManager
from session_store.model.config import StoreConfig
from session_store.model.records import SessionMetadata
from session_store.runtime import Runtime, on_fork

from .branches import Branches
from .checking import Checker, CheckReport
from .feed import Feed
from .messages import Appender
from .quick import Quick
from .reader import Reader
from .writer import LogFences, Writer

T = TypeVar("T")


def bound(files: FileSystem, runtime: Runtime) -> FileSystem:
    """Return the file system as it serves this runtime."""
    # Asked of its class, for that answer is remembered.
    if issubclass(type(files), Bindable):
        return cast("Bindable", files).bind(runtime)
    return files


class Opened:
    """A store that can be opened, made durable, checked and closed."""

    def __init__(self, files: FileSystem, config: StoreConfig, runtime: Runtime) -> None:
        self._config = config
        self._files = bound(files, runtime)
        self._runtime = runtime
        self._durability = Durability(self._files, config.durability, runtime)
        self._sync_failure: FileSystemError | None = None
        self._index, journal = self._open_index()
        self._resolve_now = None if journal is None else journal.resolve_now
        self._writer = Writer(self._files, runtime, config, self._index, self._commit)
        self._locks = LockManager(
            self._files,
            runtime,
            LogFences(self._writer, runtime),
            lock_timeout_ms=config.lock_timeout_ms,
            poll_interval_ms=config.poll_interval_ms,
        )
        self._writer.locks = self._locks
        self._logs = self._writer.logs
        self._quick, direct = None, self._files
        if is_direct(direct) and config.auto_reset is None:
            self._quick = Quick(
                direct,
                runtime,
                config,
                self._index,
                self._locks,
                self._logs,
                self._durability.owe,
            )
        self._reader = Reader(self._files, runtime, self._index, self._logs)
        self._appender = Appender(self._writer, self._reader, runtime, config)
        self._branches = Branches(self._files, runtime, self._writer, self._reader, self._commit)
        self._feed = Feed(
            self._files, runtime, self._index, self._reader, self._logs, config.poll_interval_ms
        )
        self._initialised = False
        self._closed = False
        self._opening = runtime.mutex()
        on_fork(self)

    def _open_index(self) -> tuple[SessionIndexManager, JournalIndex | None]:
        """Return the index, and once more as the journal it is unless it is the engine's own."""
        config, files = self._config, self._files
        # Asked of its class, for that answer is remembered.
        if issubclass(type(files), OwnIndex):
            own = cast("OwnIndex", files).session_index(
                self._runtime, recount=self._recount, save_delay_ms=config.index_save_delay_ms
            )
            return own, None
        journal = JournalIndex(
            files,
            self._runtime,
            commit=self._commit,
            recount=self._recount,
            save_delay_ms=config.index_save_delay_ms,
            io_timeout_ms=config.io_timeout_ms,
        )
        return journal, journal

    def after_fork(self) -> None:
        """Let go, in the child, of what was read and of the locks of the parent's threads."""
        self._logs.clear()
        self._opening = self._runtime.mutex()

    async def init(self) -> None:
        """Open the store, or make it; also done by the first call that needs it."""
        if self._closed:
            raise ClosedError
        async with self._opening:
            if not self._initialised:
                await self._index.load()
                self._initialised = True

    async def _ready(self) -> None:
        """Raise `ClosedError` after `close`; open the store before its first use."""
        if self._closed or not self._initialised:
            await self.init()

    async def flush(self, *, snapshot: bool = False) -> None:
        """Make all that was done durable; with `snapshot`, readable by the original too."""
        await self._ready()
        await self._durability.flush()
        await self._index.flush(snapshot=snapshot)

    async def close(self) -> None:
        """Release what is locked, make everything durable, and let go of the files.

        In the mode `os` that is the index: messages are left to the system, unless `flush` was
        called.
        """
        if self._closed:
            return
        try:
            if self._initialised:
                held = self._locks.sessions_held()
                await _each(
                    *(partial(self._give_up_lock, session_id) for session_id in held),
                    *(() if self._durability.mode == "os" else (self._durability.flush,)),
                    self._index.close,
                )
        finally:
            self._closed = True
            await self._files.close()

    async def _commit(self, path: str) -> None:
        if self._sync_failure is not None:
            failure, self._sync_failure = self._sync_failure, None
            raise failure
        await self._durability.committed(path)

    async def _sync_dirty(self) -> None:
        """Sync what the mode `interval` has put off; the next append tells of a failure."""
        try:
            await self._durability.sync_dirty()
        except FileSystemError as error:
            self._sync_failure = error

    async def _give_up_lock(self, session_id: str) -> None:
        """Release what is held; who is gone for good must not make others wait."""
        lease = self._locks.held(session_id)
        if lease is not None:
            with suppress(LeaseLostError, NotLockOwnerError, SessionNotFoundError):
                await self._release(session_id, lease.owner)

    async def _release(self, session_id: str, owner_id: str) -> None:
        """Release the lock, trying twice: its holder is gone and cannot do it again."""
        release = partial(self._locks.release, session_id, owner_id)
        try:
            await release()
        except (LeaseLostError, NotLockOwnerError):
            raise
        except NotFoundError as error:
            # An engine that knows what was deleted takes no lock for it any more.
            raise SessionNotFoundError(session_id) from error
        except FileSystemError:
            await release()
        except BaseException:
            # Cancelled, or worse, in the midst of it.
            with suppress(SessionStoreError):
                await release()
            raise
        with suppress(FileSystemError):
            await self._writer.look_again(session_id)

    async def _locking(self, session_id: str, change: Coroutine[Any, Any, T]) -> T:
        """Return what a change of the lock gives; `SessionNotFoundError` if it came too late.

        Then nothing is left of it: `lock.json` makes the folder of a deleted session again.
        """
        try:
            result = await change
        except SessionStoreError:
            with suppress(FileSystemError):
                await self._writer.still_there(session_id)
            raise
        try:
            await self._writer.look_again(session_id)
        except FileSystemError as error:
            # The change stands; who reads on from here must not take it for refused.
            raise UnavailableError(error.path, str(error), unknown=True) from error
        return result

    async def _recount(self, session_id: str) -> SessionMetadata | None:
        """Return what the log of a session that has no record tells of it."""
        return await self._checker().describe(session_id)

    async def check(self, *, repair_index: bool = False) -> CheckReport:
        """Verify every promise about what is stored, and return what was found.

        With `repair_index` the index is first rebuilt from its journals and the folders.
        """
        await self._ready()
        if repair_index:
            await self._index.rebuild()
        return await self._checker().check()

    def _checker(self) -> Checker:
        return Checker(self._files, self._runtime, self._index, self._logs, self._branches)


async def _each(*steps: Callable[[], Awaitable[None]]) -> None:
    """Take every step, also behind one that fails; the first error is raised in the end."""
    first: SessionStoreError | None = None
    for step in steps:
        try:
            await step()
        except SessionStoreError as error:
            first = first or error
    if first is not None:
        raise first
