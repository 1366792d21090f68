"""The messages of Anthropic's API: results of tools are said by the user, in blocks."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from session_store.errors import InvalidMessageError
from session_store.model.records import Message, ToolCall, ToolResult

from .blocks import are_blocks, block_to_anthropic, content_of, summary_of, text_block, text_of
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

NAME: Final = "anthropic"

_TRANSLATED: Final = ("role", "content")


class AnthropicConversation(msgspec.Struct, frozen=True):
    """What to send as `system` (None: leave it out) and as `messages`."""

    system: str | list[dict[str, Any]] | None
    messages: list[dict[str, Any]]


def from_anthropic(
    messages: Iterable[Mapping[str, Any]],
    system: str | Sequence[dict[str, Any]] | None = None,
) -> list[Message]:
    """Return the messages that these say, ready to be appended; `system` is the first.

    Each result of a tool becomes a message of its own. What has no place in a message is
    kept in `metadata["anthropic"]`, so that `to_anthropic` gives the same back. An item
    without a role is an `InvalidMessageError`.
    """
    found: list[Message] = []
    if system is not None:
        content = content_of(system)
        if content is None:
            raise InvalidMessageError("system", "it is a str or a list of blocks")
        found.append(Message(type="system", role="system", content=content))
    for place, item in enumerate(messages):
        parts = _parts(role_of(item, place), item)
        rest = difference(_item(parts), item)
        results = [part.type == "tool_result" for part in parts]
        # Only where joining neighbours would not lead back to this very item.
        apart = len(parts) > 1 and not all(results)
        behind = results[0] and bool(found) and found[-1].type == "tool_result"
        if rest or apart or behind or parts[0].type == "system":
            count = len(parts)
            for number, part in enumerate(parts, 1):
                kept = {"part": [number, count]} | (rest if number == 1 else {})
                found.append(with_rest(part, NAME, kept))
        else:
            found += parts
    return found


def to_anthropic(messages: Iterable[Message]) -> AnthropicConversation:
    """Return what to send so that a model sees these messages.

    System messages go into `system`, wherever they stood. Results of tools that follow each
    other become one item; a result that is no text is sent as JSON. A compaction's summary
    is said by the user. Left out are messages without content, and messages of your own
    types without a role; blocks that cannot be said are named.
    """
    systems: list[Message] = []
    others: list[Message] = []
    for message in shown(messages):
        inline = bool(rest_of(message, NAME).get("part"))
        (systems if message.type == "system" and not inline else others).append(message)
    items: list[dict[str, Any]] = []
    place = 0
    while place < len(others):
        group = others[place : place + _group_size(others, place)]
        place += len(group)
        item = _whole_item(group)
        if item is not None:
            items.append(item)
    return AnthropicConversation(_system(systems), items)


def unfolded(messages: Iterable[Message]) -> list[Message]:
    """Return the messages with calls and answers in their fields, also those in blocks."""
    found: list[Message] = []
    for message in messages:
        parts: list[Message] = []
        if message.type in ("user", "assistant") and are_blocks(message.content):
            parts = _parts(message.type, {"content": message.content})
        changed = len(parts) > 1 or any(answer_of(part) or calls_of(part) for part in parts)
        found.extend(parts if changed and not calls_of(message) else [message])
    return found


def _whole_item(group: list[Message]) -> dict[str, Any] | None:
    if not _role(group[0]):
        return None
    plain = _item(group)
    rest = {name: value for name, value in rest_of(group[0], NAME).items() if name != "part"}
    if not rest:
        empty = group[0].content is None and not plain["content"]
        return None if empty else plain
    whole = apply(plain, rest)
    # The original shape counts only as long as it still says what the messages say.
    if same_meaning(_parts(plain["role"], whole), group):
        return dict(whole)
    return dict(apply(plain, rest, _TRANSLATED))


def _group_size(messages: list[Message], place: int) -> int:
    count = _imported_size(messages, place)
    if count:
        return count
    end = place + 1
    if answer_of(messages[place]) is not None:
        while (
            end < len(messages)
            and answer_of(messages[end]) is not None
            and not _imported_size(messages, end)
        ):
            end += 1
    return end - place


def _imported_size(messages: list[Message], place: int) -> int:
    """Return how many messages from `place` on were one item, 0 if they are not complete."""
    part = rest_of(messages[place], NAME).get("part")
    if not (isinstance(part, list) and len(part) == 2 and part[0] == 1):
        return 0
    count = part[1]
    if type(count) is not int or not 1 <= count <= len(messages) - place:
        return 0
    for number in range(2, count + 1):
        if rest_of(messages[place + number - 1], NAME).get("part") != [number, count]:
            return 0
    return count


def _system(messages: list[Message]) -> str | list[dict[str, Any]] | None:
    contents = [_content(message.content) for message in messages if message.content is not None]
    if len(contents) <= 1:
        return contents[0] if contents else None
    return [block for content in contents for block in _as_blocks(content)]


def _parts(role: str, item: Mapping[str, Any]) -> list[Message]:
    role = item.get("role", role)
    content = content_of(item.get("content"))
    if role == "user":
        return _user_parts(content)
    if role != "assistant":
        kind = "system" if role == "system" else "custom"
        return [Message(type=kind, role=role, content=content)]
    calls: list[ToolCall] = []
    said: list[dict[str, Any]] = []
    for block in content if isinstance(content, list) else ():
        call = _call(block)
        if call is None:
            said.append(block)
        else:
            calls.append(call)
    if not calls:
        return [Message(type="assistant", role=role, content=content)]
    if not said:
        return [Message(type="tool_call", role=role, tool_calls=calls)]
    text = said[0].get("text")
    plain = len(said) == 1 and isinstance(text, str) and said[0] == text_block(text)
    content = text if plain else said
    return [Message(type="assistant", role=role, content=content, tool_calls=calls)]


def _user_parts(content: Any) -> list[Message]:
    parts: list[Message] = []
    said: list[dict[str, Any]] = []
    for block in content if isinstance(content, list) else ():
        answer = _answer(block)
        if answer is None:
            said.append(block)
            continue
        if said:
            parts.append(Message(type="user", role="user", content=said))
            said = []
        parts.append(Message(type="tool_result", tool_result=answer))
    if not parts:
        return [Message(type="user", role="user", content=content)]
    if said:
        parts.append(Message(type="user", role="user", content=said))
    return parts


def _call(block: dict[str, Any]) -> ToolCall | None:
    id, name, arguments = block.get("id"), block.get("name"), block.get("input")
    if block.get("type") != "tool_use" or not isinstance(arguments, dict):
        return None
    if not (isinstance(id, str) and id and isinstance(name, str) and name):
        return None
    return ToolCall(id=id, name=name, arguments=arguments)


def _answer(block: dict[str, Any]) -> ToolResult | None:
    call_id = block.get("tool_use_id")
    if block.get("type") != "tool_result" or not isinstance(call_id, str) or not call_id:
        return None
    result = content_of(block.get("content"))
    if block.get("is_error") is not True:
        return ToolResult(tool_call_id=call_id, result=result)
    error = text_of(result) or "error"
    return ToolResult(
        tool_call_id=call_id, result=None if isinstance(result, str) else result, error=error
    )


def _role(message: Message) -> str | None:
    role: Any = message.role
    if answer_of(message) is not None or message.type in ("user", "compaction"):
        return "user"
    if message.type in ("assistant", "tool_call") or calls_of(message):
        return "assistant"
    if message.type == "system":
        return "system"
    return role if isinstance(role, str) else None


def _item(parts: Sequence[Message]) -> dict[str, Any]:
    first = parts[0]
    if len(parts) == 1 and answer_of(first) is None and not calls_of(first):
        said = summary_of(first.content) if first.type == "compaction" else first.content
        content: Any = [] if said is None else _content(said)
    else:
        content = [block for part in parts for block in _blocks(part)]
    return {"role": _role(first), "content": content}


def _blocks(message: Message) -> list[dict[str, Any]]:
    answer = answer_of(message)
    if answer is not None:
        return [_result_block(answer)]
    blocks = [] if message.content is None else _as_blocks(_content(message.content))
    for call in calls_of(message):
        blocks.append(
            {"type": "tool_use", "id": call.id, "name": call.name, "input": call.arguments}
        )
    return blocks


def _result_block(answer: ToolResult) -> dict[str, Any]:
    block: dict[str, Any] = {"type": "tool_result", "tool_use_id": answer.tool_call_id}
    result = answer.result
    if answer.error is not None:
        said = text_of(result)
        if said == "":
            block["content"] = answer.error
        elif said == answer.error:
            block["content"] = _content(result)
        else:
            block["content"] = f"{answer.error}\n{said}"
        block["is_error"] = True
    elif result is not None:
        typed = are_blocks(result) and all(isinstance(part.get("type"), str) for part in result)
        block["content"] = _content(result) if typed and result else text_of(result)
    return block


def _content(content: Any) -> Any:
    if are_blocks(content):
        return [block_to_anthropic(block) for block in content]
    return text_of(content)


def _as_blocks(content: Any) -> list[dict[str, Any]]:
    if isinstance(content, str):
        # Empty blocks of text are refused.
        return [text_block(content)] if content else []
    return list(content)
