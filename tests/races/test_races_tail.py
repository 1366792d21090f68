"""A log opened from its end tells the same as one read from its beginning."""

from collections.abc import Callable, Sequence
from typing import Any
from unittest.mock import patch

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from session_store.jsonl import file as jsonl_file
from session_store.jsonl.lines import close_line
from session_store.jsonl.scanner import Scanner
from session_store.model.config import StoreConfig
from session_store.model.messages import encode_message
from session_store.model.records import Message
from session_store.runtime import run
from session_store.store import log as session_log
from session_store.store.engine import Engine
from session_store.store.records import read_message, read_slim
from session_store.testing.simulation import Fresh, World, finish

NAMES = ("left", "right")

Item = tuple[str, int, int]

ITEMS = st.lists(
    st.tuples(
        st.sampled_from(
            ["message"] * 5
            + ["batch", "cut batch", "head", "reset", "branch_deleted", "fence", "decoy"]
            + ["damage", "nul", "torn", "torn whole", "lost first line", "lost last line"]
        ),
        st.integers(0, 5),
        st.integers(0, 30),
    ),
    max_size=25,
)


def line_of(**fields: Any) -> bytes:
    return close_line(msgspec.json.encode(fields))


def log_of(items: Sequence[Item], ending: int) -> bytes:
    """Return a log such as no single writer leaves; `ending` of 1 cuts its last line."""
    data = bytearray()
    ids: list[str] = []

    def message(number: int, a: int, b: int, **fields: Any) -> bytes:
        parent = None if not ids or b == 0 else ids[max(0, len(ids) - 1 - b)]
        branch = {} if a > 1 else {"branch": NAMES[a]}
        ids.append(f"m{number}{'x' * (a * 20)}")
        return line_of(
            id=ids[-1], parentId=parent, type="user", timestamp=number, **branch, **fields
        )

    def control(number: int, kind: str, **facts: Any) -> bytes:
        facts = {"kind": kind, **facts}
        return line_of(id=f"c{number}", parentId=None, type="custom", timestamp=1, control=facts)

    for place, (kind, a, b) in enumerate(items):
        number = place * 10
        match kind:
            case "message":
                data += message(number, a, b)
            case "batch" | "cut batch" | "lost first line" | "lost last line":
                n = 2 + a % 3
                lines = [message(number + k, a, b, batch=[k + 1, n]) for k in range(n)]
                if kind == "lost first line":
                    lines[0] = b"{?" + lines[0][2:]
                elif kind == "lost last line":
                    lines[-1] = lines[-1].replace(b'"user"', b'"us?r"')
                data += b"".join(lines[:-1] if kind == "cut batch" else lines)
            case "head":
                data += control(number, "head", messageId=ids[-1 - b % len(ids)] if ids else "?")
            case "reset" | "branch_deleted":
                data += control(number, kind, name=NAMES[a % 2], created=0)
            case "fence":
                data += control(number, "fence", epoch=place, nonce=f"n{b}")
            case "decoy":
                data += message(number, a, b, metadata={"kind": "seal", "x": {"kind": "reset"}})
            case "damage":
                data += b'{"id":"lost"' + b"x" * b + b"}\n"
            case "nul":
                data += b"\0" * b + b"\n"
            case "torn" | "torn whole":
                whole = message(number, a, b)[:-1]
                del ids[-1]
                torn = whole if kind == "torn whole" else whole[: 1 + b]
                data += torn + b"\n"
                data += control(
                    number + 1, "seal", offset=len(data) - len(torn) - 1, length=len(torn)
                )
            case _:
                raise AssertionError(kind)
    return bytes(data[:-1] if ending == 1 else data)


def start(world: World) -> Engine:
    process = Fresh(world)
    return Engine(process, StoreConfig(durability="os"), process)


def told_by(engine: Engine, session: str) -> dict[str, Any]:
    """Return what an engine says of a session, the cheap questions first."""

    async def streamed() -> list[Any]:
        return [message async for message in engine.stream_messages(session)]

    found: dict[str, Any] = {}
    metadata = run(engine.get_metadata(session))
    assert metadata is not None
    log = engine._logs._logs[session]
    found["tail"] = (log.tail.head, log.tail.branch, log.tail.last_id, log.settled, log.torn)
    found["count"], found["mark"] = metadata.message_count, metadata.log
    found["stream"] = run(streamed())
    for limit in (1, 3, 20):
        found[f"last {limit}"] = run(engine.get_linear_history(session, limit=limit))
    found["head"] = run(engine.get_head(session))
    found["history"] = run(engine.get_linear_history(session))
    found["messages"] = run(engine.get_messages(session))
    found["everything"] = run(engine.get_messages(session, include_reset=True))
    found["tree"] = run(engine.get_tree(session))
    found["branches"] = run(engine.get_branches(session))
    return found


def prepare(data: bytes) -> tuple[World, str, str]:
    world = World(0)
    session = run(start(world).resolve("k"))
    branches = b"".join(
        line_of(name=name, leafMessageId=leaf, createdAt=1, path=[], logSize=0)
        for name, leaf in zip(NAMES, ("m0", "m10"), strict=True)
    )
    world.disk.put(f"{session}/branches.jsonl", branches)
    world.disk.put(f"{session}/messages.jsonl", data)
    return world, session, f"{session}/messages.jsonl"


@given(ITEMS, st.integers(0, 2), st.sampled_from([1, 60, 200, 500]))
@settings(max_examples=400, deadline=None)
def test_the_end_tells_what_the_whole_tells(items: list[Item], ending: int, tail: int) -> None:
    world, session, _ = prepare(log_of(items, ending))
    whole = told_by(start(world), session)

    with (
        patch.object(session_log, "TAIL_BYTES", tail),
        patch.object(jsonl_file, "TAIL_BYTES", tail),
    ):
        assert told_by(start(world), session) == whole
    with patch.object(jsonl_file, "CHUNK_BYTES", tail):
        assert told_by(start(world), session) == whole


@given(ITEMS, st.lists(st.integers(0, 4000), max_size=5), st.sampled_from([1, 200, 1 << 16]))
@example([("torn whole", 0, 0), ("message", 0, 0)], [89, 213], 1)
@settings(max_examples=400, deadline=None)
def test_what_was_read_bit_by_bit_is_what_is_read_at_once(
    items: list[Item], cuts: list[int], tail: int
) -> None:
    data = log_of(items, 0)
    world, session, path = prepare(b"")

    with patch.object(session_log, "TAIL_BYTES", tail):
        patient = start(world)
        for cut in [*sorted(cuts), len(data)]:
            world.disk.put(path, data[:cut])
            told_by(patient, session)
        assert told_by(patient, session) == told_by(start(world), session)


@given(ITEMS, st.sampled_from([1, 200, 1 << 16]))
@settings(max_examples=200, deadline=None)
def test_an_append_to_any_log_continues_from_its_head_and_is_there(
    items: list[Item], tail: int
) -> None:
    world, session, _ = prepare(log_of(items, 1))

    with patch.object(session_log, "TAIL_BYTES", tail):
        writer = start(world)
        head = run(writer.get_head(session))
        before = run(writer.get_messages(session))
        message = run(writer.append(session, {"type": "user", "content": "new"}))

        assert message.parent_id == head
        assert run(writer.get_messages(session)) == [*before, message]
        assert told_by(writer, session) == told_by(start(world), session)


def test_the_logs_of_these_tests_hold_what_they_should() -> None:
    kinds = ["message", "torn whole", "batch", "damage", "reset", "cut batch", "message"]
    world, session, _ = prepare(log_of([(kind, 1, 1) for kind in kinds], 0))

    told = told_by(start(world), session)

    assert finish(start(world).has_session(session))
    assert len(told["everything"]) == 5
    assert len(told["messages"]) == 1


@pytest.mark.parametrize("decode", [read_message, read_slim])
def test_a_seal_is_of_no_batch_whatever_it_says(decode: Callable[[bytes, int], Any]) -> None:
    first = b'{"id":"a","parentId":null,"type":"user","timestamp":1}\n{]\n'
    torn = b'{"id":"b","parentId":"a","type":"user","timestamp":1,"batch":[1,5]}\n'
    control = {"kind": "seal", "offset": len(first), "length": len(torn) - 1}
    seal = Message(id="s", parent_id=None, type="custom", control=control, batch=(2, 5))
    scanner = Scanner(decode)

    entries = scanner.feed(first + torn + close_line(encode_message(seal)))

    assert [record.id for _, _, record in entries] == ["a", "s"]
    assert [damage.code for damage in scanner.damage] == ["damaged_line", "sealed_tail"]
    assert scanner.settled == scanner.position
