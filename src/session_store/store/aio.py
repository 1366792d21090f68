"""The async face: the engine with what only an event loop can do around it."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Generator
from contextlib import AbstractAsyncContextManager
from types import TracebackType
from typing import Any, TypeVar

from session_store.errors import (
    FileSystemError,
    LeaseLostError,
    SessionNotFoundError,
    SessionStoreError,
)
from session_store.event_loop import AsyncRuntime
from session_store.files.filesystem import FileSystem
from session_store.files.urls import open_files
from session_store.model.config import StoreConfig, make_config

from .engine import Engine
from .session import Session

T = TypeVar("T")


class SessionStore(Engine):
    """Dialogues of agents and bots, kept as trees of messages in append-only logs.

    `async with SessionStore.open("./sessions") as store:` is the usual way. One object may
    be shared by all tasks of its event loop; other processes open their own.
    """

    def __init__(self, files: FileSystem, config: StoreConfig | None = None) -> None:
        super().__init__(files, config or StoreConfig(), AsyncRuntime())
        self._syncing: asyncio.Task[None] | None = None

    @classmethod
    def open(cls, url: str | os.PathLike[str], **config: Any) -> "SessionStore":
        """Return the store at a folder or URL; fields of `StoreConfig` are keywords."""
        settings = make_config(**config)
        return cls(open_files(url, io_timeout_ms=settings.io_timeout_ms), settings)

    async def __aenter__(self) -> "SessionStore":
        await self.init()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            await self.close()
        except SessionStoreError as failure:
            if error is None:
                raise
            error.add_note(f"Closing the store failed, too: {failure}")

    def __await__(self) -> Generator[Any, None, "SessionStore"]:
        return self.__aenter__().__await__()

    async def init(self) -> None:
        """Open the store, or make it; also done by the first call that needs it."""
        await super().init()
        if self._config.durability == "interval" and self._syncing is None:
            self._syncing = asyncio.create_task(self._keep_syncing())

    async def _keep_syncing(self) -> None:
        while True:
            await asyncio.sleep(self._config.sync_interval_ms / 1000)
            await self._sync_dirty()

    async def close(self) -> None:
        """Release what is locked, make everything durable, let go of the files."""
        if self._syncing is not None:
            self._syncing.cancel()
            self._syncing = None
        await super().close()

    async def session(self, key: str) -> Session:
        """Return the session that `key` names, made if there is none, to talk to."""
        return Session(self, await self.resolve(key), key)

    def lock(
        self, session_id: str, owner_id: str | None = None, *, timeout_ms: int | None = None
    ) -> AbstractAsyncContextManager[None]:
        """Hold the lock of a session for `async with`: it waits, renews itself, and releases.

        Without `owner_id` each call is an owner of its own. Raises `LockTimeoutError` if it
        does not get the lock within `timeout_ms` (None: it waits for ever), and
        `LeaseLostError` at the end if somebody took it over meanwhile.
        """
        return _Hold(self, session_id, owner_id or self._runtime.new_id(), timeout_ms)

    async def with_lock(
        self,
        session_id: str,
        owner_id: str | None,
        body: Callable[[], Awaitable[T]],
        *,
        timeout_ms: int | None = None,
    ) -> T:
        """Return what `body()` returns, run while holding the lock; see `lock`."""
        async with self.lock(session_id, owner_id, timeout_ms=timeout_ms):
            return await body()


class _Hold(AbstractAsyncContextManager[None]):
    def __init__(
        self, store: SessionStore, session_id: str, owner_id: str, timeout_ms: int | None
    ) -> None:
        self._store = store
        self._session_id = session_id
        self._owner_id = owner_id
        self._timeout_ms = timeout_ms

    async def __aenter__(self) -> None:
        await self._store._hold(self._session_id, self._owner_id, self._timeout_ms)
        self._renewing = asyncio.create_task(self._renew())

    async def _renew(self) -> None:
        locks = self._store._locks
        while True:
            await asyncio.sleep(locks.renew_every_s(self._session_id))
            try:
                await self._store._renew(self._session_id)
            except (LeaseLostError, SessionNotFoundError):
                return  # the lease remembers it: the body will be told
            except FileSystemError:
                pass  # the next renewal may get through; if none does the lease is lost

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._renewing.cancel()
        await self._store._let_go(self._session_id, self._owner_id, error)
