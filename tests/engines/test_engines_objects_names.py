"""Names of objects: every text can be read back, and every service sorts them alike."""

from functools import cmp_to_key
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_store.engines.objects.names import (
    MAX_KEY_BYTES,
    first_step,
    head_name,
    key_name,
    key_of,
    part_name,
    path_of,
    session_name,
    session_of,
    spell,
    unspell,
    when_made,
)
from session_store.errors import InvalidIdError
from session_store.runtime import Chance

COMPONENTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="/\0"), min_size=1)
PATHS = st.lists(
    st.sampled_from(["a", "a-", "a.b", "a_b", "é", "-", "~", "=", "a=", "a" * 241, "🗝" * 21]),
    min_size=1,
    max_size=3,
).map("/".join)


@given(st.text())
def test_every_text_comes_back_from_its_spelling(text: str) -> None:
    assert unspell(spell(text)) == text
    assert set(spell(text)) <= set("0123456789abcdefghijklmnopqrstuvwxyz_-./~").union(
        "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    )


@given(COMPONENTS)
def test_no_step_of_a_name_is_longer_than_services_allow(text: str) -> None:
    assert all(len(step) <= 255 for step in f"{spell(text)}=".split("/"))


@given(PATHS)
def test_a_path_comes_back_from_its_objects(path: str) -> None:
    head = head_name(path)

    assert path_of(head) == path_of(part_name(path, 7, "token")) == path
    assert unspell(first_step(head.removeprefix("f/"))[0].removesuffix("=")) == path.split("/")[0]


def walked(names: list[str]) -> list[str]:
    """Sort as a service does that goes through folders: step by step."""

    def compare(one: str, other: str) -> int:
        a: Any = [step.encode() for step in one.split("/")]
        b: Any = [step.encode() for step in other.split("/")]
        return (a > b) - (a < b)

    return sorted(names, key=cmp_to_key(compare))


@given(st.sets(PATHS, max_size=12))
def test_names_sort_alike_by_bytes_and_folder_by_folder(paths: set[str]) -> None:
    names = [head_name(path) for path in paths]

    assert sorted(names) == walked(names)
    assert len(set(names)) == len(paths)


@given(PATHS, PATHS)
def test_no_file_has_the_name_of_a_folder(one: str, other: str) -> None:
    assert not head_name(other).startswith(f"{head_name(one)}/")


def test_a_path_too_long_for_an_object_is_refused() -> None:
    with pytest.raises(InvalidIdError):
        head_name("/".join(["é" * 100] * 3))


@given(st.text(min_size=1, max_size=1024), st.text(min_size=1, max_size=1024))
def test_no_two_keys_have_one_name(one: str, other: str) -> None:
    assert (key_name(one) == key_name(other)) == (one == other)
    assert len(key_name(one)) <= MAX_KEY_BYTES + 4


@given(st.text(min_size=1, max_size=1024))
def test_a_key_is_read_from_its_name_unless_that_is_cut(key: str) -> None:
    assert key_of(key_name(key)) in {key, None}
    assert len(spell(key)) > MAX_KEY_BYTES or key_of(key_name(key)) == key


SESSIONS = st.tuples(st.integers(0, 3), st.text("abé", min_size=1, max_size=3) | COMPONENTS)


@given(st.sets(SESSIONS, max_size=12))
def test_sessions_sort_by_their_making_and_the_newest_comes_first(
    sessions: set[tuple[int, str]],
) -> None:
    names = [session_name(*session) for session in sessions]

    expected = sorted(sessions, reverse=True, key=lambda one: (one[0], one[1].encode()))
    assert [session_of(name) for name in sorted(names)] == [session for _, session in expected]
    assert sorted(names) == walked(names)


def test_only_an_id_of_ours_tells_when_it_was_made() -> None:
    chance = Chance()
    before = chance.now_ms()

    made = when_made(chance.new_id())

    assert made is not None
    assert before <= made <= chance.now_ms()
    assert when_made("telegram-7") is None
    assert when_made("00000000-0000-4000-8000-000000000000") is None
