"""Values of every shape through the doors: what goes in comes out, or is refused by a typed error.

Hypothesis makes the values; `test_crash_fuzz.py` changes the bytes.
"""

import json
from typing import Any

import fuzz_targets
import msgspec
from damage_world import loaded, open_store
from fuzz_plain import records_of
from fuzz_seeds import SPLIT
from hypothesis import given, settings
from hypothesis import strategies as st

from session_store.index import records as journal
from session_store.jsonl.lines import close_line
from session_store.jsonl.scanner import Scanner
from session_store.locks.decision import LockFile, decode, encode
from session_store.model.messages import encode_message, normalise, same_message
from session_store.model.records import Message, ToolCall, ToolResult
from session_store.store.records import read_message

LEAVES = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=20)
)
JSON = st.recursive(
    LEAVES,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
ANY_JSON = st.recursive(
    LEAVES | st.integers() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=12,
)
NAMES = (
    "id parentId type timestamp role content toolCalls toolResult metadata branch batch key "
    "control crc name leafMessageId createdAt path logSize op sessionId set at offset length next "
    "epoch format after keys sessions journal tool_calls tool_call_id"
)
FIELDS = st.sampled_from(NAMES.split())
TYPES = (
    "user assistant system tool tool_call tool_result compaction custom open register update "
    "delete add_key remove_key torn seal"
)
KINDS = st.sampled_from(TYPES.split())
OBJECTS = st.dictionaries(FIELDS, ANY_JSON | KINDS, max_size=8)
TEXT = st.text(st.characters(codec="utf-8"), min_size=1, max_size=30)
BLOCKS = st.lists(st.dictionaries(st.text(max_size=8), JSON, max_size=3), max_size=3)


@st.composite
def messages(draw: st.DrawFn) -> Message:
    """Messages that a caller may give."""
    kind = draw(
        st.sampled_from(["user", "assistant", "tool_call", "tool_result", "custom", "ours"])
    )
    calls = st.builds(
        ToolCall, id=TEXT, name=TEXT, arguments=st.dictionaries(st.text(max_size=5), JSON)
    )
    return Message(
        id=draw(TEXT),
        parent_id=draw(st.none() | TEXT),
        type=kind,
        timestamp=draw(st.integers(1, 2**53)),
        role=draw(st.none() | TEXT),
        content=draw(st.none() | st.text(st.characters(codec="utf-8")) | BLOCKS),
        tool_calls=draw(st.none() | st.lists(calls, max_size=2)),
        tool_result=draw(
            st.none()
            | st.builds(ToolResult, tool_call_id=TEXT, result=JSON, error=st.none() | TEXT)
        ),
        metadata=draw(st.none() | st.dictionaries(st.text(max_size=5), JSON, max_size=3)),
    )


@st.composite
def log_pieces(draw: st.DrawFn) -> bytes:
    """Logs of whole lines, parts of batches, damage, NUL bytes, and tails, sealed or not."""
    log = b""
    for number in range(draw(st.integers(0, 9))):
        match draw(st.integers(0, 7)):
            case 0:
                log += bytes(draw(st.integers(1, 9))) + draw(st.sampled_from([b"", b"\n", b"~\n"]))
            case 1:
                log += draw(st.sampled_from([b"not JSON\n", b"{}x\n", b'"batch":[3,3]\n', b"\r\n"]))
            case 2:
                torn = draw(st.sampled_from([b'{"id":"to', b'{"id":"t"}', b"\0\0", b"x~"])) + b"~"
                control = {"kind": "seal", "offset": len(log), "length": len(torn)}
                line = _line(number, control=control)
                log += torn + b"\n" + draw(st.sampled_from([line, line[:-1], line[:30] + b"~\n"]))
            case 3 | 4:
                size = draw(st.integers(1, 4))
                for place in draw(st.lists(st.integers(1, size), unique=True).map(sorted)):
                    log += _line(number * 10 + place, batch=(place, size))
            case _:
                log += _line(number)
    return log + draw(st.sampled_from([b"", b"", b'{"id":', b"\0"]))


def _line(number: int, **fields: Any) -> bytes:
    kind = "custom" if "control" in fields else "user"
    message = Message(id=f"m{number}", parent_id=None, type=kind, timestamp=1, **fields)
    return close_line(encode_message(message))


@given(messages())
def test_what_is_given_is_written_and_read_back_as_it_was(message: Message) -> None:
    normal = normalise(message)

    back = read_message(close_line(encode_message(normal))[:-1], 0)

    assert same_message(message, back)
    assert normalise(back) == back


@given(OBJECTS)
def test_any_object_is_a_message_or_refused_at_the_door(value: dict[str, Any]) -> None:
    fuzz_targets.door(json.dumps(value).encode())


@given(st.lists(OBJECTS, max_size=4))
def test_any_lines_are_read_by_every_reader_or_are_damage(values: list[dict[str, Any]]) -> None:
    data = b"".join(close_line(json.dumps(value).encode()) for value in values if value)

    for target in (
        fuzz_targets.lines,
        fuzz_targets.logs,
        fuzz_targets.branches,
        fuzz_targets.journals,
        fuzz_targets.imports,
    ):
        target(data)


@given(log_pieces())
def test_a_log_says_the_same_however_it_is_read(log: bytes) -> None:
    fuzz_targets.logs(log)


@given(log_pieces(), log_pieces())
def test_what_was_shown_of_a_log_stays_when_it_grows(first: bytes, second: bytes) -> None:
    log = first[: first.rfind(b"\n") + 1]
    scanner = Scanner(read_message)
    before = scanner.feed(log)
    after = records_of(log + _line(99) + second)

    assert [entry[0] for entry in before] == [at for at, _ in after][: len(before)]


@given(
    st.fixed_dictionaries({"keys": ANY_JSON, "sessions": ANY_JSON, "journal": ANY_JSON}) | OBJECTS
)
def test_any_object_is_a_snapshot_or_damaged(value: dict[str, Any]) -> None:
    for data in (json.dumps(value).encode(), close_line(json.dumps(value | {"v": 1}).encode())):
        fuzz_targets.snapshots(data)


@given(
    st.lists(
        st.fixed_dictionaries(
            {"op": KINDS, "sessionId": st.sampled_from("abc"), "key": st.sampled_from("xyz")},
            optional={"metadata": OBJECTS, "set": OBJECTS, "next": ANY_JSON, "offset": ANY_JSON},
        ),
        max_size=6,
    )
)
def test_any_journal_is_replayed_the_same_at_once_and_in_pieces(
    values: list[dict[str, Any]],
) -> None:
    data = b"".join(close_line(json.dumps(value).encode()) for value in values)

    fuzz_targets.journals(data)

    assert fuzz_targets.plain_changes(data) == journal.scan(data, 0).records


@given(OBJECTS | ANY_JSON)
def test_any_value_is_a_lock_or_none(value: Any) -> None:
    fuzz_targets.locks(json.dumps(value).encode())


@given(
    st.builds(
        LockFile,
        **{
            name: TEXT if name in ("owner", "nonce") else st.integers(0, 2**62)
            for name in ("owner", "nonce", "epoch", "renewals", "acquired_at", "renewed_at", "ttl")
        },
        fenced=st.booleans(),
        released=st.booleans(),
    )
)
def test_a_lock_is_read_as_it_was_written(lock: LockFile) -> None:
    assert decode(encode(lock)) == lock


@given(
    st.lists(
        st.fixed_dictionaries(
            {"role": st.sampled_from(["user", "assistant", "tool", "system", "developer", "x"])},
            optional={
                "content": ANY_JSON | st.lists(st.fixed_dictionaries({"type": KINDS | TEXT})),
                "tool_calls": ANY_JSON,
                "tool_call_id": ANY_JSON,
                "name": ANY_JSON,
            },
        )
        | OBJECTS,
        max_size=4,
    )
)
def test_any_dialogue_of_a_provider_is_taken_or_refused(items: list[dict[str, Any]]) -> None:
    fuzz_targets.formats(json.dumps(items).encode())


@settings(max_examples=25)
@given(log_pieces(), st.binary(max_size=60), st.binary(max_size=60))
def test_a_session_goes_on_whatever_its_files_hold(
    log: bytes, branches: bytes, lock: bytes
) -> None:
    fuzz_targets.stores(SPLIT.join((log, branches, lock)))


@settings(max_examples=25)
@given(st.binary(max_size=80), OBJECTS, st.binary(max_size=80))
def test_a_store_opens_whatever_its_index_holds(
    snapshot: bytes, previous: dict[str, Any], journal_bytes: bytes
) -> None:
    files = [snapshot, msgspec.json.encode(previous) if _plain(previous) else b"", journal_bytes]

    fuzz_targets.indexes(SPLIT.join([*files, b""]))

    store = open_store(loaded({"sessions.json": snapshot}), 3)
    assert store.append(store.resolve("key"), {"role": "user", "content": "x"}).id


def _plain(value: Any) -> bool:
    """Return whether the fast encoder takes it: no halves of characters, no huge numbers."""
    try:
        msgspec.json.encode(value)
    except (UnicodeEncodeError, OverflowError):
        return False
    return True
