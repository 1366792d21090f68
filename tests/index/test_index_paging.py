"""Lists of sessions: order, filters, cursors."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from index_kit import by_the_original, memory, meta, opened

from session_store.errors import ConfigError
from session_store.index import JournalIndex
from session_store.index.order import Order
from session_store.runtime import run


def filled(count: int = 10) -> JournalIndex:
    index = opened(memory())
    for number in range(count):
        user = f"u{number % 3}"
        more: dict[str, Any] = {
            "user_id": user,
            "metadata": {"n": {"even": number % 2 == 0}, "one": 1},
        }
        run(index.register(f"s{number}", f"k{number}", meta(f"s{number}", number, **more)))
    return index


def ids(index: JournalIndex, **asked: Any) -> list[str]:
    found: list[str] = []
    after = None
    while True:
        page = run(index.page(after=after, **asked))
        found += [metadata.session_id for metadata in page.sessions]
        after = page.after
        if after is None:
            return found


@pytest.mark.parametrize("limit", [1, 3, 10, 100])
def test_pages_show_every_session_once_the_newest_first(limit: int) -> None:
    index = filled()

    found = ids(index, limit=limit)

    assert found == [f"s{number}" for number in reversed(range(10))]


def test_a_change_moves_a_session_to_the_front() -> None:
    index = filled()
    ids(index)

    run(index.update("s3", {"updatedAt": 50}))

    assert ids(index)[:2] == ["s3", "s9"]
    assert ids(index, sort="created")[:2] == ["s9", "s8"]


def test_deleted_sessions_leave_the_list() -> None:
    index = filled(3)
    ids(index)

    run(index.delete("s1"))

    assert ids(index) == ["s2", "s0"]


def test_paging_by_created_is_complete_while_sessions_come_and_go() -> None:
    index = filled()
    page = run(index.page(sort="created", limit=4))
    run(index.register("new", None, meta("new", 99)))
    run(index.delete("s6"))
    run(index.update("s2", {"updatedAt": 1000}))

    rest = run(index.page(sort="created", limit=100, after=page.after))

    found = [metadata.session_id for metadata in [*page.sessions, *rest.sessions]]
    assert found == ["s9", "s8", "s7", "s6", "s5", "s4", "s3", "s2", "s1", "s0"]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ({"user_id": "u0"}, ["s9", "s6", "s3", "s0"]),
        ({"metadata.n.even": True, "user_id": "u0"}, ["s6", "s0"]),
        ({"metadata.n.even": 1}, []),
        ({"metadata.one": True}, []),
        ({"metadata.one": 1, "created_at": 4}, ["s4"]),
        ({"session_id": "s4"}, ["s4"]),
        ({"key_prefix": "k1"}, ["s1"]),
        ({"token_estimate": None, "session_id": "s1"}, ["s1"]),
        ({"metadata.user_id.deeper": None, "session_id": "s1"}, ["s1"]),
        ({"metadata": {"n": {"even": True}, "one": 1}, "user_id": "u1"}, ["s4"]),
    ],
)
def test_where_asks_for_equal_values(where: dict[str, Any], expected: list[str]) -> None:
    assert ids(filled(), where=where) == expected


@pytest.mark.parametrize(
    "asked",
    [
        {"sort": "size"},
        {"where": {"userId": "u"}},
        {"where": {"user_id.x": "u"}},
        {"where": {"key_prefix": 5}},
        {"limit": 0},
        {"after": "garbage"},
        {"after": "!"},
        {"after": "WzEsMl0"},
        {"after": "WyJ1cGRhdGVkIiwieCIsMV0"},
        {"after": ""},
        {"after": "é"},
    ],
)
def test_what_means_nothing_is_refused(asked: dict[str, Any]) -> None:
    with pytest.raises(ConfigError):
        run(filled(1).page(**asked))


def test_a_cursor_of_another_order_is_refused() -> None:
    index = filled()
    page = run(index.page(limit=1))

    with pytest.raises(ConfigError):
        run(index.page(sort="created", after=page.after))


def test_a_filter_that_looks_at_many_goes_on_in_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("session_store.index.paging.SLICE", 3)
    index = filled()

    assert ids(index, where={"user_id": "u0"}, limit=2) == ["s9", "s6", "s3", "s0"]


names = st.sampled_from(["a", "b", "c", "d", "e", "f", "g", "h"])


@given(st.lists(st.tuples(names, st.one_of(st.none(), st.integers(0, 3)))))
def test_an_order_is_always_what_sorting_would_give(
    changes: list[tuple[str, int | None]],
) -> None:
    order = Order()
    times: dict[str, int] = {}

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("session_store.index.order.BLOCK", 1)
        for session_id, time in changes:
            if session_id in times:
                order.drop(session_id, times.pop(session_id))
            if time is not None:
                order.put(session_id, time)
                times[session_id] = time
        again = Order(list(times), list(times.values()))

    expected = sorted(((time, id_) for id_, time in times.items()), reverse=True)
    assert list(order.newest_first(None)) == list(again.newest_first(None)) == expected
    for place, position in enumerate(expected):
        assert list(order.newest_first(position)) == expected[place + 1 :]


def test_the_first_list_after_opening_sorts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    files = memory()
    index = opened(files)
    run(index.register("s1", "k1", meta("s1", 1)))
    run(index.close())
    index = opened(files)
    monkeypatch.setattr("session_store.index.state.Order", None)

    found = ids(index)

    assert found == ["s1"]


@pytest.mark.parametrize("time", [10**400, "soon", None, True])
def test_a_time_that_is_no_number_counts_as_the_oldest(time: Any) -> None:
    files = memory()
    index = opened(files)
    for number in range(3):
        run(index.register(f"s{number}", None, meta(f"s{number}", number + 1)))
    run(index.close())
    by_the_original(files, lambda found: found["sessions"]["s1"].update(createdAt=time))

    found = ids(opened(files), sort="created")

    assert found == ["s2", "s0", "s1"]
