"""The index in memory: what is taken in at once is what is taken in line by line."""

from collections.abc import Callable

import pytest
from msgspec import Raw

from session_store.index.records import JournalRecord
from session_store.index.state import IndexState


def made(session_id: str, key: str | None, created: int) -> JournalRecord:
    stored = Raw(b'{"sessionId":"%b","createdAt":%d}' % (session_id.encode(), created))
    return JournalRecord(op="register", session_id=session_id, key=key, metadata=stored)


LINES = [
    made("a", "k", 1),
    made("b", None, 3),
    made("a", "l", 2),
    made("c", "k", 2),
]


def opened(_: IndexState) -> None:
    """Nothing is known but what a snapshot says."""


def sorted_once(state: IndexState) -> None:
    state.order("created")


def asked_for_keys(state: IndexState) -> None:
    state.keys_of("z")


def bereft(state: IndexState) -> None:
    state.apply(JournalRecord(op="delete", session_id="c"))


@pytest.mark.parametrize("before", [opened, sorted_once, asked_for_keys, bereft])
def test_sessions_made_at_once_are_those_made_one_by_one(
    before: Callable[[IndexState], None],
) -> None:
    at_once, one_by_one = IndexState(), IndexState()
    for state in (at_once, one_by_one):
        state.apply(made("z", "y", 9))
        before(state)

    at_once.register_all(LINES)
    for line in LINES:
        one_by_one.apply(line)

    assert at_once.sessions == one_by_one.sessions
    assert at_once.sessions["a"] == LINES[0].metadata
    assert (at_once.keys, at_once.deleted) == (one_by_one.keys, one_by_one.deleted)
    for session_id in "abcz":
        assert sorted(at_once.keys_of(session_id)) == sorted(one_by_one.keys_of(session_id))
    for sort in ("created", "updated"):
        listed = [list(state.order(sort).newest_first(None)) for state in (at_once, one_by_one)]
        assert listed[0] == listed[1]
