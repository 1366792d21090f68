"""Reading a session: everything, the path to a leaf, the last of it, or as a stream."""

from collections.abc import AsyncGenerator, Sequence
from contextlib import asynccontextmanager
from typing import Final

from session_store.errors import MessageNotFoundError, NotFoundError, SessionNotFoundError
from session_store.files.filesystem import FileSystem
from session_store.index.manager import SessionIndexManager
from session_store.jsonl.scanner import Scanner
from session_store.model.context import TokenCounter, select_context
from session_store.model.ids import check_foreign_session_id
from session_store.model.records import Message
from session_store.model.reset import kept_ids
from session_store.runtime import Runtime

from .log import SessionLog
from .logs import Logs
from .records import is_control, read_message

RESET_MARK: Final = b'"kind":"reset"'
SEARCH_BYTES: Final = 1 << 20


class Reader:
    """Answers questions about the messages of a session."""

    def __init__(
        self,
        files: FileSystem,
        runtime: Runtime,
        index: SessionIndexManager,
        logs: Logs,
    ) -> None:
        self._files = files
        self._runtime = runtime
        self._index = index
        self._logs = logs

    async def require(self, session_id: str) -> None:
        """Raise `SessionNotFoundError` unless there is such a session.

        One that the original put into folders within folders is `InvalidIdError`: another
        session may own them.
        """
        if not await self._index.has(session_id):
            raise SessionNotFoundError(session_id)
        check_foreign_session_id(session_id)

    @asynccontextmanager
    async def reading(
        self, session_id: str, *, whole: bool = False
    ) -> AsyncGenerator[SessionLog, None]:
        """Give the log of a session, read to its end, for `async with`; `whole` is a wish.

        Raises `SessionNotFoundError` if there is no such session, or it is deleted meanwhile.
        """
        if self._index.guards_files:
            check_foreign_session_id(session_id)
        else:
            await self.require(session_id)
        async with self._logs.using(session_id) as log:
            await log.refresh(whole=whole)
            if not log.size:
                await self.require(session_id)
            yield log

    async def messages(self, session_id: str, *, include_reset: bool) -> list[Message]:
        """Return the messages in the order of the log."""
        async with self.reading(session_id, whole=True) as log:
            nodes = await log.load(messages=True)
            messages = log.messages or []
            return messages[0 if include_reset else nodes.first_visible :]

    async def stream(
        self, session_id: str, *, include_reset: bool
    ) -> AsyncGenerator[Message, None]:
        """Yield the messages in the order of the log, holding about a MiB at a time."""
        async with self.reading(session_id) as log:
            start = 0 if include_reset else await self.visible_from(log)
            end, file = log.settled, log.file
        scanner = Scanner(read_message, start)
        try:
            async for entries in file.scan(scanner, end):
                for _, _, message in entries:
                    if message.control is None or not is_control(message):
                        yield message
        except NotFoundError as error:
            raise SessionNotFoundError(session_id) from error

    async def visible_from(self, log: SessionLog) -> int:
        """Return where the last reset stands, 0 if there is none."""
        if log.tail.reset_at >= 0 or not log.tail.start:
            return max(0, log.tail.reset_at)
        end = log.tail.start
        while end:
            start = max(0, end - SEARCH_BYTES)
            # Overlapping by a little: the mark may lie across two pieces.
            data = await self._files.read(log.path, start, end + len(RESET_MARK))
            if RESET_MARK in data:
                found = await self._last_reset(log, start, end)
                if found is not None:
                    return found
            end = start
        return 0

    async def _last_reset(self, log: SessionLog, start: int, end: int) -> int | None:
        async for offset, line_end, message in log.file.read_backwards(log.tail.start):
            if line_end < start:
                return None
            control = message.control
            if control is not None and is_control(message) and control.get("kind") == "reset":
                return offset
        return None

    async def message(self, session_id: str, message_id: str) -> Message | None:
        """Return one message, or None if there is none to be seen."""
        async with self.reading(session_id) as log:
            nodes = await log.load(messages=False)
            ordinal = nodes.visible(message_id)
            return None if ordinal is None else await log.read_message(nodes, ordinal)

    async def head(self, session_id: str) -> str | None:
        """Return the id of the message that the next one continues from, None for none."""
        async with self.reading(session_id) as log:
            return await log.head()

    async def history(
        self, session_id: str, leaf_id: str | None, limit: int | None
    ) -> list[Message]:
        """Return the path from the root to the leaf (None: the head), the last `limit` of it."""
        async with self.reading(session_id) as log:
            leaf = leaf_id if leaf_id is not None else await log.head()
            return [] if leaf is None else await self.path(log, leaf, limit)

    async def path(self, log: SessionLog, leaf_id: str, limit: int | None) -> list[Message]:
        """Return the last `limit` messages (None: all) of the path to `leaf_id`."""
        if limit is not None and limit <= 0:
            return []
        if log.nodes is None and limit is not None:
            found = await self._path_backwards(log, leaf_id, limit)
            if found is not None:
                return found
        nodes = await log.load(messages=False)
        if nodes.visible(leaf_id) is None:
            raise MessageNotFoundError(log.session_id, leaf_id)
        ordinals = nodes.path(leaf_id)
        if limit is not None:
            ordinals = ordinals[-limit:]
        return await log.read_messages(nodes, ordinals)

    async def _path_backwards(
        self, log: SessionLog, leaf_id: str, limit: int
    ) -> list[Message] | None:
        """Follow the parents from the end of the log; None if one is not met on the way.

        A parent may stand behind its child in foreign data, or be missing: the whole tree
        tells which.
        """
        path: list[Message] = []
        wanted: str | None = leaf_id
        async for _, _, message in log.file.read_backwards(log.settled):
            control = message.control
            if control is not None and is_control(message):
                if control.get("kind") == "reset":
                    break
            elif message.id == wanted:
                path.append(message)
                wanted = message.parent_id
                if wanted is None or len(path) == limit:
                    break
        if wanted is not None and len(path) < limit:
            return None
        path.reverse()
        return path

    async def children(self, session_id: str, message_id: str | None) -> list[Message]:
        """Return the messages below `message_id` in the order of the log; None: the roots."""
        async with self.reading(session_id) as log:
            tree = await log.load_tree()
            if message_id is not None and tree.get(message_id) is None:
                raise MessageNotFoundError(session_id, message_id)
            return tree.children(message_id)

    async def subtree(self, session_id: str, root_id: str | None) -> list[Message]:
        """Return what is below `root_id` (None: everything), depth first."""
        async with self.reading(session_id) as log:
            tree = await log.load_tree()
            if root_id is not None and tree.get(root_id) is None:
                raise MessageNotFoundError(session_id, root_id)
            return tree.preorder(root_id)

    async def dialogue(self, log: SessionLog, leaf_id: str) -> tuple[list[Message], list[Message]]:
        """Return the path to the leaf, and before it the messages its reset marker kept."""
        path = await self.path(log, leaf_id, None)
        ids = kept_ids(path[0]) if path else []
        kept: list[Message] = []
        if ids:
            nodes = await log.load(messages=False)
            ordinals = [nodes.visible(message_id) for message_id in ids]
            kept = await log.read_messages(nodes, [one for one in ordinals if one is not None])
        return kept, path

    async def context(
        self,
        session_id: str,
        leaf_id: str | None,
        *,
        max_tokens: int | None,
        max_messages: int | None,
        token_counter: TokenCounter | None,
    ) -> list[Message]:
        """Return what to send to a model; see `SessionStore.get_context`."""
        async with self.reading(session_id) as log:
            leaf = leaf_id if leaf_id is not None else await log.head()
            kept: Sequence[Message] = ()
            path: Sequence[Message] = ()
            if leaf is not None:
                kept, path = await self.dialogue(log, leaf)
        return select_context(
            path,
            kept=kept,
            max_tokens=max_tokens,
            max_messages=max_messages,
            token_counter=token_counter,
        )
