"""The short way of an append: what most appends need, in plain calls from end to end.

It is taken when the log is known to its end, the parent is the head, and nothing else is asked
for; whatever it meets besides, it leaves everything as it was, and the long way (`Appender`,
`Writer`) decides. The rules are the same: `if_size` (A1), flock, inode and journal looked at
(A4), the lease (L4).
"""

from typing import Final

from msgspec.json import Encoder

from session_store.files.filesystem import Direct
from session_store.index.journal import JournalIndex
from session_store.jsonl.lines import close_line
from session_store.locks.manager import LockManager
from session_store.model.config import StoreConfig
from session_store.model.messages import MessageLike, encode_message, is_speech, normalise
from session_store.model.records import Message, inherits_parent
from session_store.runtime import Runtime

from .logs import Logs

_encode: Final = Encoder().encode


class Quick:
    """Appends one message to a log that is known to its end, or does nothing."""

    def __init__(
        self,
        files: Direct,
        runtime: Runtime,
        config: StoreConfig,
        index: JournalIndex,
        locks: LockManager,
        logs: Logs,
    ) -> None:
        self._append = files.append_now
        self._landed = index.landed_now
        self._new_id = runtime.new_id
        self._now_ms = runtime.now_ms
        self._lease = locks.held
        self._max_bytes = config.max_message_bytes
        self._logs = logs

    def append(self, session_id: str, given: MessageLike) -> tuple[Message, bool] | None:
        """Return the message once it stands in the log; None if nothing was done.

        Besides it says whether the session was surely there still, and the index was told.
        """
        if isinstance(given, Message) and is_speech(given):
            message, encode = given, _encode
        else:
            message, encode = normalise(given), encode_message
            if message.id or not inherits_parent(message):
                return None
        logs = self._logs
        log = logs.try_take(session_id)
        if log is None:
            return None
        try:
            tail = log.tail
            lease = self._lease(session_id)
            if not log.whole or tail.head is None or not tail.met(tail.head):
                return None
            if lease is not None and lease.lost:
                return None
            now = self._now_ms()
            placed = Message(
                id=self._new_id(),
                parent_id=tail.head,
                type=message.type,
                timestamp=message.timestamp or now,
                role=message.role,
                content=message.content,
                tool_calls=message.tool_calls,
                tool_result=message.tool_result,
                metadata=message.metadata,
                branch=tail.branch,
            )
            line = close_line(encode(placed))
            if len(line) > self._max_bytes or not self._append(log.path, line, log.size):
                return None
            log.wrote_one(placed, line)
            told = self._landed(session_id, now, log.size, tail.count, placed.id)
            return placed, told
        except UnicodeEncodeError:
            return None
        finally:
            logs.leave(log)
