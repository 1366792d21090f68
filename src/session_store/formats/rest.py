"""What a format says and a message cannot: kept beside it, as a difference.

An item that was imported leaves in `metadata[<format>]` only what its plain translation
back would get wrong: `set` has the fields to put in, `unset` the names to take out.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import msgspec

from session_store.errors import InvalidMessageError
from session_store.model.door import same_json
from session_store.model.records import Message, ToolCall, ToolResult


def difference(plain: dict[str, Any], item: Mapping[str, Any]) -> dict[str, Any]:
    """Return what turns `plain` into `item`; nothing if they are the same."""
    put = {
        name: value
        for name, value in item.items()
        if name not in plain or not same_json(plain[name], value)
    }
    taken = [name for name in plain if name not in item]
    return ({"set": put} if put else {}) | ({"unset": taken} if taken else {})


def apply(plain: dict[str, Any], rest: Mapping[str, Any], only: Iterable[str] | None = None) -> Any:
    """Return `plain` with the difference `rest`, or of that only what is not in `only`."""
    put, taken = rest.get("set"), rest.get("unset")
    fields = put if isinstance(put, dict) else {}
    if only is not None:
        return plain | {name: value for name, value in fields.items() if name not in only}
    gone = taken if isinstance(taken, list) else []
    return {name: value for name, value in plain.items() if name not in gone} | fields


def rest_of(message: Message, name: str) -> dict[str, Any]:
    """Return what `message` keeps for the format `name`."""
    metadata: Any = message.metadata
    rest = metadata.get(name) if isinstance(metadata, dict) else None
    return rest if isinstance(rest, dict) else {}


def with_rest(message: Message, name: str, rest: dict[str, Any]) -> Message:
    """Return `message`, which is new, keeping `rest` for the format `name`."""
    return msgspec.structs.replace(message, metadata={name: rest}) if rest else message


def same_meaning(one: Sequence[Message], other: Sequence[Message]) -> bool:
    """Return whether both say the same, whatever their ids and metadata."""
    return same_json([_said(message) for message in one], [_said(message) for message in other])


def role_of(item: Any, place: int) -> str:
    """Return who says `item`, or raise `InvalidMessageError` if nobody does."""
    role = item.get("role") if isinstance(item, Mapping) else None
    if not isinstance(role, str) or not role:
        raise InvalidMessageError(f"[{place}].role", "an item is a mapping with a role")
    return role


def shown(messages: Iterable[Message]) -> list[Message]:
    """Return the messages that a model is told of, with call and answer apart."""
    found: list[Message] = []
    for message in messages:
        if message.control is not None:
            continue
        if calls_of(message) and answer_of(message) is not None:
            found.append(msgspec.structs.replace(message, tool_result=None))
            found.append(
                Message(type="tool_result", id=message.id, tool_result=message.tool_result)
            )
        else:
            found.append(message)
    return found


def calls_of(message: Message) -> list[ToolCall]:
    """Return the calls of `message` that are usable: foreign lines may hold anything."""
    calls: Any = message.tool_calls
    if not isinstance(calls, list):
        return []
    return [call for call in calls if isinstance(call, ToolCall)]


def answer_of(message: Message) -> ToolResult | None:
    """Return the tool's answer that `message` is, if it is one."""
    result: Any = message.tool_result
    return result if isinstance(result, ToolResult) else None


def _said(message: Message) -> list[Any]:
    fields = (message.content, message.tool_calls or None, message.tool_result)
    return [message.type, message.role or message.type, *map(msgspec.to_builtins, fields)]
