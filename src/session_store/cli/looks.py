"""How a message looks: its symbol, its label, its first line, all of it.

Pure. What it returns is safe to print. Foreign data may hold anything in any field, and is
shown as it is.
"""

from collections.abc import Iterator, Mapping
from typing import Any, Final

import msgspec

from session_store.model.records import Message, ToolCall, ToolResult

from .output import json_line, visible, visible_text

SHORT_ID: Final = 8
LONGEST_LABEL: Final = 11

_SYMBOLS: Final = {
    "system": "◆",
    "user": "●",
    "assistant": "○",
    "tool_call": "→",
    "tool_result": "←",
    "compaction": "≡",
}
_STYLES: Final = {
    "system": "magenta",
    "user": "cyan",
    "assistant": "green",
    "tool_call": "yellow",
    "tool_result": "yellow",
    "compaction": "magenta",
}


def symbol(message: Message) -> str:
    """Return one character for the kind of message."""
    return _SYMBOLS.get(str(message.type), "·")


def style(message: Message) -> str:
    """Return the colour for the kind of message."""
    return _STYLES.get(str(message.type), "plain")


def label(message: Message) -> str:
    """Return who speaks: the type, or the role of a message of an unknown type."""
    kind = str(message.type)
    return kind if kind in _SYMBOLS else visible(str(message.role or kind))


def short(message_id: str, length: int = SHORT_ID) -> str:
    """Return the end of an id, which is what differs in ids that begin with the time."""
    return visible(message_id[-length:])


def short_length(ids: list[str]) -> int:
    """Return how many characters at the end of each id tell them all apart."""
    longest, different = max(map(len, ids)), len(set(ids))
    if longest <= SHORT_ID:
        return longest
    lengths = (4, 6, 8, 10, 12)
    return next(
        (length for length in lengths if len({one[-length:] for one in ids}) == different), longest
    )


def first_line(message: Message) -> str:
    """Return what there is to see of a message on one line."""
    lines = (line.strip() for part in _parts(message) for line in part.split("\n"))
    line = next(filter(None, lines), "")
    calls = ", ".join(_call_name(call) for call in _listed(message.tool_calls))
    if not calls:
        return visible(line.replace("\t", " "))
    return visible(f"{line} → {calls}" if line else calls)


def all_lines(message: Message) -> Iterator[str]:
    """Yield every line of a message."""
    for part in _parts(message):
        yield from visible_text(part).split("\n")
    for call in _listed(message.tool_calls):
        arguments = call.arguments if isinstance(call, ToolCall) else None
        if isinstance(arguments, Mapping):
            given = ", ".join(f"{name}={_json(value)}" for name, value in arguments.items())
            yield visible(f"→ {_call_name(call)}({given})")
        else:
            yield visible(f"→ {_json(call)}")


def _parts(message: Message) -> Iterator[str]:
    content: Any = message.content
    if isinstance(content, str):
        yield content
    elif content is not None:
        yield from map(_block, _listed(content))
    result: Any = message.tool_result
    if isinstance(result, ToolResult):
        if result.error is not None:
            yield f"✗ {result.error}"
        if result.result is not None:
            yield result.result if isinstance(result.result, str) else _json(result.result)
    elif result is not None:
        yield _json(result)


def _block(block: Any) -> str:
    if not isinstance(block, Mapping):
        return _json(block)
    text = block.get("text")
    if isinstance(text, str):
        return text
    source = block.get("source")
    media = source.get("media_type") if isinstance(source, Mapping) else None
    kind = " ".join(str(part) for part in (block.get("type"), media) if part is not None)
    thought = block.get("thinking")
    return f"[{kind or 'block'}]" + (f" {thought}" if isinstance(thought, str) else "")


def _call_name(call: Any) -> str:
    if isinstance(call, ToolCall):
        return str(call.name)
    return str(call.get("name", "?")) if isinstance(call, Mapping) else "?"


def _listed(value: Any) -> list[Any]:
    if value is None:
        return []
    return value if isinstance(value, list) else [value]


def _json(value: Any) -> str:
    return json_line(msgspec.to_builtins(value))
