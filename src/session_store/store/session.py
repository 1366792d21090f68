"""A handle on one session: the same calls without its id, and shorter."""

from collections.abc import AsyncGenerator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager
from typing import TYPE_CHECKING, Any, TypeVar

from msgspec import structs

from session_store.model.context import TokenCounter
from session_store.model.messages import MessageLike
from session_store.model.records import (
    Branch,
    ContentBlock,
    Message,
    SessionMetadata,
    inherits_parent,
)

if TYPE_CHECKING:
    from .aio import SessionStore

T = TypeVar("T")


class Session:
    """One dialogue. `id` is its session id, `key` the key it was found by."""

    def __init__(self, store: "SessionStore", session_id: str, key: str) -> None:
        self.store = store
        self.id = session_id
        self.key = key

    def __repr__(self) -> str:
        return f"Session(id={self.id!r}, key={self.key!r})"

    async def append(
        self,
        message: str | MessageLike,
        content: str | list[ContentBlock] | None = None,
        **fields: Any,
    ) -> Message:
        """Add a message and return it: `append("user", "Hello")`, or a whole message.

        Further fields are keywords; `parent=` takes a message or an id, None for a new root.
        """
        return await self.store.append(self.id, compose(message, content, fields))

    async def append_many(self, messages: Sequence[MessageLike]) -> list[Message]:
        """Add messages, all or none; each continues from the one before."""
        return await self.store.append_many(self.id, messages)

    async def messages(self, *, include_reset: bool = False) -> list[Message]:
        """Return every message in the order of the log."""
        return await self.store.get_messages(self.id, include_reset=include_reset)

    async def history(
        self, leaf: Message | str | None = None, *, limit: int | None = None
    ) -> list[Message]:
        """Return the messages from the root to `leaf` (None: the head), or the last `limit`."""
        return await self.store.get_linear_history(self.id, message_id(leaf), limit=limit)

    async def context(
        self,
        leaf: Message | str | None = None,
        *,
        max_tokens: int | None = None,
        max_messages: int | None = None,
        token_counter: TokenCounter | None = None,
    ) -> list[Message]:
        """Return what to send to a model; see `SessionStore.get_context`."""
        return await self.store.get_context(
            self.id,
            message_id(leaf),
            max_tokens=max_tokens,
            max_messages=max_messages,
            token_counter=token_counter,
        )

    async def head(self) -> str | None:
        """Return the id of the message that the next one continues from, or None."""
        return await self.store.get_head(self.id)

    async def children(self, message: Message | str | None) -> list[Message]:
        """Return the answers to a message; None gives the roots."""
        return await self.store.get_children(self.id, message_id(message))

    async def tree(self, root: Message | str | None = None) -> list[Message]:
        """Return all that is below a message (None: everything), depth first."""
        return await self.store.get_tree(self.id, message_id(root))

    async def create_branch(self, name: str, leaf: Message | str | None = None) -> Branch:
        """Name the way to a message (None: the head)."""
        return await self.store.create_branch(self.id, name, message_id(leaf))

    async def branches(self) -> list[Branch]:
        """Return the branches in the order of their creation."""
        return await self.store.get_branches(self.id)

    async def branch(self, name: str) -> Branch | None:
        """Return a branch at its newest message, or None."""
        return await self.store.get_branch(self.id, name)

    async def switch_to_branch(self, name: str) -> str:
        """Continue from the newest message of a branch, and return the id of that message."""
        return await self.store.switch_to_branch(self.id, name)

    async def delete_branch(self, name: str) -> None:
        """Forget the name of a branch; its messages stay."""
        await self.store.delete_branch(self.id, name)

    async def metadata(self) -> SessionMetadata | None:
        """Return what is known of this session, or None if it was deleted."""
        return await self.store.get_metadata(self.id)

    async def update_metadata(self, **changes: Any) -> SessionMetadata:
        """Replace the given fields and return the metadata as it is then."""
        return await self.store.update_metadata(self.id, changes)

    async def reset(self) -> None:
        """Hide everything up to here; nothing is erased."""
        await self.store.reset_session(self.id)

    async def delete(self) -> None:
        """Erase this session for good."""
        await self.store.delete_session(self.id)

    def subscribe(
        self, *, after: Message | str | None = None, durable: bool = False
    ) -> AsyncGenerator[Message, None]:
        """Yield the messages behind `after` (None: all), and then each new one."""
        return self.store.subscribe(self.id, after=message_id(after), durable=durable)

    def lock(
        self, owner_id: str | None = None, *, timeout_ms: int | None = None
    ) -> AbstractAsyncContextManager[None]:
        """Hold the lock of this session: it waits, renews itself, and is released."""
        return self.store.lock(self.id, owner_id, timeout_ms=timeout_ms)

    async def with_lock(
        self,
        owner_id: str | None,
        body: Callable[[], Awaitable[T]],
        *,
        timeout_ms: int | None = None,
    ) -> T:
        """Return what `body()` returns, run while holding the lock."""
        return await self.store.with_lock(self.id, owner_id, body, timeout_ms=timeout_ms)


def compose(
    message: str | MessageLike, content: str | list[ContentBlock] | None, fields: dict[str, Any]
) -> MessageLike:
    """Return the message that the arguments of `Session.append` describe."""
    if isinstance(message, Message):
        if content is None and not fields:
            return message
        given: dict[str, Any] = structs.asdict(message)
        if inherits_parent(message):
            del given["parent_id"]
    elif isinstance(message, str):
        given = {"type": message}
    else:
        given = dict(message)
    if content is not None:
        given["content"] = content
    given |= fields
    if "parent" in given:
        given["parent_id"] = message_id(given.pop("parent"))
    return given


def message_id(message: Message | str | None) -> str | None:
    """Return the id of what may be a message, an id, or nothing."""
    return message.id if isinstance(message, Message) else message
