"""The blocking face: one line a method, driving the engine's coroutines in one step."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import Any, TypeVar

from session_store.errors import SessionStoreError
from session_store.files.filesystem import Bindable, FileSystem
from session_store.files.urls import open_files
from session_store.index.manager import SessionPage
from session_store.model.config import StoreConfig, make_config
from session_store.model.context import TokenCounter
from session_store.model.messages import MessageLike
from session_store.model.records import (
    Branch,
    Lock,
    LockResult,
    Message,
    SessionMetadata,
)
from session_store.runtime import Driver, InPlace

from .background import Hold, Repeat
from .blocking_session import Session
from .checking import CheckReport
from .engine import Engine

T = TypeVar("T")


class SessionStore:
    """See `session_store.SessionStore`; this one blocks."""

    def __init__(self, files: FileSystem, config: StoreConfig | None = None) -> None:
        self._driver = driver_of(files)
        self._run, self._iterate = self._driver.run, self._driver.iterate
        self._engine = Engine(files, config or StoreConfig(), self._driver.runtime)
        self._syncing: Repeat | None = None

    @classmethod
    def open(cls, url: str | os.PathLike[str], **config: Any) -> "SessionStore":
        """See `session_store.SessionStore.open`."""
        settings = make_config(**config)
        return cls(open_files(url, io_timeout_ms=settings.io_timeout_ms), settings)

    def __enter__(self) -> "SessionStore":
        self.init()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None
    ) -> None:
        try:
            self.close()
        except SessionStoreError as failure:
            if error is None:
                raise
            error.add_note(f"Closing the store failed, too: {failure}")

    def init(self) -> None:
        """See `session_store.SessionStore.init`."""
        self._run(self._engine.init())
        config = self._engine._config
        if config.durability == "interval" and self._syncing is None:
            self._syncing = Repeat(lambda: config.sync_interval_ms / 1000, self._sync)

    def _sync(self) -> None:
        self._run(self._engine._sync_dirty())

    def close(self) -> None:
        """See `session_store.SessionStore.close`."""
        if self._syncing is not None:
            self._syncing.stop()
            self._syncing = None
        try:
            self._run(self._engine.close())
        finally:
            self._driver.stop()

    def session(self, key: str) -> Session:
        """See `session_store.SessionStore.session`."""
        return Session(self, self.resolve(key), key)

    def lock(
        self, session_id: str, owner_id: str | None = None, *, timeout_ms: int | None = None
    ) -> AbstractContextManager[None]:
        """See `session_store.SessionStore.lock`."""
        owner = owner_id or self._engine._runtime.new_id()
        return Hold(self._engine, self._driver, session_id, owner, timeout_ms)

    def with_lock(
        self,
        session_id: str,
        owner_id: str | None,
        body: Callable[[], T],
        *,
        timeout_ms: int | None = None,
    ) -> T:
        """See `session_store.SessionStore.with_lock`."""
        with self.lock(session_id, owner_id, timeout_ms=timeout_ms):
            return body()

    def flush(self, *, snapshot: bool = False) -> None:
        """See `session_store.SessionStore.flush`."""
        self._run(self._engine.flush(snapshot=snapshot))

    def resolve(self, key: str) -> str:
        """See `session_store.SessionStore.resolve`."""
        return self._run(self._engine.resolve(key))

    def delete_session(self, session_id: str) -> None:
        """See `session_store.SessionStore.delete_session`."""
        self._run(self._engine.delete_session(session_id))

    def delete_session_by_key(self, key: str) -> None:
        """See `session_store.SessionStore.delete_session_by_key`."""
        self._run(self._engine.delete_session_by_key(key))

    def reset_session(self, session_id: str) -> None:
        """See `session_store.SessionStore.reset_session`."""
        self._run(self._engine.reset_session(session_id))

    def has_session(self, session_id: str) -> bool:
        """See `session_store.SessionStore.has_session`."""
        return self._run(self._engine.has_session(session_id))

    def has_key(self, key: str) -> bool:
        """See `session_store.SessionStore.has_key`."""
        return self._run(self._engine.has_key(key))

    def get_session_id(self, key: str) -> str | None:
        """See `session_store.SessionStore.get_session_id`."""
        return self._run(self._engine.get_session_id(key))

    def get_session_keys(self, session_id: str) -> list[str]:
        """See `session_store.SessionStore.get_session_keys`."""
        return self._run(self._engine.get_session_keys(session_id))

    def get_all_session_ids(self) -> list[str]:
        """See `session_store.SessionStore.get_all_session_ids`."""
        return self._run(self._engine.get_all_session_ids())

    def get_all_keys(self) -> list[str]:
        """See `session_store.SessionStore.get_all_keys`."""
        return self._run(self._engine.get_all_keys())

    def add_key(self, key: str, session_id: str) -> None:
        """See `session_store.SessionStore.add_key`."""
        self._run(self._engine.add_key(key, session_id))

    def remove_key(self, key: str) -> bool:
        """See `session_store.SessionStore.remove_key`."""
        return self._run(self._engine.remove_key(key))

    def get_metadata(self, session_id: str) -> SessionMetadata | None:
        """See `session_store.SessionStore.get_metadata`."""
        return self._run(self._engine.get_metadata(session_id))

    def get_metadata_by_key(self, key: str) -> SessionMetadata | None:
        """See `session_store.SessionStore.get_metadata_by_key`."""
        return self._run(self._engine.get_metadata_by_key(key))

    def update_metadata(self, session_id: str, changes: Mapping[str, Any]) -> SessionMetadata:
        """See `session_store.SessionStore.update_metadata`."""
        return self._run(self._engine.update_metadata(session_id, changes))

    def list_sessions(
        self,
        *,
        sort: str = "updated",
        where: Mapping[str, Any] | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> SessionPage:
        """See `session_store.SessionStore.list_sessions`."""
        return self._run(
            self._engine.list_sessions(sort=sort, where=where, after=after, limit=limit)
        )

    def append(self, session_id: str, message: MessageLike) -> Message:
        """See `session_store.SessionStore.append`."""
        return self._run(self._engine.append(session_id, message))

    def append_many(self, session_id: str, messages: Sequence[MessageLike]) -> list[Message]:
        """See `session_store.SessionStore.append_many`."""
        return self._run(self._engine.append_many(session_id, messages))

    def get_messages(self, session_id: str, *, include_reset: bool = False) -> list[Message]:
        """See `session_store.SessionStore.get_messages`."""
        return self._run(self._engine.get_messages(session_id, include_reset=include_reset))

    def stream_messages(self, session_id: str, *, include_reset: bool = False) -> Iterator[Message]:
        """See `session_store.SessionStore.stream_messages`."""
        return self._iterate(self._engine.stream_messages(session_id, include_reset=include_reset))

    def get_message(self, session_id: str, message_id: str) -> Message | None:
        """See `session_store.SessionStore.get_message`."""
        return self._run(self._engine.get_message(session_id, message_id))

    def get_head(self, session_id: str) -> str | None:
        """See `session_store.SessionStore.get_head`."""
        return self._run(self._engine.get_head(session_id))

    def get_linear_history(
        self, session_id: str, leaf_id: str | None = None, *, limit: int | None = None
    ) -> list[Message]:
        """See `session_store.SessionStore.get_linear_history`."""
        return self._run(self._engine.get_linear_history(session_id, leaf_id, limit=limit))

    def get_context(
        self,
        session_id: str,
        leaf: str | None = None,
        *,
        max_tokens: int | None = None,
        max_messages: int | None = None,
        token_counter: TokenCounter | None = None,
    ) -> list[Message]:
        """See `session_store.SessionStore.get_context`."""
        return self._run(
            self._engine.get_context(
                session_id,
                leaf,
                max_tokens=max_tokens,
                max_messages=max_messages,
                token_counter=token_counter,
            )
        )

    def get_children(self, session_id: str, message_id: str | None) -> list[Message]:
        """See `session_store.SessionStore.get_children`."""
        return self._run(self._engine.get_children(session_id, message_id))

    def has_children(self, session_id: str, message_id: str) -> bool:
        """See `session_store.SessionStore.has_children`."""
        return self._run(self._engine.has_children(session_id, message_id))

    def get_tree(self, session_id: str, root_message_id: str | None = None) -> list[Message]:
        """See `session_store.SessionStore.get_tree`."""
        return self._run(self._engine.get_tree(session_id, root_message_id))

    def subscribe(
        self, session_id: str, *, after: str | None = None, durable: bool = False
    ) -> Iterator[Message]:
        """See `session_store.SessionStore.subscribe`."""
        return self._iterate(self._engine.subscribe(session_id, after=after, durable=durable))

    def create_branch(
        self, session_id: str, name: str, leaf_message_id: str | None = None
    ) -> Branch:
        """See `session_store.SessionStore.create_branch`."""
        return self._run(self._engine.create_branch(session_id, name, leaf_message_id))

    def get_branches(self, session_id: str) -> list[Branch]:
        """See `session_store.SessionStore.get_branches`."""
        return self._run(self._engine.get_branches(session_id))

    def get_branch(self, session_id: str, name: str) -> Branch | None:
        """See `session_store.SessionStore.get_branch`."""
        return self._run(self._engine.get_branch(session_id, name))

    def switch_to_branch(self, session_id: str, name: str) -> str:
        """See `session_store.SessionStore.switch_to_branch`."""
        return self._run(self._engine.switch_to_branch(session_id, name))

    def delete_branch(self, session_id: str, name: str) -> None:
        """See `session_store.SessionStore.delete_branch`."""
        self._run(self._engine.delete_branch(session_id, name))

    def acquire_lock(
        self, session_id: str, owner_id: str, *, wait: bool = False, timeout_ms: int | None = None
    ) -> LockResult:
        """See `session_store.SessionStore.acquire_lock`."""
        return self._run(
            self._engine.acquire_lock(session_id, owner_id, wait=wait, timeout_ms=timeout_ms)
        )

    def release_lock(self, session_id: str, owner_id: str) -> None:
        """See `session_store.SessionStore.release_lock`."""
        self._run(self._engine.release_lock(session_id, owner_id))

    def is_locked(self, session_id: str) -> bool:
        """See `session_store.SessionStore.is_locked`."""
        return self._run(self._engine.is_locked(session_id))

    def get_lock(self, session_id: str) -> Lock | None:
        """See `session_store.SessionStore.get_lock`."""
        return self._run(self._engine.get_lock(session_id))

    def force_release(self, session_id: str) -> None:
        """See `session_store.SessionStore.force_release`."""
        self._run(self._engine.force_release(session_id))

    def check(self, *, repair_index: bool = False) -> CheckReport:
        """See `session_store.SessionStore.check`."""
        return self._run(self._engine.check(repair_index=repair_index))


def driver_of(files: FileSystem) -> Driver:
    """Return what drives a store on these files: in place, unless they need an event loop."""
    if issubclass(type(files), Bindable) or files.traits.blocking:
        return InPlace()
    from session_store.event_loop import LoopThread  # asyncio takes 20 ms that others save

    return LoopThread()
