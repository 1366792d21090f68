"""What most messages are: said after the head, in a log that is known to its end.

For these nothing has to be looked up: where they stand follows from the tail alone.
"""

from collections.abc import Callable, Sequence
from typing import Final, TypeAlias

from msgspec.json import Encoder

from session_store.jsonl.lines import close_line
from session_store.model.messages import MessageLike, encode_message, is_speech, normalise
from session_store.model.records import Message, inherits_parent
from session_store.runtime import Runtime

from .replay import Tail

Draft: TypeAlias = tuple[Message, Callable[[Message], bytes]]
"""What is to be said, and what encodes it."""

Placed: TypeAlias = tuple[list[Message], list[bytes]]
"""Messages as they are stored, and their lines."""

_encode: Final = Encoder().encode


def draft_of(given: MessageLike) -> Draft | None:
    """Return what is to be said; None if it names its id or its parent."""
    if type(given) is Message and is_speech(given):
        return given, _encode
    draft = normalise(given)
    return None if draft.id or not inherits_parent(draft) else (draft, encode_message)


def drafts_of(given: Sequence[MessageLike]) -> list[Draft] | None:
    """Return what is to be said together; None if one names its id or its parent."""
    drafts: list[Draft] = []
    for one in given:
        draft = draft_of(one)
        if draft is None:
            return None
        drafts.append(draft)
    return drafts


def place(drafts: Sequence[Draft], tail: Tail, runtime: Runtime, max_bytes: int) -> Placed | None:
    """Return what to append behind `tail`; None if a line would have more than `max_bytes`.

    Raises `UnicodeEncodeError` for half a character.
    """
    now, count, parent = runtime.now_ms(), len(drafts), tail.head
    messages, lines = list[Message](), list[bytes]()
    for number, (draft, encode) in enumerate(drafts, 1):
        message = Message(
            id=runtime.new_id(),
            parent_id=parent,
            type=draft.type,
            timestamp=draft.timestamp or now,
            role=draft.role,
            content=draft.content,
            tool_calls=draft.tool_calls,
            tool_result=draft.tool_result,
            metadata=draft.metadata,
            branch=tail.branch,
            batch=(number, count) if count > 1 else None,
        )
        parent = message.id
        messages.append(message)
        lines.append(close_line(encode(message)))
    return None if max(map(len, lines)) > max_bytes else (messages, lines)
