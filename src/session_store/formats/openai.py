"""The messages of OpenAI's chat completions, which many other providers take as well."""

import json
from collections.abc import Iterable, Mapping
from typing import Any, Final

from session_store.model.door import check_json
from session_store.model.records import Message, ToolCall, ToolResult

from .anthropic import unfolded
from .blocks import (
    are_blocks,
    block_from_openai,
    block_to_openai,
    content_of,
    summary_of,
    text_block,
    text_of,
)
from .rest import (
    answer_of,
    apply,
    calls_of,
    difference,
    rest_of,
    role_of,
    same_meaning,
    shown,
    with_rest,
)

NAME: Final = "openai"

_TRANSLATED: Final = ("role", "content", "tool_calls", "tool_call_id")


def from_openai(items: Iterable[Mapping[str, Any]]) -> list[Message]:
    """Return the messages that `items` say, ready to be appended, one for each.

    What has no place in a message (a name, a refusal, arguments that are no JSON) is kept
    in `metadata["openai"]`, so that `to_openai` gives the same items back. An item without
    a role is an `InvalidMessageError`.
    """
    messages: list[Message] = []
    for place, item in enumerate(items):
        message = _message(role_of(item, place), item)
        messages.append(with_rest(message, NAME, difference(_item(message) or {}, item)))
    return messages


def to_openai(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Return what to send as `messages` so that a model sees these messages.

    A tool's result that is no text is sent as JSON, a failed one begins with its error. A
    compaction's summary is said by the user. A model's thoughts are left out, and so are
    messages of your own types without a role; other blocks that cannot be said are named.
    """
    items: list[dict[str, Any]] = []
    for message in unfolded(shown(messages)):
        plain = _item(message)
        if plain is None:
            continue
        rest = rest_of(message, NAME)
        whole = apply(plain, rest)
        # The original shape counts only as long as it still says what the message says.
        if rest and not same_meaning([_message(plain["role"], whole)], [message]):
            whole = apply(plain, rest, _TRANSLATED)
        items.append(whole)
    return items


def _message(role: str, item: Mapping[str, Any]) -> Message:
    role = item.get("role", role)
    content = content_of(item.get("content"))
    if role == "tool":
        call_id = item.get("tool_call_id")
        if isinstance(call_id, str) and call_id:
            answer = ToolResult(tool_call_id=call_id, result=content)
            return Message(type="tool_result", tool_result=answer)
    if isinstance(content, list):
        content = [block_from_openai(part) for part in content]
    if role in ("system", "developer"):
        return Message(type="system", role=role, content=content)
    if role == "user":
        return Message(type="user", role=role, content=content)
    if role == "assistant":
        calls = _calls(item.get("tool_calls"))
        kind = "tool_call" if calls and not content else "assistant"
        return Message(type=kind, role=role, content=content, tool_calls=calls)
    return Message(type="custom", role=role, content=content)


def _item(message: Message) -> dict[str, Any] | None:
    answer, calls = answer_of(message), calls_of(message)
    if answer is not None:
        content = _answer(answer)
        return {"role": "tool", "tool_call_id": answer.tool_call_id, "content": content}
    if message.type == "compaction":
        return {"role": "user", "content": _content(summary_of(message.content))}
    role: Any = message.role
    if message.type == "system":
        role = "developer" if role == "developer" else "system"
    elif message.type in ("user", "assistant"):
        role = message.type
    elif message.type == "tool_call" or calls:
        role = "assistant"
    elif not isinstance(role, str):
        return None
    item: dict[str, Any] = {"role": role, "content": _content(message.content)}
    if calls:
        item["tool_calls"] = [_call(call) for call in calls]
    return item


def _content(content: Any) -> Any:
    if not are_blocks(content):
        return content if content is None else text_of(content)
    parts = [part for part in map(block_to_openai, content) if part is not None]
    return parts if parts or not content else None


def _answer(answer: ToolResult) -> Any:
    result = answer.result
    said = text_of(result)
    if answer.error is not None:
        return answer.error if said in ("", answer.error) else f"{answer.error}\n{said}"
    if result and are_blocks(result) and all(isinstance(part.get("type"), str) for part in result):
        return [text_block(text_of([part])) for part in result]
    return said


def _call(call: ToolCall) -> dict[str, Any]:
    arguments = json.dumps(call.arguments, ensure_ascii=False, separators=(",", ":"))
    function = {"name": call.name, "arguments": arguments}
    return {"id": call.id, "type": "function", "function": function}


def _calls(value: Any) -> list[ToolCall] | None:
    if not isinstance(value, list) or not value:
        return None
    calls: list[ToolCall] = []
    for call in value:
        kind = "custom" if isinstance(call, dict) and "custom" in call else "function"
        asked = call.get(kind) if isinstance(call, dict) else None
        if not isinstance(asked, dict):
            return None
        id, name = call.get("id"), asked.get("name")
        said = asked.get("input" if kind == "custom" else "arguments")
        if not (isinstance(id, str) and id and isinstance(name, str) and name):
            return None
        arguments = {"input": said} if kind == "custom" else _arguments(said)
        calls.append(ToolCall(id=id, name=name, arguments=arguments))
    return calls


def _arguments(said: Any) -> dict[str, Any]:
    # Models write these themselves: it may be anything, or nothing.
    if not said:
        return {}
    try:
        arguments = json.loads(said)
        check_json(arguments, "arguments", around=3)
    except (ValueError, TypeError, RecursionError):
        arguments = None
    return arguments if isinstance(arguments, dict) else {"arguments": said}
