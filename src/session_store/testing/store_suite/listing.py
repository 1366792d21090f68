"""`list_sessions`: pages, orders and filters."""

from typing import Any

import pytest

from session_store.errors import ConfigError
from session_store.sync import Session, SessionStore

from .base import Suite
from .ground import Ground


def pages_of(store: SessionStore, limit: int = 100, **asked: Any) -> list[str]:
    """Return the ids of all pages, as they come."""
    found: list[str] = []
    after: str | None = None
    while True:
        page = store.list_sessions(after=after, limit=limit, **asked)
        assert len(page.sessions) <= limit, f"a page of more than {limit} sessions"
        found += [session.session_id for session in page.sessions]
        after = page.after
        if after is None:
            return found


class ListTests(Suite):
    """Listing sessions."""

    @pytest.mark.parametrize("limit", [1, 2, 6, 7, 8])
    @pytest.mark.parametrize("sort", ["created", "updated"])
    def test_list_gives_each_session_once(self, store: SessionStore, sort: str, limit: int) -> None:
        """Whatever the size of a page, all pages together give each session exactly once."""
        made = [store.resolve(f"k{number}") for number in range(7)]

        assert sorted(pages_of(store, limit, sort=sort)) == sorted(made)

    def test_list_of_nothing_is_one_empty_page(self, store: SessionStore) -> None:
        """A store without sessions has one page, and nothing on it."""
        page = store.list_sessions()

        assert (page.sessions, page.after) == ([], None)

    def test_list_by_creation_is_newest_first(self, store: SessionStore, ground: Ground) -> None:
        """By `created` the youngest session comes first, whatever was said since."""
        for number in range(8):
            store.session(f"k{number}").append("user", "a")
        created = {
            session: (found.created_at, session)
            for session in store.get_all_session_ids()
            if (found := store.get_metadata(session))
        }

        listed = pages_of(ground.open(), 3, sort="created")

        assert listed == sorted(created, key=created.__getitem__, reverse=True)

    def test_list_by_update_is_newest_first(self, store: SessionStore, ground: Ground) -> None:
        """By `updated` the session that was written to last comes first."""
        chats = [store.session(f"k{number}") for number in range(5)]
        for place, chat in enumerate((chats[3], chats[0], chats[4])):
            # Times that no clock has to tell apart.
            chat.append({"type": "user", "timestamp": 1_000 + place})
        store.flush()
        other = ground.open()

        page = other.list_sessions(sort="updated")

        times = [session.updated_at for session in page.sessions]
        assert times == sorted(times, reverse=True)
        assert len(times) == 5
        assert page.sessions[0].message_count in {0, 1}

    def test_list_finds_by_fields_and_keys(self, store: SessionStore, ground: Ground) -> None:
        """`where` gives the sessions whose fields are equal, or that have such a key."""
        blue = store.resolve("web:1")
        red = store.resolve("web:2")
        bot = store.resolve("bot:1")
        store.update_metadata(blue, {"user_id": "u1", "metadata": {"team": "blue", "on": True}})
        store.update_metadata(red, {"user_id": "u1", "metadata": {"team": "red", "on": 1}})
        store.update_metadata(bot, {"metadata": {"team": {"name": "blue"}}})
        other = ground.open()

        for asked, expected in (
            ({"user_id": "u1"}, {blue, red}),
            ({"metadata.team": "blue"}, {blue}),
            ({"metadata.team.name": "blue"}, {bot}),
            ({"metadata.on": True}, {blue}),
            ({"key_prefix": "web:"}, {blue, red}),
            ({"key_prefix": "web:", "metadata.team": "red"}, {red}),
            ({"user_id": "nobody"}, set()),
            ({}, {blue, red, bot}),
        ):
            assert set(pages_of(store, 1, where=asked)) == expected
            assert set(pages_of(other, 2, where=asked)) == expected

    def test_list_goes_on_in_another_store(self, chat: Session, other: Session) -> None:
        """The cursor of a page is good in another store, while sessions come and go."""
        sessions = [chat.store.resolve(f"k{number}") for number in range(9)]
        found: list[str] = []
        after: str | None = None

        for number, store in enumerate([chat.store, other.store] * 4):
            page = store.list_sessions(sort="created", after=after, limit=3)
            found += [session.session_id for session in page.sessions]
            after = page.after
            if after is None:
                break
            store.resolve(f"meanwhile{number}")
            if number == 0:
                store.delete_session(sessions[0])

        assert len(set(found)) == len(found)
        assert {*sessions[1:], chat.id} <= set(found)
        assert sessions[0] not in found

    @pytest.mark.parametrize(
        "asked",
        [
            {"sort": "size"},
            {"where": {"nonsense": 1}},
            {"where": {"key_prefix": 1}},
            {"after": "nonsense"},
            {"limit": 0},
        ],
        ids=str,
    )
    def test_list_of_what_does_not_exist_is_refused(self, store: SessionStore, asked: Any) -> None:
        """An order, a field or a cursor that does not exist is `ConfigError`."""
        with pytest.raises(ConfigError):
            store.list_sessions(**asked)
