"""Nothing is written that some reader could not read back."""

import enum
import json
from collections import OrderedDict
from datetime import datetime
from decimal import Decimal
from math import inf, nan
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session_store.errors import InvalidMessageError
from session_store.model.door import MAX_DEPTH, check_json, same_json


class Level(enum.IntEnum):
    HIGH = 1


class Shout(str):
    pass


def nested(depth: int) -> Any:
    value: Any = []
    for _ in range(depth - 1):
        value = [value]
    return value


json_values = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8")),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner),
)


@settings(deadline=None)
@given(json_values)
def test_plain_json_passes_and_comes_back_the_same(value: Any) -> None:
    check_json(value, "metadata")

    assert same_json(json.loads(json.dumps(value)), value)


@pytest.mark.parametrize(
    "value",
    [nan, inf, -inf, "\ud800", "ü\udfff", 2**63, -(2**63), b"x", bytearray(), {1}, frozenset()]
    + [Decimal(1), datetime(2026, 1, 1), (1, 2), object(), Level.HIGH, Shout("a"), 1j]
    + [OrderedDict(a=1), range(3), type],
)
def test_what_would_be_changed_on_the_way_is_refused_by_its_place(value: Any) -> None:
    for whole, path in (
        (value, "content"),
        ([{"source": {"data": value}}], "content[0].source.data"),
        ({"a b": [0, value]}, "content['a b'][1]"),
    ):
        with pytest.raises(InvalidMessageError) as caught:
            check_json(whole, "content")

        assert caught.value.path == path
        assert caught.value.reason


@pytest.mark.parametrize("key", [1, None, True, 1.5, (1,), b"a", "\ud800", Shout("a")])
def test_a_key_that_is_no_text_is_refused_by_the_dict_it_stands_in(key: Any) -> None:
    with pytest.raises(InvalidMessageError) as caught:
        check_json({"a": [{key: 1}]}, "metadata")

    assert caught.value.path == "metadata.a[0]"


def test_64_levels_pass_and_65_do_not() -> None:
    check_json(nested(MAX_DEPTH), "result")
    check_json(nested(MAX_DEPTH - 3), "result", around=3)

    with pytest.raises(InvalidMessageError, match="deep"):
        check_json(nested(MAX_DEPTH + 1), "result")
    with pytest.raises(InvalidMessageError, match="deep"):
        check_json(nested(MAX_DEPTH - 2), "result", around=3)


def test_a_million_levels_are_refused_without_a_crash() -> None:
    with pytest.raises(InvalidMessageError, match="deep"):
        check_json(nested(1_000_000), "result")


def test_a_value_that_holds_itself_is_refused_however_often() -> None:
    loop: dict[str, Any] = {}
    loop["again"] = [loop] * 1000

    with pytest.raises(InvalidMessageError, match="within itself"):
        check_json(loop, "metadata")


def test_a_list_put_into_itself_twice_and_again_is_refused_in_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("session_store.model.door.MAX_CONTAINERS", 10_000)
    value: list[Any] = []
    for _ in range(60):
        value = [value, value]

    with pytest.raises(InvalidMessageError, match="more than 10000"):
        check_json(value, "metadata")


def test_numbers_compare_as_json_does() -> None:
    assert same_json({"a": [1, 2.0]}, {"a": [1.0, 2]})
    assert same_json({"a": 1, "b": 2}, {"b": 2, "a": 1})
    assert not same_json([True], [1])
    assert not same_json([0], [False])
    assert not same_json("1", 1)
    assert not same_json([], {})
    assert not same_json([1], [1, 2])
    assert not same_json(None, 0)
