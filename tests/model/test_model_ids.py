"""What may be an id, a key or a name."""

from enum import Enum
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session_store.errors import InvalidIdError, InvalidKeyError
from session_store.model.ids import (
    check_branch_name,
    check_foreign_session_id,
    check_key,
    check_message_id,
    check_session_id,
)


class Named(str, Enum):
    ALICE = "alice"


NOT_TEXT = [None, 5, 1.5, b"id", True, ["a"], {"a": 1}, object(), Named.ALICE]


@pytest.mark.parametrize(
    "value", ["a", "A-b_c.d:e+f@g=h", "0192f", "-", "a" * 200, "session", "sessions"]
)
def test_a_session_can_be_created_under_an_ordinary_id(value: str) -> None:
    assert check_session_id(value) == value


@pytest.mark.parametrize(
    "value",
    ["", ".", "..", ".a", "a/b", "a\\b", "a b", "ü", "a\n", "a\0", "\ud800", "٣", "a" * 201]
    + ["sessions.json", "sessions.", "sessions.1.jsonl", "Sessions.JSON"],
)
def test_no_session_is_created_under_an_id_that_is_no_plain_name(value: str) -> None:
    with pytest.raises(InvalidIdError) as caught:
        check_session_id(value)

    assert caught.value.value == value


@pytest.mark.parametrize("value", ["web user/Ünï".replace("/", " "), "Ünï", ".a", "a" * 255])
def test_an_id_of_the_original_may_be_any_single_component(value: str) -> None:
    assert check_foreign_session_id(value) == value


@pytest.mark.parametrize(
    "value",
    ["", ".", "..", "a/b", "/", "a\0", "\ud800", "ü" * 128, "sessions.json", ".sessions.json.1"],
)
def test_an_id_that_leaves_the_folder_is_refused_wherever_it_comes_from(value: str) -> None:
    with pytest.raises(InvalidIdError):
        check_foreign_session_id(value)


@pytest.mark.parametrize(
    "value", ["a", "telegram:123", "slack:T1/C2/../U3", "ключ", "\0", "x" * 1024]
)
def test_a_key_is_any_text(value: str) -> None:
    assert check_key(value) == value
    assert check_message_id(value) == value
    assert check_branch_name(value) == value


@pytest.mark.parametrize("value", ["", "x" * 1025, "a\udfff"])
def test_a_key_is_refused_when_empty_or_too_long_or_half_a_character(value: str) -> None:
    with pytest.raises(InvalidKeyError) as caught:
        check_key(value)
    with pytest.raises(InvalidIdError):
        check_message_id(value)
    with pytest.raises(InvalidIdError):
        check_branch_name(value)

    assert caught.value.key == value


def test_head_is_no_branch_name() -> None:
    with pytest.raises(InvalidIdError, match="HEAD"):
        check_branch_name("HEAD")

    assert check_branch_name("head") == "head"


@pytest.mark.parametrize("value", NOT_TEXT)
def test_what_is_no_plain_text_gets_the_same_error(value: Any) -> None:
    for check in (check_session_id, check_foreign_session_id, check_branch_name, check_message_id):
        with pytest.raises(InvalidIdError):
            check(value)
    with pytest.raises(InvalidKeyError):
        check_key(value)


@settings(deadline=None)
@given(st.text())
def test_an_accepted_id_is_a_single_component_that_utf8_can_say(value: str) -> None:
    for check, limit in ((check_session_id, 200), (check_foreign_session_id, 255)):
        try:
            check(value)
        except InvalidIdError:
            continue
        assert value.strip(".") and "/" not in value and "\0" not in value
        assert 0 < len(value.encode()) <= limit
