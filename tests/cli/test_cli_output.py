import json
import unicodedata
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from session_store.cli.looks import all_lines, first_line, label
from session_store.cli.output import (
    ago,
    json_document,
    json_line,
    json_text,
    shorten,
    size,
    visible,
    visible_text,
    when,
)
from session_store.model.messages import decode_lenient
from session_store.model.records import Message

BIDI = set("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")

NASTY = st.text(
    st.one_of(
        st.characters(),
        st.sampled_from(
            sorted(BIDI) + ["\x1b", "\x9b", "\x7f", "\r", "\n", "\t", "\u2028", "\ud800"]
        ),
    )
)
JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | NASTY.filter(str.isprintable)
    | NASTY,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NASTY, inner, max_size=3),
    max_leaves=8,
)


def hazards(text: str) -> list[str]:
    """What must not reach a terminal: controls, line separators, halves, turns of direction."""
    return [
        character
        for character in text
        if unicodedata.category(character) in ("Cc", "Zl", "Zp", "Cs") or character in BIDI
    ]


@given(NASTY)
def test_no_control_character_is_left_on_a_line(text: str) -> None:
    shown = visible(text)

    assert hazards(shown) == []


@given(NASTY)
def test_only_line_ends_and_tabs_are_left_in_a_text(text: str) -> None:
    shown = visible_text(text)

    assert set(hazards(shown)) <= {"\n", "\t"}


@given(st.text(st.characters(exclude_categories=["Cc", "Cf", "Zl", "Zp", "Cs"])))
def test_what_is_harmless_is_shown_as_it_is(text: str) -> None:
    assert visible(text) == text
    assert visible_text(text) == text


def test_control_characters_are_spelled_so_that_a_person_knows_them() -> None:
    assert visible("\x1b[31m\x00\x9b\u202e\n\t\r") == r"\x1b[31m\x00\x9b\u202e\n\t\r"


def test_families_of_emoji_stay_together() -> None:
    assert visible("👨‍👩‍👧‍👦") == "👨‍👩‍👧‍👦"


@given(JSON.filter(lambda value: "\\ud8" not in json.dumps(value)))
def test_json_says_the_same_without_control_characters(value: object) -> None:
    line, document = json_line(value), json_document(value)

    assert hazards(line) == []
    assert set(hazards(document)) <= {"\n"}
    assert json.loads(line) == json.loads(document) == value


def test_json_keeps_other_scripts_readable() -> None:
    assert json_line({"text": "Ünï 日本 👋"}) == '{"text":"Ünï 日本 👋"}'


def test_json_that_is_no_utf8_is_shown_all_the_same() -> None:
    assert json_text(b'{"a":"\xff\xc2\x9b"}') == '{"a":"\ufffd\\u009b"}'


@given(NASTY, st.integers(0, 40))
def test_a_shortened_text_never_takes_more_cells(text: str, cells: int) -> None:
    shown = shorten(visible(text), cells)

    assert cell_len(shown) <= cells
    assert shown == visible(text) or cells == 0 or shown.endswith("…")


def test_wide_characters_count_twice() -> None:
    assert shorten("日本語です", 10) == "日本語です"
    assert shorten("日本語です", 9) == "日本語で…"
    assert shorten("日本語です", 8) == "日本語…"


def test_a_text_of_many_marks_is_cut_without_being_measured_whole() -> None:
    assert len(shorten("a" + "\u0301" * 10_000_000, 10)) < 1000


def test_times_are_shown_whatever_they_are() -> None:
    for value in (0, 1.5, -1, 10**30, float("nan"), float("inf"), True, "noon", None, [1]):
        assert hazards(when(value)) == []
        assert hazards(ago(value, 0)) == []


def test_ages_are_told_in_the_largest_unit() -> None:
    seconds = [0, 59, 60, 3599, 3600, 86_400 * 3, -60]

    said = [ago(1_000_000_000_000 - s * 1000, 1_000_000_000_000) for s in seconds]

    assert said == ["now", "now", "1 min ago", "59 min ago", "1 h ago", "3 d ago", "in the future"]


def test_sizes_are_told_in_the_unit_that_suits_them() -> None:
    assert [size(n) for n in (0, 999, 1000, 999_949, 10**6, 10**9, 10**15)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "999.9 kB",
        "1.0 MB",
        "1.0 GB",
        "1,000.0 TB",
    ]


@given(
    st.fixed_dictionaries(
        {"id": NASTY},
        optional={
            "type": JSON,
            "role": JSON,
            "content": JSON,
            "toolCalls": JSON,
            "toolResult": JSON,
        },
    )
)
def test_a_message_of_any_shape_is_shown_and_harmless(fields: dict[str, object]) -> None:
    message = decode_lenient(fields)

    shown = [label(message), first_line(message), *all_lines(message)]

    assert hazards("".join(shown).replace("\t", "")) == []


def test_a_call_of_tools_is_told_by_their_names() -> None:
    message = msgspec.json.decode(
        b'{"type":"tool_call","toolCalls":[{"id":"1","name":"search","arguments":{"q":"x","n":1}},'
        b'{"id":"2","name":"fetch","arguments":{}}]}',
        type=Message,
    )

    assert first_line(message) == "search, fetch"
    assert list(all_lines(message)) == ['→ search(q="x", n=1)', "→ fetch()"]


def test_blocks_that_are_no_text_are_named() -> None:
    content: list[dict[str, Any]] = [
        {"type": "text", "text": "Look:\nhere"},
        {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "eA"}},
        {"type": "thinking", "thinking": "Hm."},
        {},
    ]
    message = Message(type="user", content=content)

    assert first_line(message) == "Look:"
    assert list(all_lines(message)) == [
        "Look:",
        "here",
        "[image image/png]",
        "[thinking] Hm.",
        "[block]",
    ]
