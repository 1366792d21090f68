"""The values a dialogue is made of, as they stand on disk and in Python.

camelCase exists on disk only, by renaming these fields and nothing inside them.
"""

from typing import Any, TypeAlias, cast

import msgspec
from msgspec import UNSET

ContentBlock: TypeAlias = dict[str, Any]
"""One block of structured content: `{"type": "text", "text": "…"}`, an image, …"""

JSONValue: TypeAlias = Any
"""Whatever JSON can say: None, bool, int, float, str, a list or a dict of these."""

_INHERIT = cast("None", UNSET)


class Record(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    rename="camel",
    omit_defaults=True,
    repr_omit_defaults=True,
    gc=False,
):
    """Something that is kept as one JSON object."""


class ToolCall(Record, frozen=True, kw_only=True):
    """One call of a tool that the model asked for."""

    id: str
    name: str
    arguments: dict[str, Any]


class ToolResult(Record, frozen=True, kw_only=True):
    """What a tool answered to the call `tool_call_id`; `error` if it failed."""

    tool_call_id: str
    result: JSONValue = None
    error: str | None = None


class Message(Record, frozen=True, kw_only=True):
    """One node of a dialogue.

    For `append`, leave `id` and `timestamp` out to have them made, and `parent_id` out to
    continue from the head; `parent_id=None` starts a new root. A message that the store
    returns has all three. `type` is one of `system user assistant tool_call tool_result
    compaction custom`; others are kept as they are. `timestamp` is in milliseconds.
    """

    id: str = ""
    parent_id: str | None = _INHERIT
    type: str
    timestamp: int | float = 0
    role: str | None = None
    content: str | list[ContentBlock] | None = None
    tool_calls: list[ToolCall] | None = None
    tool_result: ToolResult | None = None
    metadata: dict[str, Any] | None = None

    branch: str | None = None
    """The branch whose tip this message was appended to; written by the store."""
    batch: tuple[int, int] | None = None
    """(k, n): the k-th of n lines that stand or fall together; written by the store."""
    key: str | None = None
    """The session's key, on the first line of a log; written by the store."""
    control: dict[str, Any] | None = None
    """Set on a record of the store itself, which is never shown as a message."""


def inherits_parent(message: Message) -> bool:
    """Return whether `message` leaves its parent to the store (None means a new root)."""
    parent: object = message.parent_id
    return parent is UNSET


class Branch(Record, frozen=True, kw_only=True):
    """A name for a way through the tree; its leaf follows what is appended on it.

    `path` holds the ids from the root to the leaf.
    """

    name: str
    leaf_message_id: str
    created_at: int | float
    path: list[str] = msgspec.field(default_factory=list)


class LogMark(Record, frozen=True, kw_only=True):
    """How many messages a log held when it had `size` bytes, and the last one's id."""

    size: int
    messages: int
    last_id: str | None = None


class SessionMetadata(Record, frozen=True, kw_only=True):
    """What is known of a session without reading it; times in milliseconds.

    `model_overrides` and `metadata` are yours.
    """

    session_id: str
    created_at: int | float
    updated_at: int | float
    message_count: int = 0
    user_id: str | None = None
    token_estimate: int | None = None
    model_overrides: dict[str, Any] | None = None
    metadata: dict[str, Any] | None = None
    log: LogMark | None = None


class Lock(Record, frozen=True, kw_only=True):
    """Who holds the lock of a session; times are wall clock, in milliseconds.

    `epoch` grows with every change of the holder.
    """

    session_id: str
    owner_id: str
    acquired_at: int
    expires_at: int
    epoch: int


class LockResult(Record, frozen=True, kw_only=True):
    """The answer to `acquire_lock`: `lock` is the holder's, `reason` says why not."""

    acquired: bool
    lock: Lock | None = None
    reason: str | None = None


class Finding(Record, frozen=True, kw_only=True):
    """One thing that is not as it should be, with the place where it stands.

    `severity` is `error` (data is damaged or a promise is broken), `warning` (nothing is
    lost, but somebody should know) or `info`. `code` is stable, `detail` is for people.
    """

    severity: str
    code: str
    path: str
    detail: str
    offset: int | None = None
    length: int | None = None
    session_id: str | None = None
