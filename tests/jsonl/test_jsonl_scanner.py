"""Which lines are records: seals, batches, damage."""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_store.jsonl import Retracted, Scanner, close_line, parse_object
from session_store.model import decode_message, encode_message
from session_store.model.records import Message


def read(line: bytes, _offset: int) -> Message:
    return decode_message(line, parse_object)


def line(name: str, **fields: object) -> bytes:
    message = Message(id=name, parent_id=None, type="user", timestamp=1, **fields)  # type: ignore[arg-type]
    return close_line(encode_message(message))


def seal(offset: int, length: int, batch: tuple[int, int] | None = None) -> bytes:
    control = {"kind": "seal", "offset": offset, "length": length}
    message = Message(
        id="seal", parent_id=None, type="custom", timestamp=1, control=control, batch=batch
    )
    return close_line(encode_message(message))


def scan(*pieces: bytes) -> tuple[list[str], Scanner[Message]]:
    scanner = Scanner(read)
    names: list[str] = []
    data = b"".join(pieces)
    names += [message.id for _, _, message in scanner.feed(data)]
    return names, scanner


def codes(scanner: Scanner[Message]) -> list[str]:
    return [damage.code for damage in scanner.damage]


DAMAGED = line("x").replace(b'"x"', b'"y"')


def test_a_damaged_line_hides_nothing_behind_it_and_is_reported_with_its_place() -> None:
    names, scanner = scan(line("a"), DAMAGED, b"no json\n", line("b"))

    assert names == ["a", "b"]
    assert [(d.code, d.offset, d.length) for d in scanner.damage] == [
        ("damaged_line", len(line("a")), len(DAMAGED) - 1),
        ("damaged_line", len(line("a")) + len(DAMAGED), 7),
    ]


def test_a_torn_tail_is_no_record_until_its_line_feed_comes() -> None:
    whole = line("b")
    scanner = Scanner(read)

    first = scanner.feed(line("a") + whole[:-1])
    second = scanner.feed(whole)

    assert [message.id for _, _, message in first] == ["a"]
    assert [message.id for _, _, message in second] == ["b"]
    assert scanner.damage == []


def test_a_sealed_tail_is_no_record_even_if_it_parses() -> None:
    start, torn = len(line("a")), line("torn")[:-1]

    names, scanner = scan(line("a"), torn, b"\n", seal(start, len(torn)), line("b"))

    assert names == ["a", "seal", "b"]
    assert codes(scanner) == ["sealed_tail"]


def test_a_seal_that_does_not_fit_the_bytes_voids_nothing() -> None:
    names, scanner = scan(line("a"), line("b"), seal(0, 3), line("c"))

    assert names == ["a", "b", "seal", "c"]
    assert codes(scanner) == ["false_seal"]


def test_a_seal_for_a_record_given_out_before_makes_the_reader_start_anew() -> None:
    scanner = Scanner(read)
    torn = line("torn")
    scanner.feed(torn)

    with pytest.raises(Retracted):
        scanner.feed(seal(0, len(torn) - 1))


def test_text_that_only_looks_like_a_seal_is_a_message() -> None:
    content = '"kind":"seal"'

    names, scanner = scan(line("a"), line("b", metadata={"kind": "seal"}, content=content))

    assert names == ["a", "b"]
    assert scanner.damage == []


def test_nul_bytes_are_reported_and_the_record_glued_to_them_is_saved() -> None:
    names, scanner = scan(line("a"), b"\0" * 500 + line("b"), b"\0\0\n", line("c"))

    assert names == ["a", "b", "c"]
    assert [(d.code, d.length) for d in scanner.damage] == [("nul_run", 500), ("nul_run", 2)]


def batch(size: int, prefix: str = "m") -> list[bytes]:
    return [line(f"{prefix}{k}", batch=(k, size)) for k in range(1, size + 1)]


def test_a_whole_batch_is_shown() -> None:
    names, scanner = scan(*batch(3), line("z"))

    assert names == ["m1", "m2", "m3", "z"]
    assert scanner.damage == []


def test_a_seal_is_of_no_batch_whatever_it_says() -> None:
    start, torn = len(line("a")) + 3, batch(5)[0]
    sealed = seal(start, len(torn) - 1, (2, 5))

    names, scanner = scan(line("a"), b"{]\n", torn, sealed)

    assert names == ["a", "seal"]
    assert codes(scanner) == ["damaged_line", "sealed_tail"]
    assert scanner.settled == scanner.position


@pytest.mark.parametrize("came", [1, 2])
def test_a_batch_without_its_end_is_pending_at_the_end_and_torn_before_a_foreign_line(
    came: int,
) -> None:
    pieces = batch(3)[:came]

    pending, waiting = scan(line("a"), *pieces)
    torn, scanner = scan(line("a"), *pieces, line("z"))

    assert pending == ["a"]
    assert waiting.settled == len(line("a")) < waiting.position
    assert waiting.damage == []
    assert torn == ["a", "z"]
    assert codes(scanner) == ["torn_batch"]
    assert scanner.settled == scanner.position


def test_a_batch_that_begins_ends_an_unfinished_one() -> None:
    names, scanner = scan(*batch(3)[:2], *batch(2, "n"))

    assert names == ["n1", "n2"]
    assert codes(scanner) == ["torn_batch"]


@pytest.mark.parametrize("hit", [0, 1, 2])
def test_a_damaged_line_in_a_batch_counts_as_its_place_and_hides_only_itself(hit: int) -> None:
    pieces = batch(3)
    pieces[hit] = pieces[hit].replace(b'"user"', b'"uter"')

    names, scanner = scan(line("a"), *pieces, line("z"))

    assert names == ["a", *(f"m{k}" for k in (1, 2, 3) if k != hit + 1), "z"]
    assert codes(scanner) == ["damaged_line"]


def test_a_sealed_last_line_of_a_batch_never_came() -> None:
    first, second = batch(2)
    torn = second[:-1]

    names, scanner = scan(first, torn, b"\n", seal(len(first), len(torn)), line("z"))

    assert names == ["seal", "z"]
    assert sorted(codes(scanner)) == ["sealed_tail", "torn_batch"]


def test_a_line_from_the_middle_of_a_batch_that_nobody_began_is_shown_and_reported() -> None:
    names, scanner = scan(line("a"), batch(3)[1], line("z"))

    assert names == ["a", "m2", "z"]
    assert codes(scanner) == ["misplaced_line"]


def test_a_pending_batch_is_settled_by_what_comes_later() -> None:
    scanner = Scanner(read)
    first, second = batch(2)

    before = scanner.feed(first)
    after = scanner.feed(second)

    assert before == []
    assert [message.id for _, _, message in after] == ["m1", "m2"]
    assert scanner.settled == len(first) + len(second)


PIECES: list[Callable[[int], bytes]] = [
    lambda n: line(f"s{n}"),
    lambda n: b"".join(batch(3, f"b{n}-")),
    lambda n: b"".join(batch(3, f"t{n}-")[:2]),
    lambda _: DAMAGED,
    lambda _: b"\n",
    lambda _: b"\0\0\0\n",
]


@given(
    st.lists(st.integers(0, len(PIECES) - 1), max_size=12),
    st.lists(st.integers(1, 400), max_size=40),
)
def test_the_records_do_not_depend_on_how_the_bytes_arrive(
    kinds: list[int], cuts: list[int]
) -> None:
    data = b"".join(PIECES[kind](place) for place, kind in enumerate(kinds))
    whole, at_once = scan(data)
    scanner = Scanner(read)
    names: list[str] = []
    available = 0

    for cut in [*cuts, len(data)]:
        available = min(len(data), available + cut)
        fed = scanner.feed(data[scanner.position : available])
        names += [message.id for _, _, message in fed]

    assert names == whole
    assert scanner.settled == at_once.settled
    assert codes(scanner) == codes(at_once)
