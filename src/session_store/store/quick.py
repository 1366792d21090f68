"""The short way of an append: what most appends need, in plain calls from end to end.

It is taken when the log is known to its end, the parent is the head, and nothing else is asked
for; whatever it meets besides, it leaves everything as it was, and the long way (`Appender`,
`Writer`) decides. The rules are the same: `if_size` (A1), flock, inode and journal looked at
(A4), the lease (L4).
"""

from collections.abc import Callable, Sequence
from typing import Final

from session_store.errors import AppendUnknownError, UnavailableError
from session_store.files.filesystem import Direct
from session_store.index.manager import SessionIndexManager
from session_store.jsonl.lines import close_line
from session_store.locks.manager import LockManager
from session_store.model.config import StoreConfig
from session_store.model.messages import MessageLike
from session_store.model.records import Message
from session_store.runtime import Runtime

from .log import SessionLog
from .logs import Logs
from .placing import draft_of, drafts_of, place

TRIES: Final = 4
NEAR_BYTES: Final = 1 << 16
"""What others have appended since is read at once up to so much."""


class Quick:
    """Appends to a log that is known to its end, or does nothing."""

    def __init__(
        self,
        files: Direct,
        runtime: Runtime,
        config: StoreConfig,
        index: SessionIndexManager,
        locks: LockManager,
        logs: Logs,
        owe: Callable[[str], None],
    ) -> None:
        self._append = files.append_now
        self._size = files.size_now
        self._read = files.read_now
        self._owe = owe
        self._landed = index.landed_now
        self._runtime = runtime
        self._new_id = runtime.new_id
        self._now_ms = runtime.now_ms
        self._lease = locks.held
        self._max_bytes = config.max_message_bytes
        self._logs = logs

    def append(self, session_id: str, given: MessageLike) -> tuple[Message, bool] | None:
        """Return the message once it stands in the log; None if nothing was done.

        Besides it says whether the session was surely there still, and the index was told.
        """
        drafted = draft_of(given)
        if drafted is None:
            return None
        draft, encode = drafted
        log = self._take(session_id)
        if log is None:
            return None
        try:
            message_id, now = self._new_id(), self._now_ms()
            for _ in range(TRIES):
                tail = log.tail
                message = Message(
                    id=message_id,
                    parent_id=tail.head,
                    type=draft.type,
                    timestamp=draft.timestamp or now,
                    role=draft.role,
                    content=draft.content,
                    tool_calls=draft.tool_calls,
                    tool_result=draft.tool_result,
                    metadata=draft.metadata,
                    branch=tail.branch,
                )
                line = close_line(encode(message))
                if len(line) > self._max_bytes:
                    return None
                try:
                    if self._append(log.path, line, log.size):
                        break
                except UnavailableError as error:
                    if error.unknown:
                        raise AppendUnknownError(session_id, message_id, error.reason) from error
                    raise
                if not self._read_on(log):
                    return None
            else:
                return None
            self._owe(log.path)
            log.wrote_one(message, line)
            return message, self._landed(session_id, now, log.size, tail.count, message.id)
        except UnicodeEncodeError:
            return None
        finally:
            self._logs.leave(log)

    def append_many(
        self, session_id: str, given: Sequence[MessageLike]
    ) -> tuple[list[Message], bool] | None:
        """Do for a batch what `append` does for a message."""
        drafts = drafts_of(given)
        log = self._take(session_id) if drafts else None
        if drafts is None or log is None:
            return None
        try:
            placed = place(drafts, log.tail, self._runtime, self._max_bytes)
            if placed is None:
                return None
            messages, lines = placed
            last = messages[-1]
            data = b"".join(lines)
            try:
                if not self._append(log.path, data, log.size):
                    return None
            except UnavailableError as error:
                if error.unknown:
                    raise AppendUnknownError(session_id, last.id, error.reason) from error
                raise
            self._owe(log.path)
            for message, line in zip(messages, lines, strict=True):
                log.wrote_one(message, line)
            now, count = self._now_ms(), log.tail.count
            return messages, self._landed(session_id, now, log.size, count, last.id)
        except UnicodeEncodeError:
            return None
        finally:
            self._logs.leave(log)

    def _read_on(self, log: SessionLog) -> bool:
        """Read what others have appended, and return whether a message may be added now."""
        start, end = log.size, self._size(log.path) or 0
        if not start < end <= start + NEAR_BYTES:
            # Nothing but a lock that others hold just now; or more than is read in passing.
            return start == end
        data = self._read(log.path, start, end)
        return len(data) == end - start and log.read_on(data) and self._may_add(log)

    def _take(self, session_id: str) -> SessionLog | None:
        """Return the log, until it is left, if a message may now be added to its head."""
        log = self._logs.try_take(session_id)
        if log is None or self._may_add(log):
            return log
        self._logs.leave(log)
        return None

    def _may_add(self, log: SessionLog) -> bool:
        lease = self._lease(log.session_id)
        return (lease is None or not lease.lost) and log.goes_on()
