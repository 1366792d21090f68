"""`delete_session`: gone for everyone, for good."""

import pytest

from session_store.errors import SessionNotFoundError
from session_store.sync import Session, SessionStore

from .base import Suite
from .ground import Ground


def assert_gone(store: SessionStore, session: str) -> None:
    """Fail unless the session is not there, by any call."""
    assert store.has_session(session) is False
    assert store.get_metadata(session) is None
    assert session not in store.get_all_session_ids()
    assert session not in [found.session_id for found in store.list_sessions().sessions]
    for call in (
        lambda: store.append(session, {"type": "user", "content": "late"}),
        lambda: store.append_many(session, [{"type": "user"}, {"type": "user"}]),
        lambda: store.get_messages(session),
        lambda: store.get_linear_history(session, limit=1),
        lambda: store.create_branch(session, "late"),
        lambda: store.reset_session(session),
        lambda: store.update_metadata(session, {"user_id": "late"}),
        lambda: store.acquire_lock(session, "late"),
        lambda: store.add_key("late", session),
        lambda: store.delete_session(session),
    ):
        with pytest.raises(SessionNotFoundError):
            call()


class DeleteTests(Suite):
    """Deleting sessions."""

    def test_delete_is_seen_by_everyone(self, chat: Session, other: Session) -> None:
        """A deleted session refuses every store, also one that had just written to it."""
        chat.append("user", "a")
        other.append("user", "b")
        other.store.acquire_lock(other.id, "me")
        other.store.release_lock(other.id, "me")

        chat.delete()

        assert_gone(other.store, chat.id)
        assert_gone(chat.store, chat.id)

    def test_delete_leaves_nothing(self, chat: Session, other: Session, ground: Ground) -> None:
        """Nothing of a deleted session is kept, and what is refused afterwards leaves nothing."""
        chat.append("user", "a secret")
        chat.create_branch("secret")
        other.append("user", "b")
        chat.delete()

        assert_gone(other.store, chat.id)

        left = [name for name in ground.raw.tree() if name.startswith(f"{chat.id}/")]
        assert left == []

    def test_delete_before_the_first_message(self, chat: Session, other: Session) -> None:
        """A session that was deleted before anything was said refuses its first message too."""
        assert other.messages() == []

        chat.delete()

        assert_gone(other.store, chat.id)

    def test_delete_takes_the_keys(self, chat: Session, other: Session) -> None:
        """The keys of a deleted session name nothing, until `resolve` makes a new one."""
        chat.store.add_key("second", chat.id)
        chat.append("user", "a")

        other.store.delete_session_by_key("second")

        assert chat.store.get_all_keys() == other.store.get_all_keys() == []
        fresh = chat.store.session("chat")
        assert fresh.id != chat.id
        assert fresh.messages() == []
        assert other.store.resolve("chat") == fresh.id

    def test_delete_is_for_good(self, chat: Session, other: Session, ground: Ground) -> None:
        """A deleted session does not come back, whoever flushes, closes and opens the store."""
        chat.append("user", "a")
        other.append("user", "b")
        chat.store.resolve("neighbour")
        chat.delete()

        for store in (other.store, chat.store):
            store.flush(snapshot=True)
            store.close()

        fresh = ground.open()
        assert_gone(fresh, chat.id)
        assert fresh.get_all_keys() == ["neighbour"]

    def test_delete_touches_no_other(self, chat: Session, other: Session) -> None:
        """The other sessions stay as they are."""
        neighbours = [chat.store.session(f"k{number}") for number in range(5)]
        for neighbour in neighbours:
            neighbour.append("user", neighbour.key)

        other.delete()

        for neighbour in neighbours:
            assert [said.content for said in neighbour.messages()] == [neighbour.key]
