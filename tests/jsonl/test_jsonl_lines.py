"""How bytes become JSON objects, and what counts as damage."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_store.jsonl import close_line, damage, parse_object, split_lines


def test_a_closed_line_is_one_json_object_with_its_checksum_last() -> None:
    line = close_line(b'{"id":"a","content":"x"}')

    assert line.endswith(b'"}\n')
    assert json.loads(line) == {"id": "a", "content": "x", "crc": line[-11:-3].decode()}
    assert damage(line[:-1]) is None


@given(st.text(), st.integers(min_value=0), st.integers(1, 255))
def test_any_changed_byte_before_the_checksum_is_noticed(text: str, place: int, flip: int) -> None:
    line = bytearray(close_line(json.dumps({"content": text}).encode())[:-1])
    line[place % (len(line) - 18)] ^= flip

    assert damage(bytes(line)) is not None


@pytest.mark.parametrize(
    "line",
    [
        b'{"id":"a"}',
        b'{"crc":"00000000","id":"a"}',
        b'{"id":"a","crc":"0000000"}',
        b'{"id":"a","crc":"0000000g"}',
        b'{"id":"a","crc":"ABCDEF00"}',
        b'{"id":"a","crc":"00000000" }',
        b'{"id":"a","crc": "00000000"}',
    ],
)
def test_a_crc_that_is_not_exactly_ours_is_a_foreign_field(line: bytes) -> None:
    assert damage(line) is None


def test_a_wrong_checksum_in_the_last_bytes_is_damage() -> None:
    assert damage(b'{"id":"a","crc":"00000000"}') == "the checksum does not match"


def test_only_what_ends_in_a_line_feed_is_a_line() -> None:
    lines, end = split_lines(b'{"a":1}\n{"b":2}\r\n\n \t\r\n{"torn":', 100)

    assert lines == [(100, b'{"a":1}'), (108, b'{"b":2}')]
    assert end == 100 + 8 + 9 + 1 + 4


@given(st.binary())
def test_splitting_never_loses_a_byte(data: bytes) -> None:
    lines, end = split_lines(data, 7)

    assert end - 7 == data.rfind(b"\n") + 1
    for offset, line in lines:
        assert data[offset - 7 : offset - 7 + len(line)] == line


def test_lone_surrogates_show_as_replacement_characters_at_any_depth() -> None:
    value = parse_object(rb'{"a\udc00":["x\ud800",{"b":"\ud83d\ude00"}],"c":"\ude00\ud83d"}')

    assert value == {"a�": ["x�", {"b": "😀"}], "c": "��"}


def test_bytes_that_are_no_utf_8_show_as_replacement_characters() -> None:
    assert parse_object(b'{"a":"\xff\xed\xa0\x80"}')["a"].startswith("�")


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        (b"\0\0\0", "NUL bytes"),
        (b"[1]", "no JSON object"),
        (b'"text"', "no JSON object"),
        (b'{"a":NaN}', "NaN is no JSON"),
        (b'{"a":-Infinity}', "-Infinity is no JSON"),
        (b'{"a":1} {"b":2}', "no JSON"),
        (b'{"a":', "no JSON"),
        (b'{"a":' * 100_000, "nested too deeply"),
        (b'{"a":' + b"9" * 5000 + b"}", "no JSON"),
    ],
)
def test_what_is_no_json_object_is_refused_with_the_reason(line: bytes, reason: str) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_object(line)


def test_a_large_integer_keeps_all_its_digits() -> None:
    assert parse_object(b'{"a":' + b"7" * 400 + b"}")["a"] == int("7" * 400)
