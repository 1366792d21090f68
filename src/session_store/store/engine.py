"""The engine: every operation of a store, as plain coroutines that know no event loop.

It waits only for its file system and its runtime, and starts nothing. The two faces,
`session_store.SessionStore` and `session_store.sync.SessionStore`, drive it.
"""

from collections.abc import AsyncGenerator, Sequence

from session_store.model.context import TokenCounter
from session_store.model.messages import MessageLike
from session_store.model.records import (
    Branch,
    Message,
)

from .locking import Locking


class Engine(Locking):
    """All that a store does; each call says what it promises."""

    async def append(self, session_id: str, message: MessageLike) -> Message:
        """Add a message and return it as it is stored.

        Without `parent_id` it continues from the head, with None it starts a new root. With
        an `id` it can be repeated: an equal message that is there already is returned. It is
        as durable as the mode says, raises `UnknownParentError`, `DuplicateMessageError`,
        `InvalidMessageError` or `LeaseLostError` with nothing written, and
        `AppendUnknownError` when only a repetition with the same id can tell.
        """
        landed = None if self._quick is None else self._quick.append(session_id, message)
        if landed is None:
            await self._ready()
            return (await self._appender.append(session_id, [message]))[0]
        stored, told = landed
        if not told or self._durability.mode != "os":
            await self._writer.finish(session_id, stored.id, told=told)
        return stored

    async def append_many(self, session_id: str, messages: Sequence[MessageLike]) -> list[Message]:
        """Add messages, all or none even after a crash; each continues from the one before."""
        landed = None if self._quick is None else self._quick.append_many(session_id, messages)
        if landed is None:
            await self._ready()
            return await self._appender.append(session_id, messages)
        stored, told = landed
        if not told or self._durability.mode != "os":
            await self._writer.finish(session_id, stored[-1].id, told=told)
        return stored

    async def get_messages(self, session_id: str, *, include_reset: bool = False) -> list[Message]:
        """Return every message in the order of the log; `include_reset` shows hidden ones."""
        await self._ready()
        return await self._reader.messages(session_id, include_reset=include_reset)

    async def stream_messages(
        self, session_id: str, *, include_reset: bool = False
    ) -> AsyncGenerator[Message, None]:
        """Yield every message in the order of the log, in constant memory."""
        await self._ready()
        async for message in self._reader.stream(session_id, include_reset=include_reset):
            yield message

    async def get_message(self, session_id: str, message_id: str) -> Message | None:
        """Return one message, or None if there is none or a reset hides it."""
        await self._ready()
        return await self._reader.message(session_id, message_id)

    async def get_head(self, session_id: str) -> str | None:
        """Return the id of the message that the next one continues from, or None."""
        await self._ready()
        return await self._reader.head(session_id)

    async def get_linear_history(
        self, session_id: str, leaf_id: str | None = None, *, limit: int | None = None
    ) -> list[Message]:
        """Return the messages from the root to `leaf_id` (None: the head).

        With `limit` only the last so many, read from the end of the log.
        """
        await self._ready()
        return await self._reader.history(session_id, leaf_id, limit)

    async def get_context(
        self,
        session_id: str,
        leaf: str | None = None,
        *,
        max_tokens: int | None = None,
        max_messages: int | None = None,
        token_counter: TokenCounter | None = None,
    ) -> list[Message]:
        """Return what to send to a model: the way to `leaf` (None: the head), cut to the budget.

        It begins behind the last reset marker (with what that kept) or at the last
        `compaction` message, keeps system messages, drops the oldest first, and never parts
        a tool call from its results. Tokens are estimated unless `token_counter` counts.
        """
        await self._ready()
        return await self._reader.context(
            session_id,
            leaf,
            max_tokens=max_tokens,
            max_messages=max_messages,
            token_counter=token_counter,
        )

    async def get_children(self, session_id: str, message_id: str | None) -> list[Message]:
        """Return the answers to a message in the order of the log; None gives the roots."""
        await self._ready()
        return await self._reader.children(session_id, message_id)

    async def has_children(self, session_id: str, message_id: str) -> bool:
        """Return whether a message has answers."""
        return bool(await self.get_children(session_id, message_id))

    async def get_tree(self, session_id: str, root_message_id: str | None = None) -> list[Message]:
        """Return all that is below a message (None: everything), depth first."""
        await self._ready()
        return await self._reader.subtree(session_id, root_message_id)

    async def subscribe(
        self, session_id: str, *, after: str | None = None, durable: bool = False
    ) -> AsyncGenerator[Message, None]:
        """Yield the messages behind `after` (None: all), and then each new one, from any process.

        With `durable` only what a power cut cannot take back. Ends with
        `SessionNotFoundError` when the session is deleted.
        """
        await self._ready()
        async for message in self._feed.follow(session_id, after, durable):
            yield message

    # Branches

    async def create_branch(
        self, session_id: str, name: str, leaf_message_id: str | None = None
    ) -> Branch:
        """Name the way to a message (None: the head); a name that is there already is moved."""
        await self._ready()
        return await self._branches.create(session_id, name, leaf_message_id)

    async def get_branches(self, session_id: str) -> list[Branch]:
        """Return the branches in the order of their creation, each at its newest message."""
        await self._ready()
        return await self._branches.all(session_id)

    async def get_branch(self, session_id: str, name: str) -> Branch | None:
        """Return a branch at its newest message, or None if there is none of that name."""
        await self._ready()
        return await self._branches.get(session_id, name)

    async def switch_to_branch(self, session_id: str, name: str) -> str:
        """Continue from the newest message of a branch, and return the id of that message."""
        await self._ready()
        return await self._branches.switch(session_id, name)

    async def delete_branch(self, session_id: str, name: str) -> None:
        """Forget the name of a branch; its messages stay."""
        await self._ready()
        await self._branches.delete(session_id, name)
