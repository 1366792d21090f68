"""What a dialogue is: values and pure decisions, without I/O and without a clock."""

from .config import AutoResetConfig, Durability, KeepStrategy, StoreConfig, make_config
from .context import TokenCounter, estimate_tokens, select_context
from .door import check_json
from .ids import (
    check_branch_name,
    check_foreign_session_id,
    check_key,
    check_message_id,
    check_session_id,
)
from .messages import (
    MessageLike,
    decode_lenient,
    decode_message,
    encode_message,
    normalise,
    same_message,
)
from .records import (
    Branch,
    ContentBlock,
    Finding,
    JSONValue,
    Lock,
    LockResult,
    LogMark,
    Message,
    SessionMetadata,
    ToolCall,
    ToolResult,
    inherits_parent,
)
from .reset import (
    AutoResetManager,
    ResetPlan,
    ResetResult,
    kept_ids,
    plan_reset,
    reset_facts,
    reset_marker,
)
from .tree import Tree

__all__ = [
    "AutoResetConfig",
    "AutoResetManager",
    "Branch",
    "ContentBlock",
    "Durability",
    "Finding",
    "JSONValue",
    "KeepStrategy",
    "Lock",
    "LockResult",
    "LogMark",
    "Message",
    "MessageLike",
    "ResetPlan",
    "ResetResult",
    "SessionMetadata",
    "StoreConfig",
    "TokenCounter",
    "ToolCall",
    "ToolResult",
    "Tree",
    "check_branch_name",
    "check_foreign_session_id",
    "check_json",
    "check_key",
    "check_message_id",
    "check_session_id",
    "decode_lenient",
    "decode_message",
    "encode_message",
    "estimate_tokens",
    "inherits_parent",
    "kept_ids",
    "make_config",
    "normalise",
    "plan_reset",
    "reset_facts",
    "reset_marker",
    "same_message",
    "select_context",
]
