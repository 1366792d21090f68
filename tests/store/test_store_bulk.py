"""Lines that are read in bulk say the same as lines that are read one by one."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_store.jsonl import Retracted, Scanner, close_line
from session_store.model import encode_message
from session_store.model.records import Message
from session_store.store.census import Census
from session_store.store.records import control_record, read_message, read_slim
from session_store.store.replay import Nodes

NAMES = st.sampled_from("abcdef")
OPTIONAL = st.none() | NAMES

messages = st.builds(
    Message,
    id=NAMES,
    parent_id=OPTIONAL,
    type=st.sampled_from(["user", "custom"]),
    timestamp=st.just(1),
    content=st.sampled_from(["", "é", '"kind":"seal"']),
    branch=OPTIONAL,
    control=st.sampled_from([None, None, None, {"kind": "x"}, {"kind": "reset"}]),
)


def batch(members: list[Message], come: int) -> bytes:
    numbered = [
        encode_message(member)[:-1] + b',"batch":[%d,%d]}' % (place, len(members))
        for place, member in enumerate(members, 1)
    ]
    return b"".join(map(close_line, numbered[:come]))


def seal(length: int) -> bytes:
    control = control_record("s", 1, "seal", offset=0, length=length)
    return close_line(encode_message(control))


lines = messages.map(lambda message: close_line(encode_message(message)))
batches = st.builds(batch, st.lists(messages, min_size=1, max_size=5), st.integers(1, 5))
pieces = st.one_of(
    lines,
    batches,
    batches,
    messages.map(lambda message: encode_message(message) + b"\n"),
    messages.map(lambda message: encode_message(message) + b"\r\n"),
    lines.map(lambda line: line.replace(b'"type"', b'"typo"')),
    st.integers(1, 90).map(seal),
    st.sampled_from([b"\n", b"\0\0\n", b'{"type":"user"}\n', b'{"a":1}{"b":2}\n', b'{"a":\n1}\n']),
)


def fed(decode: Callable[[bytes, int], Any], data: bytes, cuts: list[int]) -> tuple[Any, ...]:
    scanner: Scanner[Any] = Scanner(decode)
    found: list[Any] = []
    available = 0
    try:
        for cut in [*cuts, len(data)]:
            available = min(len(data), available + cut)
            last = available == len(data)
            found += scanner.feed(data[scanner.position : available], last=last)
    except Retracted:
        found.append("retracted")
    return found, scanner.position, scanner.settled, scanner.damage


@given(st.lists(pieces, max_size=12).map(b"".join), st.lists(st.integers(1, 600), max_size=8))
@pytest.mark.parametrize("decode", [read_message, read_slim])
def test_it_makes_no_difference_whether_lines_are_read_at_once(
    decode: Callable[[bytes, int], Any], data: bytes, cuts: list[int]
) -> None:
    one_by_one = fed(lambda line, offset: decode(line, offset), data, cuts)

    at_once = fed(decode, data, cuts)

    assert at_once == one_by_one


@given(st.lists(messages, max_size=20), st.lists(st.integers(1, 20), max_size=6))
def test_a_tree_is_the_same_however_many_records_it_takes_in_at_a_time(
    given_: list[Message], cuts: list[int]
) -> None:
    entries = [(place * 10, place * 10 + 9, message) for place, message in enumerate(given_)]
    single, bulk = Nodes(), Nodes()
    for entry in entries:
        single.apply(*entry)
        single.used("a")

    at = 0
    for cut in [*cuts, len(entries)]:
        bulk.extend(entries[at : at + cut])
        at += cut

    assert [bulk.used(name) for name in "abcdef"] == [single.used(name) for name in "abcdef"]
    for field in ("ids", "parents", "starts", "ends", "first_visible", "tips", "deleted"):
        assert getattr(bulk, field) == getattr(single, field), field


@given(st.lists(messages, max_size=30))
def test_a_census_finds_what_the_whole_tree_would_tell(given_: list[Message]) -> None:
    nodes, census = Nodes(), Census()
    nodes.extend([(0, 0, message) for message in given_])

    census.extend([(0, 0, message) for message in given_])

    odd = census.oddities()
    assert (census.messages, census.visible) == (len(nodes), len(nodes) - nodes.first_visible)
    assert [census.holds(name) for name in "abcdef"] == [name in nodes.ids for name in "abcdef"]
    assert odd.doubled == {hash(name) for name in nodes.ids if nodes.ids.count(name) > 1}
    named = [(place, name) for place, name in enumerate(nodes.parents) if name is not None]
    assert odd.orphans == {place for place, name in named if name not in nodes.ids}
    behind = {place for place, name in named if name in nodes.ids[place:]}
    assert odd.before_parent == {p for p in behind if nodes.parents[p] not in nodes.ids[:p]}
