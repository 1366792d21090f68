"""Reading a file of messages, one JSON object a line, as somebody else may have written it.

Every line is judged before anything is written to a store, and a second reading of the same
file gives the same messages again.
"""

from collections import Counter
from collections.abc import Iterator, Set
from typing import Any, BinaryIO, Final, NamedTuple
from uuid import UUID, uuid5

from msgspec import UNSET
from msgspec.structs import fields as fields_of
from msgspec.structs import replace

from session_store.jsonl.lines import damage, parse_object
from session_store.model.config import StoreConfig
from session_store.model.messages import decode_lenient, encode_message, normalise
from session_store.model.records import Message, ToolCall, ToolResult, inherits_parent
from session_store.store.records import is_control

MAX_LINE_BYTES: Final = StoreConfig().max_message_bytes

_UNNAMED: Final = UUID("8f6c2f1c-6a0e-5d0b-9a55-3a5c8d0d6c11")
"""Ids of lines that have none are made from this, so that the next reading makes the same."""

_BOM: Final = b"\xef\xbb\xbf"
_NAMES: Final = {
    kind: frozenset(field.encode_name for field in fields_of(kind))
    for kind in (Message, ToolCall, ToolResult)
}


class Line(NamedTuple):
    """What stands on a line: a message, a reason why it is bad, or neither.

    With both, the message can be had as a root: the parent it names is not there. `end` is
    where the next line begins.
    """

    number: int
    end: int
    message: Message | None = None
    reason: str | None = None


class Transcript:
    """A file of messages that are to come into a session, read once from its beginning.

    `used` are the ids that the session has, `visible` those that can be parents. A message
    without an id gets one that depends on its place and its bytes; one that does not say its
    parent follows the message before it.
    """

    def __init__(self, file: BinaryIO, *, used: Set[str], visible: Set[str]) -> None:
        self.left_out: Counter[str] = Counter()
        self._file = file
        self._used = used
        self._visible = visible
        self._seen: dict[str, int] = {}
        self._last: str | None = None

    def read(self) -> Iterator[Line]:
        """Yield every line that is not blank."""
        number, end = 0, 0
        while data := self._file.readline(MAX_LINE_BYTES + 1):
            number += 1
            end += len(data)
            if len(data) > MAX_LINE_BYTES:
                end += self._skip_line() if not data.endswith(b"\n") else 0
                yield Line(number, end, reason=f"longer than {MAX_LINE_BYTES} bytes")
                continue
            text = bare(data)
            if text:
                yield self._judge(text, number, end)

    def _skip_line(self) -> int:
        skipped = 0
        while data := self._file.readline(MAX_LINE_BYTES):
            skipped += len(data)
            if data.endswith(b"\n"):
                break
        return skipped

    def _judge(self, text: bytes, number: int, end: int) -> Line:
        reason = damage(text)
        if reason is not None:
            return Line(number, end, reason=reason)
        try:
            found = parse_object(text)
            message = None if is_control(decode_lenient(found)) else to_message(found)
        except ValueError as error:
            return Line(number, end, reason=str(error))
        if message is None:
            return Line(number, end)
        self.left_out.update(unknown_fields(found))
        if not message.id:
            message = replace(message, id=str(uuid5(_UNNAMED, f"{number} {text!r}")))
        if inherits_parent(message) and self._last is not None:
            message = replace(message, parent_id=self._last)
        return self._place(message, number, end)

    def _place(self, message: Message, number: int, end: int) -> Line:
        mark = hash(encode_message(message))
        if message.id in self._seen:
            if self._seen[message.id] == mark:
                return Line(number, end)
            return Line(number, end, reason=f"another line before has the id {message.id!r}")
        reason = None
        if not self._has_parent(message):
            if message.id in self._used:  # it came as a root, or its parent is hidden since
                message = replace(message, parent_id=UNSET)
            else:
                reason = f"its parent {message.parent_id!r} is neither before it nor there already"
                message = replace(message, parent_id=None)
        self._seen[message.id] = mark
        self._last = message.id
        return Line(number, end, message, reason)

    def _has_parent(self, message: Message) -> bool:
        parent = message.parent_id
        if inherits_parent(message) or parent is None or parent in self._visible:
            return True
        return parent in self._seen and parent not in self._used


def to_message(found: dict[str, Any]) -> Message:
    """Return the message that a JSON object says; raises `ValueError` if it says none."""
    if found.get("type") is None and found.get("role") is None:
        raise ValueError("it has neither a type nor a role")
    message = decode_lenient(found)
    if "parentId" not in found:
        message = replace(message, parent_id=UNSET)
    # What the store wrote beside the message is another session's.
    return normalise(replace(message, control=None))


def unknown_fields(found: dict[str, Any]) -> Iterator[str]:
    """Yield the names that no message has; what they hold cannot be kept."""
    yield from found.keys() - _NAMES[Message] - {"crc"}
    if isinstance(found.get("control"), dict):
        yield "control"
    calls = found.get("toolCalls")
    for call in calls if isinstance(calls, list) else ():
        if isinstance(call, dict):
            yield from (f"toolCalls.{name}" for name in call.keys() - _NAMES[ToolCall])
    result = found.get("toolResult")
    if isinstance(result, dict):
        yield from (f"toolResult.{name}" for name in result.keys() - _NAMES[ToolResult])


def recorded_key(file: BinaryIO) -> str | None:
    """Return the key that the first line of a session's log names, if it does."""
    text = bare(file.readline(MAX_LINE_BYTES))
    try:
        key = parse_object(text).get("key")
    except ValueError:
        return None
    return key if isinstance(key, str) else None


def bare(line: bytes) -> bytes:
    """Return a line without its end, without a byte order mark, empty if it is blank."""
    return line.removeprefix(_BOM).strip(b" \t\r\n")
