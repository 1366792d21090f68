"""From what a caller gives to a `Message`, and from a `Message` to bytes and back.

Writing is strict: `normalise` refuses what could not be kept as it is. Reading is lenient:
`decode_message` makes the best of whatever JSON object stands on a line.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

import msgspec

from session_store.errors import InvalidMessageError

from .door import same_json
from .given import SPEAKERS, check_fields, from_mapping
from .ids import has_surrogate
from .records import Message, ToolCall, ToolResult, inherits_parent

MessageLike: TypeAlias = Message | Mapping[str, Any]
"""A message, or a mapping with its fields: `parentId` as on disk or `parent_id` as here."""

_encoder: Final = msgspec.json.Encoder()
_decoder: Final = msgspec.json.Decoder(Message)


def normalise(message: MessageLike) -> Message:
    """Return the message that the caller means, or raise `InvalidMessageError`.

    Left out are `id` (""), `timestamp` (0) and `parent_id` (see `inherits_parent`), which
    the store fills in. Of `type` and `role` one is enough where they are the same. What a
    store wrote beside the message (branch, batch, key) is dropped.
    """
    spelled: dict[str, str] = {}
    if isinstance(message, Message):
        if is_speech(message) and not has_surrogate(str(message.content)):
            return message
        given = message
    elif isinstance(message, Mapping):
        given, spelled = from_mapping(message)
    else:
        kind = type(message).__name__
        raise InvalidMessageError("", f"a message is a Message or a mapping, not {kind}")
    if given.control is not None:
        raise InvalidMessageError("control", "only the store itself writes control records")
    check_fields(given, spelled)
    role = given.role
    if role is None and given.type in SPEAKERS:
        role = given.type
    if (
        role is given.role
        and type(given) is Message
        and given.branch is None
        and given.batch is None
        and given.key is None
    ):
        return given
    return Message(
        id=given.id,
        parent_id=given.parent_id,
        type=given.type,
        timestamp=given.timestamp,
        role=role,
        content=given.content,
        tool_calls=given.tool_calls,
        tool_result=given.tool_result,
        metadata=given.metadata,
    )


def is_speech(message: Message) -> bool:
    """Return whether it is a text somebody says, and nothing more was given.

    Then `normalise` returns it as it is, unless its text is one that the encoder refuses too.
    """
    return (
        type(message) is Message
        and message.type in SPEAKERS
        and message.role == message.type
        and type(message.content) is str
        and inherits_parent(message)
        and not (message.id or message.timestamp)
        and message.metadata is None
        and message.tool_calls is None
        and message.tool_result is None
        and message.control is None
        and message.branch is None
        and message.batch is None
        and message.key is None
    )


def same_message(given: Message, stored: Message) -> bool:
    """Return whether `stored` is what an append of `given` would have written.

    Only what the caller gave counts: no parent, timestamp or field that was left out. Both
    are compared as JSON, where 1 is 1.0 but not true.
    """
    if given.type != stored.type or given.id not in ("", stored.id):
        return False
    if not inherits_parent(given) and given.parent_id != stored.parent_id:
        return False
    if given.timestamp not in (0, stored.timestamp):
        return False
    # A role that says the same as the type may have been filled in.
    role = stored.type if stored.role is None else stored.role
    if given.role is not None and given.role != role:
        return False
    for field in ("content", "tool_calls", "tool_result", "metadata"):
        value = getattr(given, field)
        if value is not None and not same_json(_plain(value), _plain(getattr(stored, field))):
            return False
    return True


def encode_message(message: Message) -> bytes:
    """Return the JSON object of `message`, which always says its parent and its time."""
    if inherits_parent(message):
        message = msgspec.structs.replace(message, parent_id=None)
    result = message.tool_result
    if message.timestamp and not (isinstance(result, ToolResult) and result.result is None):
        return _encoder.encode(message)
    # The original has these fields on every line, also where they say nothing.
    record: dict[str, Any] = msgspec.to_builtins(message)
    record.setdefault("timestamp", 0)
    if isinstance(result, ToolResult):
        record["toolResult"].setdefault("result", None)
    return _encoder.encode(record)


def decode_message(line: bytes, parse: Callable[[bytes], dict[str, Any]]) -> Message:
    """Return the message on `line`, whatever its fields are like.

    `parse` reads the JSON objects that the typed decoder refuses, and raises `ValueError`
    where there is none.
    """
    try:
        message = _decoder.decode(line)
    except (ValueError, RecursionError):
        return decode_lenient(parse(line))
    if inherits_parent(message):
        message = msgspec.structs.replace(message, parent_id=None)
    if message.batch is not None and not _is_batch(message.batch):
        message = msgspec.structs.replace(message, batch=None)
    return message


def decode_lenient(obj: dict[str, Any]) -> Message:
    """Return `obj` as a message, with the values it has, of whatever types they are.

    Only what the store goes by is forced into shape: an id that is a number becomes its
    text and another one "", a parent of no use None, and our own fields (branch, batch,
    key, control) of another type are absent. A missing type is the role or `custom`, a
    missing timestamp 0.
    """
    kind, role = obj.get("type"), obj.get("role")
    if kind is None:
        kind = role if isinstance(role, str) else "custom"
    timestamp = obj.get("timestamp")
    batch = obj.get("batch")
    return Message(
        id=_as_id(obj.get("id")) or "",
        parent_id=_as_id(obj.get("parentId")),
        type=kind,
        timestamp=0 if timestamp is None else timestamp,
        role=role,
        content=obj.get("content"),
        tool_calls=_typed_or_raw(obj.get("toolCalls"), list[ToolCall]),
        tool_result=_typed_or_raw(obj.get("toolResult"), ToolResult),
        metadata=obj.get("metadata"),
        branch=_typed_or_none(obj.get("branch"), str),
        batch=None if batch is None or not _is_batch(batch) else (batch[0], batch[1]),
        key=_typed_or_none(obj.get("key"), str),
        control=_typed_or_none(obj.get("control"), dict),
    )


def _plain(value: Any) -> Any:
    if isinstance(value, msgspec.Struct):
        return msgspec.structs.asdict(value)
    if isinstance(value, list) and value and isinstance(value[0], msgspec.Struct):
        return [msgspec.structs.asdict(item) for item in value]
    return value


def _as_id(value: object) -> str | None:
    if isinstance(value, str):
        return value
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return str(int(value)) if isinstance(value, float) and value.is_integer() else str(value)


def _is_batch(value: Any) -> bool:
    return (
        isinstance(value, list | tuple)
        and len(value) == 2
        and type(value[0]) is type(value[1]) is int
        and 1 <= value[0] <= value[1]
    )


def _typed_or_raw(value: Any, kind: Any) -> Any:
    try:
        return None if value is None else msgspec.convert(value, kind)
    except msgspec.ValidationError:
        return value


def _typed_or_none(value: Any, kind: type) -> Any:
    return value if isinstance(value, kind) else None
