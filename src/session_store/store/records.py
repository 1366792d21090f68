"""The lines of a session's log as the store reads and writes them."""

from collections.abc import Sequence
from typing import Any, Final, Protocol

import msgspec
from msgspec.structs import replace

from session_store.jsonl.lines import parse_object
from session_store.jsonl.scanner import Entry
from session_store.model.messages import decode_message
from session_store.model.records import Branch, Message, Record, inherits_parent

MESSAGES: Final = "messages.jsonl"
BRANCHES: Final = "branches.jsonl"


class Node(Protocol):
    """What has to be known of a line to place it in the tree."""

    @property
    def id(self) -> str: ...
    @property
    def parent_id(self) -> str | None: ...
    @property
    def type(self) -> str: ...
    @property
    def timestamp(self) -> int | float: ...
    @property
    def branch(self) -> str | None: ...
    @property
    def batch(self) -> tuple[int, int] | None: ...
    @property
    def key(self) -> str | None: ...
    @property
    def control(self) -> dict[str, Any] | None: ...


class Slim(Record, frozen=True, kw_only=True):
    """A line without its content: all that the tree of ids is made of."""

    id: str = ""
    parent_id: str | None = None
    type: str
    timestamp: int | float = 0
    branch: str | None = None
    batch: tuple[int, int] | None = None
    key: str | None = None
    control: dict[str, Any] | None = None


class BranchRecord(Branch, frozen=True, kw_only=True):
    """A line of `branches.jsonl`.

    `log_size` is how long the log was when it was written, which orders it among the
    records of the log; the original writes none.
    """

    log_size: int | None = None

    @property
    def batch(self) -> None:
        """Branches come one by one."""
        return None


_message = msgspec.json.Decoder(Message)
_slim = msgspec.json.Decoder(Slim)
_branch = msgspec.json.Decoder(BranchRecord)


class _ReadMessage:
    """See `read_message`."""

    def __call__(self, line: bytes, offset: int) -> Message:
        message = decode_message(line, parse_object)
        if message.batch is not None and _seals(message):
            # A seal is of no batch, whatever it says: a reader from the end begins behind it.
            message = replace(message, batch=None)
        return message if message.id else replace(message, id=f"line:{offset}")

    @staticmethod
    def many(lines: Sequence[bytes]) -> list[Message]:
        """Return the messages on lines that are as the store writes them, else `ValueError`."""
        found = list(map(_message.decode, lines))
        for message in found:
            if inherits_parent(message):
                raise ValueError
        _refuse_special(found)
        return found


class _ReadSlim:
    """See `read_slim`."""

    def __call__(self, line: bytes, offset: int) -> Node:
        try:
            slim = _slim.decode(line)
            batch = slim.batch
            if slim.id and (batch is None or (1 <= batch[0] <= batch[1] and not _seals(slim))):
                return slim
        except (ValueError, RecursionError):  # a UnicodeDecodeError is no DecodeError
            pass
        return read_message(line, offset)

    @staticmethod
    def many(lines: Sequence[bytes]) -> list[Slim]:
        """Return the lines without their content if all are as the store writes them."""
        found = list(map(_slim.decode, lines))
        _refuse_special(found)
        return found


def _seals(node: Node) -> bool:
    return node.control is not None and is_control(node) and node.control["kind"] == "seal"


def _refuse_special(nodes: Sequence[Node]) -> None:
    """Raise `ValueError` unless all have an id, and no seal and no impossible batch is there."""
    for node in nodes:
        if not node.id:
            raise ValueError
        batch, control = node.batch, node.control
        if batch is not None and not 1 <= batch[0] <= batch[1]:
            raise ValueError
        if control is not None and control.get("kind") == "seal":
            raise ValueError


read_message: Final = _ReadMessage()
"""Return the message on a line; raises `ValueError` if there is none.

One that has no id, which only foreign data has, is named after its offset.
"""

read_slim: Final = _ReadSlim()
"""Return the line without its content; raises `ValueError` if it is no record."""


def is_control(node: Node) -> bool:
    """Return whether the line is a record of the store itself, no message."""
    control = node.control
    return (
        control is not None
        and node.type == "custom"
        and node.parent_id is None
        and isinstance(control.get("kind"), str)
    )


def said_in(entries: Sequence[Entry[Message]]) -> list[Message]:
    """Return the messages among the records."""
    return [
        message for _, _, message in entries if message.control is None or not is_control(message)
    ]


def is_fixed(message: Message) -> bool:
    """Return whether nothing in the message can be changed."""
    return (
        type(message.content) is str
        and message.metadata is None
        and message.tool_calls is None
        and message.tool_result is None
    )


def control_record(record_id: str, now_ms: int, kind: str, **facts: Any) -> Message:
    """Return a record of the store itself."""
    return Message(
        id=record_id,
        parent_id=None,
        type="custom",
        timestamp=now_ms,
        control={"kind": kind, **facts},
    )


def read_branch(line: bytes, _offset: int) -> BranchRecord:
    """Return the branch on `line`; raises `ValueError` if there is none."""
    try:
        return _branch.decode(line)
    except (ValueError, RecursionError):
        fields = parse_object(line)
    name, leaf = fields.get("name"), fields.get("leafMessageId")
    if not isinstance(name, str) or not isinstance(leaf, str):
        raise ValueError("a branch needs a name and a leafMessageId")
    created, path = fields.get("createdAt"), fields.get("path")
    log_size = fields.get("logSize")
    return BranchRecord(
        name=name,
        leaf_message_id=leaf,
        created_at=created if isinstance(created, int | float) else 0,
        path=[step for step in path if isinstance(step, str)] if isinstance(path, list) else [],
        log_size=log_size if isinstance(log_size, int) else None,
    )


def write_branch(record: BranchRecord) -> bytes:
    """Return the JSON object of a branch."""
    return msgspec.json.encode(record)
