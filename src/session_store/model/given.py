"""What a caller gives for a message: its names, in either spelling, and the types of its values.

A field that nobody knows is refused and not dropped: a typing error must not lose data.
"""

from collections.abc import Mapping
from typing import Any, Final

from msgspec import UNSET

from session_store.errors import InvalidIdError, InvalidMessageError

from .door import MAX_INTEGER, check_json, check_text, same_json
from .ids import check_message_id
from .records import ContentBlock, Message, ToolCall, ToolResult, inherits_parent

SPEAKERS: Final = ("system", "user", "assistant")
"""The types that are also roles, so that one of the two is enough."""

_FIELDS: Final = {
    "id": "id",
    "parentId": "parent_id",
    "parent_id": "parent_id",
    "type": "type",
    "timestamp": "timestamp",
    "role": "role",
    "content": "content",
    "toolCalls": "tool_calls",
    "tool_calls": "tool_calls",
    "toolResult": "tool_result",
    "tool_result": "tool_result",
    "metadata": "metadata",
    "control": "control",
}
_CALL_FIELDS: Final = {"id": "id", "name": "name", "arguments": "arguments"}
_RESULT_FIELDS: Final = {
    "toolCallId": "tool_call_id",
    "tool_call_id": "tool_call_id",
    "result": "result",
    "error": "error",
}
# What a line says besides the message; another session's are no business of this one.
_LEFT_BEHIND: Final = ("branch", "batch", "key", "crc")


def from_mapping(message: Mapping[str, Any]) -> tuple[Message, dict[str, str]]:
    """Return the message, unchecked, and how the caller spelled the fields."""
    fields, spelled = _rename(message, _FIELDS, "")
    if fields.get("type") is None:
        role = fields.get("role")
        if role not in SPEAKERS:
            why = "it is missing" if role is None else f"the role {role!r} does not tell it"
            raise InvalidMessageError("type", f"{why}; one of type and role is needed")
        fields["type"] = role
    name = spelled.get("tool_calls", "tool_calls")
    calls = fields.get("tool_calls")
    if isinstance(calls, list):
        fields["tool_calls"] = [_call(call, f"{name}[{place}]") for place, call in enumerate(calls)]
    result = fields.get("tool_result")
    if isinstance(result, Mapping):
        path = spelled["tool_result"]
        inner, said = _rename(result, _RESULT_FIELDS, path)
        _need(inner, ("tool_call_id",), path)
        spelled |= said
        fields["tool_result"] = ToolResult(**inner)
    given = {
        field: value for field, value in fields.items() if field == "parent_id" or value is not None
    }
    return Message(**given), spelled


def _call(call: Any, path: str) -> Any:
    if not isinstance(call, Mapping):
        return call
    fields, _ = _rename(call, _CALL_FIELDS, path)
    _need(fields, ("id", "name", "arguments"), path)
    return ToolCall(**fields)


def _rename(
    given: Mapping[str, Any], known: dict[str, str], path: str
) -> tuple[dict[str, Any], dict[str, str]]:
    fields: dict[str, Any] = {}
    spelled: dict[str, str] = {}
    for key, value in given.items():
        field = known.get(key) if isinstance(key, str) else None
        if field is None:
            if known is _FIELDS and key in _LEFT_BEHIND:
                continue
            names = ", ".join(dict.fromkeys(known.values()))
            own = "; what is yours goes into metadata" if known is _FIELDS else ""
            raise InvalidMessageError(path, f"there is no field {key!r}, only {names}{own}")
        if value is UNSET:
            continue
        if field in fields and not same_json(fields[field], value):
            raise InvalidMessageError(
                _under(path, key), f"it differs from {spelled[field]}, its other spelling"
            )
        fields[field] = value
        spelled[field] = key
    return fields, spelled


def _need(fields: dict[str, Any], names: tuple[str, ...], path: str) -> None:
    for name in names:
        if fields.get(name) is None:
            raise InvalidMessageError(_under(path, name), "it is missing")


def check_fields(message: Message, spelled: dict[str, str]) -> None:
    """Raise `InvalidMessageError` unless every field has its type and can be kept.

    `spelled` has the names by which the caller knows the fields, where they differ.
    """
    if message.id != "":
        _check_id(message.id, "id")
    if message.parent_id is not None and not inherits_parent(message):
        _check_id(message.parent_id, spelled.get("parent_id", "parent_id"))
    check_text(message.type, "type")
    if not message.type:
        raise InvalidMessageError("type", "it is empty")
    _check_timestamp(message.timestamp)
    if message.role is not None:
        check_text(message.role, "role")
    if message.content is not None:
        _check_content(message.content)
    if message.tool_calls is not None:
        _check_calls(message.tool_calls, spelled.get("tool_calls", "tool_calls"))
    if message.tool_result is not None:
        _check_result(message.tool_result, spelled)
    if message.metadata is not None:
        _check_dict(message.metadata, "metadata", around=1)


def _check_id(value: object, path: str) -> None:
    try:
        check_message_id(value)
    except InvalidIdError as error:
        raise InvalidMessageError(path, error.reason) from None


def _check_timestamp(value: object) -> None:
    if type(value) is not int and type(value) is not float:
        raise InvalidMessageError(
            "timestamp", f"milliseconds are needed, not {type(value).__name__}"
        )
    # Written so that NaN, which compares to nothing, does not pass.
    if not 0 <= value <= MAX_INTEGER:
        raise InvalidMessageError("timestamp", f"{value!r} is no time in milliseconds")


def _check_content(content: str | list[ContentBlock]) -> None:
    if type(content) is str:
        check_text(content, "content")
        return
    if type(content) is not list:
        raise InvalidMessageError(
            "content", f"a str or a list of blocks is needed, not {type(content).__name__}"
        )
    for place, block in enumerate(content):
        _need_dict(block, f"content[{place}]")
    check_json(content, "content", around=1)


def _check_calls(calls: list[ToolCall], path: str) -> None:
    if type(calls) is not list:
        raise InvalidMessageError(path, f"a list is needed, not {type(calls).__name__}")
    for place, call in enumerate(calls):
        at = f"{path}[{place}]"
        if not isinstance(call, ToolCall):
            raise InvalidMessageError(
                at, f"a ToolCall or a mapping is needed, not {type(call).__name__}"
            )
        _check_name(call.id, f"{at}.id")
        _check_name(call.name, f"{at}.name")
        _check_dict(call.arguments, f"{at}.arguments", around=3)


def _check_result(result: ToolResult, spelled: dict[str, str]) -> None:
    path = spelled.get("tool_result", "tool_result")
    if not isinstance(result, ToolResult):
        raise InvalidMessageError(
            path, f"a ToolResult or a mapping is needed, not {type(result).__name__}"
        )
    _check_name(result.tool_call_id, f"{path}.{spelled.get('tool_call_id', 'tool_call_id')}")
    check_json(result.result, f"{path}.result", around=2)
    if result.error is not None:
        check_text(result.error, f"{path}.error")


def _check_name(value: object, path: str) -> None:
    check_text(value, path)
    if not value:
        raise InvalidMessageError(path, "it is empty")


def _check_dict(value: object, path: str, *, around: int) -> None:
    _need_dict(value, path)
    check_json(value, path, around=around)


def _need_dict(value: object, path: str) -> None:
    if type(value) is not dict:
        raise InvalidMessageError(path, f"a dict is needed, not {type(value).__name__}")


def _under(path: str, name: object) -> str:
    return f"{path}.{name}" if path else str(name)
