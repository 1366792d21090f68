"""The blocking handle on one session."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Any, TypeVar

from session_store.model.context import TokenCounter
from session_store.model.messages import MessageLike
from session_store.model.records import (
    Branch,
    ContentBlock,
    Message,
    SessionMetadata,
)

from .session import compose, message_id

if TYPE_CHECKING:
    from .blocking import SessionStore

T = TypeVar("T")


class Session:
    """See `session_store.Session`; this one blocks."""

    def __init__(self, store: "SessionStore", session_id: str, key: str) -> None:
        self.store = store
        self.id = session_id
        self.key = key

    def __repr__(self) -> str:
        return f"Session(id={self.id!r}, key={self.key!r})"

    def append(
        self,
        message: str | MessageLike,
        content: str | list[ContentBlock] | None = None,
        **fields: Any,
    ) -> Message:
        """See `session_store.Session.append`."""
        return self.store.append(self.id, compose(message, content, fields))

    def append_many(self, messages: Sequence[MessageLike]) -> list[Message]:
        """See `session_store.Session.append_many`."""
        return self.store.append_many(self.id, messages)

    def messages(self, *, include_reset: bool = False) -> list[Message]:
        """See `session_store.Session.messages`."""
        return self.store.get_messages(self.id, include_reset=include_reset)

    def history(
        self, leaf: Message | str | None = None, *, limit: int | None = None
    ) -> list[Message]:
        """See `session_store.Session.history`."""
        return self.store.get_linear_history(self.id, message_id(leaf), limit=limit)

    def context(
        self,
        leaf: Message | str | None = None,
        *,
        max_tokens: int | None = None,
        max_messages: int | None = None,
        token_counter: TokenCounter | None = None,
    ) -> list[Message]:
        """See `session_store.Session.context`."""
        return self.store.get_context(
            self.id,
            message_id(leaf),
            max_tokens=max_tokens,
            max_messages=max_messages,
            token_counter=token_counter,
        )

    def head(self) -> str | None:
        """See `session_store.Session.head`."""
        return self.store.get_head(self.id)

    def children(self, message: Message | str | None) -> list[Message]:
        """See `session_store.Session.children`."""
        return self.store.get_children(self.id, message_id(message))

    def tree(self, root: Message | str | None = None) -> list[Message]:
        """See `session_store.Session.tree`."""
        return self.store.get_tree(self.id, message_id(root))

    def create_branch(self, name: str, leaf: Message | str | None = None) -> Branch:
        """See `session_store.Session.create_branch`."""
        return self.store.create_branch(self.id, name, message_id(leaf))

    def branches(self) -> list[Branch]:
        """See `session_store.Session.branches`."""
        return self.store.get_branches(self.id)

    def branch(self, name: str) -> Branch | None:
        """See `session_store.Session.branch`."""
        return self.store.get_branch(self.id, name)

    def switch_to_branch(self, name: str) -> str:
        """See `session_store.Session.switch_to_branch`."""
        return self.store.switch_to_branch(self.id, name)

    def delete_branch(self, name: str) -> None:
        """See `session_store.Session.delete_branch`."""
        self.store.delete_branch(self.id, name)

    def metadata(self) -> SessionMetadata | None:
        """See `session_store.Session.metadata`."""
        return self.store.get_metadata(self.id)

    def update_metadata(self, **changes: Any) -> SessionMetadata:
        """See `session_store.Session.update_metadata`."""
        return self.store.update_metadata(self.id, changes)

    def reset(self) -> None:
        """See `session_store.Session.reset`."""
        self.store.reset_session(self.id)

    def delete(self) -> None:
        """See `session_store.Session.delete`."""
        self.store.delete_session(self.id)

    def subscribe(
        self, *, after: Message | str | None = None, durable: bool = False
    ) -> Iterator[Message]:
        """See `session_store.Session.subscribe`."""
        return self.store.subscribe(self.id, after=message_id(after), durable=durable)

    def lock(
        self, owner_id: str | None = None, *, timeout_ms: int | None = None
    ) -> AbstractContextManager[None]:
        """See `session_store.Session.lock`."""
        return self.store.lock(self.id, owner_id, timeout_ms=timeout_ms)

    def with_lock(
        self, owner_id: str | None, body: Callable[[], T], *, timeout_ms: int | None = None
    ) -> T:
        """See `session_store.Session.with_lock`."""
        return self.store.with_lock(self.id, owner_id, body, timeout_ms=timeout_ms)
