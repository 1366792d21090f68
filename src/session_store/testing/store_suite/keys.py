"""Keys, and the sessions that they name."""

from typing import Any, Final

import pytest

from session_store.errors import InvalidKeyError, SessionNotFoundError
from session_store.sync import Session, SessionStore

from .base import Suite

# Each is a key of its own: nothing is folded, cut or taken for a path.
KEYS: Final = (
    "telegram:123",
    "Telegram:123",
    " telegram:123",
    "telegram:123\n",
    "a/b",
    "a",
    "../../etc",
    "..",
    "/",
    "sessions.json",
    "caf\u00e9",
    "cafe\u0301",
    "\u202edlrow",
    "\0",
    "🙂",
    "k" * 1024,
)
BAD_KEYS: Final = ("", "k" * 1025, "\ud800", None, 5, b"k")


class KeyTests(Suite):
    """Keys and sessions."""

    def test_key_names_one_session(self, store: SessionStore, other: Session) -> None:
        """`resolve` makes a session for a new key, and gives the same one ever after, to all."""
        first = store.resolve("new")

        assert store.resolve("new") == other.store.resolve("new") == first
        assert store.get_session_id("new") == other.store.get_session_id("new") == first
        assert store.has_session(first)
        assert other.store.has_key("new")

    def test_key_is_any_text(self, store: SessionStore, other: Session) -> None:
        """Any text of 1 to 1,024 characters is a key, and no two of them are mixed up."""
        sessions = {key: store.resolve(key) for key in KEYS}

        assert len(set(sessions.values())) == len(KEYS)
        assert {key: other.store.get_session_id(key) for key in KEYS} == sessions
        assert set(store.get_all_keys()) == {*KEYS, "chat"}

    @pytest.mark.parametrize("key", BAD_KEYS, ids=lambda key: ascii(key)[:12])
    def test_key_that_is_none_is_refused(self, store: SessionStore, key: Any) -> None:
        """What is no key is `InvalidKeyError` for every call, and nothing is made of it."""
        chat = store.resolve("chat")

        for call in (store.resolve, store.get_session_id, store.has_key, store.remove_key):
            with pytest.raises(InvalidKeyError):
                call(key)
        with pytest.raises(InvalidKeyError):
            store.add_key(key, chat)

        assert store.get_all_session_ids() == [chat]
        assert store.get_session_keys(chat) == ["chat"]

    def test_key_of_nothing_makes_nothing(self, store: SessionStore) -> None:
        """Asking for a key that names nothing gives None or False, and makes no session."""
        assert store.get_session_id("nobody") is None
        assert store.has_key("nobody") is False
        assert store.get_metadata_by_key("nobody") is None
        assert store.remove_key("nobody") is False
        with pytest.raises(SessionNotFoundError):
            store.delete_session_by_key("nobody")

        assert store.get_all_keys() == store.get_all_session_ids() == []

    def test_key_can_be_added_and_taken_away(self, chat: Session, other: Session) -> None:
        """A session has as many keys as it is given, and stays when it loses the last."""
        chat.store.add_key("second", chat.id)
        assert sorted(other.store.get_session_keys(chat.id)) == ["chat", "second"]
        assert other.store.get_session_id("second") == chat.id

        assert other.store.remove_key("chat") is True
        assert other.store.remove_key("chat") is False
        assert chat.store.remove_key("second") is True

        assert chat.store.get_session_keys(chat.id) == []
        assert other.store.has_session(chat.id)
        assert other.store.resolve("chat") != chat.id

    def test_key_of_another_session_is_moved(self, chat: Session, other: Session) -> None:
        """`add_key` moves a key that names another session."""
        second = chat.store.resolve("second")

        other.store.add_key("chat", second)

        assert chat.store.get_session_id("chat") == second
        assert chat.store.get_session_keys(chat.id) == []

    def test_key_of_no_session_is_refused(self, store: SessionStore) -> None:
        """`add_key` for a session that is not there is `SessionNotFoundError`."""
        with pytest.raises(SessionNotFoundError):
            store.add_key("key", "nobody")

        assert store.has_key("key") is False

    def test_session_is_listed_once(self, store: SessionStore, other: Session) -> None:
        """`get_all_session_ids` and `get_all_keys` give each session and key exactly once."""
        sessions = [store.resolve(f"k{number}") for number in range(30)]
        for number, session in enumerate(sessions[:10]):
            store.add_key(f"also{number}", session)

        assert sorted(other.store.get_all_session_ids()) == sorted([*sessions, other.id])
        keys = [f"k{number}" for number in range(30)] + [f"also{number}" for number in range(10)]
        assert sorted(other.store.get_all_keys()) == sorted([*keys, "chat"])

    def test_session_that_is_none_is_refused(self, store: SessionStore) -> None:
        """Every call about a session that is not there is `SessionNotFoundError`, or None."""
        store.resolve("chat")
        nobody = "0197a1b2-0000-7000-8000-000000000000"

        for call in (
            lambda: store.append(nobody, {"role": "user", "content": "a"}),
            lambda: store.append_many(nobody, [{"role": "user"}]),
            lambda: store.get_messages(nobody),
            lambda: list(store.stream_messages(nobody)),
            lambda: store.get_message(nobody, "a"),
            lambda: store.get_head(nobody),
            lambda: store.get_linear_history(nobody),
            lambda: store.get_context(nobody),
            lambda: store.get_children(nobody, None),
            lambda: store.get_tree(nobody),
            lambda: next(store.subscribe(nobody)),
            lambda: store.create_branch(nobody, "a"),
            lambda: store.get_branches(nobody),
            lambda: store.get_branch(nobody, "a"),
            lambda: store.switch_to_branch(nobody, "a"),
            lambda: store.delete_branch(nobody, "a"),
            lambda: store.update_metadata(nobody, {"user_id": "u"}),
            lambda: store.reset_session(nobody),
            lambda: store.acquire_lock(nobody, "me"),
            lambda: store.force_release(nobody),
            lambda: store.delete_session(nobody),
        ):
            with pytest.raises(SessionNotFoundError):
                call()
        assert store.get_metadata(nobody) is None
        assert store.has_session(nobody) is False
        assert store.get_session_keys(nobody) == []
        assert store.get_all_keys() == ["chat"]
