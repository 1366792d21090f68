"""Heads: what they say, and what a log costs that grows by appends."""

from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_store.engines.objects.heads import (
    GONE_BYTES,
    LARGE_BYTES,
    MOST_BYTES,
    SMALL_BYTES,
    TAIL_BYTES,
    Gone,
    Head,
    Part,
    decode_head,
    encode_gone,
    encode_head,
    overlapping,
    to_close,
)
from session_store.errors import CorruptionError

TOKEN = "0123456789abcdef"


def test_a_head_says_what_it_was_told_and_where_its_line_ends() -> None:
    head = Head(TOKEN, 1_700_000_000_000, 12, 9, (Part(0, "a"), Part(4, "b")))
    line = encode_head(head)

    assert decode_head("path", line + b"abc") == (head, len(line))


def test_what_is_gone_is_told_by_its_size() -> None:
    smallest = encode_head(Head("", 0, 0, 0))

    for ended in (False, True):
        left = encode_gone(TOKEN, ended=ended)
        assert decode_head("path", left) == (Gone(ended), len(left))
        assert len(left) <= GONE_BYTES < len(smallest)


@pytest.mark.parametrize(
    "data", [b"", b"\n", b"{}\n", b"deleted " + b"x" * 99, b'{"v":9}', b"\xff"]
)
def test_what_is_no_head_is_damage(data: bytes) -> None:
    with pytest.raises(CorruptionError):
        decode_head("path", data)


def test_a_head_of_a_newer_release_is_not_guessed_at() -> None:
    line = encode_head(Head(TOKEN, 0, 0, 0)).replace(b'"v":1', b'"v":2')

    with pytest.raises(CorruptionError, match="newer release"):
        decode_head("path", line)


class Log(NamedTuple):
    head: Head
    put: int
    puts: int


def grown(lines: int, size: int) -> Log:
    """Append so many lines of a size, and return what is there and what was sent for it."""
    parts: tuple[Part, ...] = ()
    total = tail = put = puts = 0
    for _ in range(lines):
        if total - tail >= TAIL_BYTES:
            head = Head(TOKEN, 0, total, tail, parts)
            first = to_close(head)
            start = parts[first].start if first < len(parts) else tail
            parts, tail = (*parts[:first], Part(start, TOKEN)), total
            put, puts = put + total - start, puts + 1
        total += size
        put, puts = put + total - tail, puts + 1
    return Log(Head(TOKEN, 0, total, tail, parts), put, puts)


def test_a_log_of_a_million_messages_has_few_objects() -> None:
    log = grown(1_000_000, 500)

    assert log.head.size == 500_000_000
    assert len(log.head.parts) <= log.head.size // LARGE_BYTES + LARGE_BYTES // SMALL_BYTES + 1
    assert len(encode_head(log.head)) < 3_000


def test_parts_that_stayed_small_are_not_all_made_one_at_once() -> None:
    parts = tuple(Part(start, TOKEN) for start in range(0, 1 << 30, TAIL_BYTES))
    head = Head(TOKEN, 0, 1 << 30, (1 << 30) - 9, parts)

    first = to_close(head)

    assert LARGE_BYTES <= head.size - parts[first].start <= MOST_BYTES
    assert head.size - parts[to_close(head, large=False)].start <= SMALL_BYTES


@pytest.mark.parametrize("size", [100, 500, 2_000])
def test_an_append_sends_half_a_tail_and_nothing_that_grows_with_the_log(size: int) -> None:
    short, long = grown(20_000, size), grown(100_000, size)

    for log in (short, long):
        lines = log.head.size // size
        # A byte is in a part of its own size, in up to sixteen small ones and in a large one.
        assert log.put / lines < TAIL_BYTES / 2 + (SMALL_BYTES / TAIL_BYTES + 3) * size
        assert log.puts / lines < 1 + 1.2 * size / TAIL_BYTES


@given(st.lists(st.integers(1, 30), max_size=6), st.integers(0, 200), st.integers(0, 200))
def test_the_parts_of_a_range_are_those_that_hold_its_bytes(
    sizes: list[int], start: int, end: int
) -> None:
    starts = [sum(sizes[:index]) for index in range(len(sizes))]
    parts = tuple(Part(at, TOKEN) for at in starts)
    head = Head(TOKEN, 0, sum(sizes) + 5, sum(sizes), parts)
    content = bytes(index for index, size in enumerate(sizes) for _ in range(size))

    pieces = [
        (parts[index].start + a, parts[index].start + b)
        for index, a, b in overlapping(head, start, end)
    ]
    assert b"".join(content[a:b] for a, b in pieces) == content[start:end]
