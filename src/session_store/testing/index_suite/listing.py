"""Pages of sessions."""

from typing import Any

import pytest

from session_store.errors import ConfigError

from .base import Index, Suite


def pages(index: Index, limit: int, **asked: Any) -> list[str]:
    """Return the ids of all pages, as they come."""
    found: list[str] = []
    after: str | None = None
    while True:
        page = index.page(after=after, limit=limit, **asked)
        assert len(page.sessions) <= limit
        found += [one.session_id for one in page.sessions]
        after = page.after
        if after is None:
            return found


class PageTests(Suite):
    """Orders, filters, cursors."""

    @pytest.mark.parametrize("limit", [1, 3, 10, 11, 1_000])
    def test_page_by_creation_is_newest_first(self, index: Index, limit: int) -> None:
        """By `created` the newest come first, equal times by id from behind, each once."""
        made = [(time, index.make(time=time)) for time in (5, 3, 3, 9.5, 3, 0, 7, 5, 1e15, 2)]

        listed = pages(index, limit, sort="created")

        assert listed == [session_id for _, session_id in sorted(made, reverse=True)]

    def test_page_by_update_follows_what_is_noted(self, index: Index) -> None:
        """By `updated` the last that changed comes first."""
        one, two, three = (index.make(time=time) for time in (1, 2, 3))

        index.note_append(one, 10, None)
        index.flush()

        assert pages(index, 2, sort="updated") == [one, three, two]

    def test_page_says_whether_there_is_another(self, index: Index) -> None:
        """`after` is None on the last page, and only there."""
        for _ in range(4):
            index.make()

        first = index.page(sort="created", limit=2)
        last = index.page(sort="created", limit=2, after=first.after)

        assert first.after is not None
        assert last.after is None
        assert index.page(sort="created", limit=4).after is None

    @pytest.mark.parametrize(
        ("value", "alike"),
        [
            ("blue", "blu"),
            ("", None),
            (1, True),
            (True, 1),
            (0, False),
            (0.5, 0.25),
            (2**62, 2**62 - 1),
            (["a", 1], ["a"]),
            ({"a": 1, "b": 2}, {"a": 1}),
            ("a'b\"c\\", "a'b"),
            ("\0", ""),
            ("ü", "u"),
        ],
    )
    def test_page_finds_equal_values_only(self, index: Index, value: Any, alike: Any) -> None:
        """`where` compares values as JSON: true is not 1, and a part is not the whole."""
        wanted = index.make(metadata={"team": value, "deep": {"er": value}})
        index.make(metadata={"team": alike, "deep": {"er": alike}})
        index.make(metadata={"else": value})
        index.make()

        assert pages(index, 1, where={"metadata.team": value}) == [wanted]
        assert pages(index, 9, where={"metadata.deep.er": value}) == [wanted]

    def test_page_finds_what_is_missing(self, index: Index) -> None:
        """None asks for what has no such field."""
        index.make(user_id="u", metadata={"a": 1})
        without = index.make()

        assert pages(index, 5, where={"user_id": None}) == [without]
        assert pages(index, 5, where={"metadata.a": None}) == [without]

    @pytest.mark.parametrize("user", ["u", "", "ü 🗝️", "a\0b", "x" * 500, "'; --"])
    def test_page_finds_by_user_in_either_order(self, index: Index, user: str) -> None:
        """By `user_id`, which is what most is asked for, whatever the order."""
        mine = [index.make(time=time, user_id=user) for time in (1, 2, 3)]
        index.make(time=2, user_id=f"{user}!")

        for sort in ("created", "updated"):
            assert pages(index, 2, sort=sort, where={"user_id": user}) == mine[::-1]
        index.update(mine[0], {"userId": "another"})
        assert pages(index, 2, where={"user_id": user}) == mine[:0:-1]

    @pytest.mark.parametrize("prefix", ["web:", "w", "w\0", "ü", "%", "_", "[a]*", "\U0010ffff"])
    def test_page_finds_by_the_beginning_of_a_key(self, index: Index, prefix: str) -> None:
        """`key_prefix` gives each session of which one key or more begins so, once."""
        wanted = [index.make(f"{prefix}{number}", time=number) for number in range(3)]
        index.add_key(f"{prefix}more", wanted[0])
        index.make(f"not {prefix}")
        index.make()

        assert pages(index, 2, sort="created", where={"key_prefix": prefix}) == wanted[::-1]
        assert pages(index, 2, where={"key_prefix": f"{prefix}1"}) == [wanted[1]]

    @pytest.mark.parametrize(
        "asked",
        [
            {"sort": "size"},
            {"limit": 0},
            {"limit": -1},
            {"after": "no cursor"},
            {"after": ""},
            {"where": {"nothing": 1}},
            {"where": {"key_prefix": 1}},
        ],
    )
    def test_page_refuses_what_makes_no_sense(self, index: Index, asked: dict[str, Any]) -> None:
        """An unknown order, name or cursor is a `ConfigError`."""
        with pytest.raises(ConfigError):
            index.page(**asked)

    def test_page_refuses_the_cursor_of_another_order(self, index: Index) -> None:
        """A cursor belongs to its order."""
        for _ in range(2):
            index.make()
        cursor = index.page(sort="created", limit=1).after

        with pytest.raises(ConfigError):
            index.page(sort="updated", after=cursor)

    @pytest.mark.parametrize("user", ["\ud800", 7, True, ["u"]])
    def test_page_of_what_nobody_can_have_is_empty(self, index: Index, user: Any) -> None:
        """A value that no session can have gives no session, and no error."""
        index.make(user_id="u")

        assert pages(index, 5, where={"user_id": user}) == []
