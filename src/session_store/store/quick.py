"""The short way of an append: what most appends need, in plain calls from end to end.

It is taken when the log is known to its end, the parent is the head, and nothing else is asked
for; whatever it meets besides, it leaves everything as it was, and the long way (`Appender`,
`Writer`) decides. The rules are the same: `if_size` (A1), flock, inode and journal looked at
(A4), the lease (L4).
"""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from msgspec.json import Encoder

from session_store.errors import AppendUnknownError, UnavailableError
from session_store.files.filesystem import Direct
from session_store.index.journal import JournalIndex
from session_store.jsonl.lines import close_line
from session_store.locks.manager import LockManager
from session_store.model.config import StoreConfig
from session_store.model.messages import MessageLike, encode_message, is_speech, normalise
from session_store.model.records import Message, inherits_parent
from session_store.runtime import Runtime

from .log import SessionLog
from .logs import Logs

TRIES: Final = 4
NEAR_BYTES: Final = 1 << 16
"""What others have appended since is read at once up to so much."""

Draft: TypeAlias = tuple[Message, Callable[[Message], bytes]]

_encode: Final = Encoder().encode


class Quick:
    """Appends to a log that is known to its end, or does nothing."""

    def __init__(
        self,
        files: Direct,
        runtime: Runtime,
        config: StoreConfig,
        index: JournalIndex,
        locks: LockManager,
        logs: Logs,
        owe: Callable[[str], None],
    ) -> None:
        self._append = files.append_now
        self._size = files.size_now
        self._read = files.read_now
        self._owe = owe
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
        drafted = _draft(given)
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
        drafts: list[Draft] = []
        for one in given:
            drafted = _draft(one)
            if drafted is None:
                return None
            drafts.append(drafted)
        log = self._take(session_id) if drafts else None
        if log is None:
            return None
        try:
            tail, now, count = log.tail, self._now_ms(), len(drafts)
            parent, messages, lines = tail.head, list[Message](), list[bytes]()
            for place, (draft, encode) in enumerate(drafts, 1):
                message = Message(
                    id=self._new_id(),
                    parent_id=parent,
                    type=draft.type,
                    timestamp=draft.timestamp or now,
                    role=draft.role,
                    content=draft.content,
                    tool_calls=draft.tool_calls,
                    tool_result=draft.tool_result,
                    metadata=draft.metadata,
                    branch=tail.branch,
                    batch=(place, count) if count > 1 else None,
                )
                parent = message.id
                messages.append(message)
                lines.append(close_line(encode(message)))
            data = b"".join(lines)
            if max(map(len, lines)) > self._max_bytes:
                return None
            try:
                if not self._append(log.path, data, log.size):
                    return None
            except UnavailableError as error:
                if error.unknown:
                    last = messages[-1].id
                    raise AppendUnknownError(session_id, last, error.reason) from error
                raise
            self._owe(log.path)
            for message, line in zip(messages, lines, strict=True):
                log.wrote_one(message, line)
            told = self._landed(session_id, now, log.size, tail.count, messages[-1].id)
            return messages, told
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


def _draft(given: MessageLike) -> Draft | None:
    """Return what is to be said, and what encodes it; None if it names its id or its parent."""
    if type(given) is Message and is_speech(given):
        return given, _encode
    draft = normalise(given)
    return None if draft.id or not inherits_parent(draft) else (draft, encode_message)
