"""`subscribe`: what is there, and then what comes."""

import pytest

from session_store.errors import MessageNotFoundError, SessionNotFoundError
from session_store.sync import Session

from .base import Suite
from .patience import first
from .reading import ids, talk


class SubscribeTests(Suite):
    """Subscriptions."""

    def test_subscribe_catches_up_and_goes_on(self, chat: Session, other: Session) -> None:
        """A subscription gives what is there, and then each new message of any store."""
        talk(chat, "ab")
        messages = other.subscribe()

        assert ids(first(messages, 2)) == ["a", "b"]
        chat.append({"id": "c", "type": "user"})
        other.append({"id": "d", "type": "user"})
        chat.append_many([{"id": "e", "type": "user"}, {"id": "f", "type": "user"}])

        assert ids(first(messages, 4)) == list("cdef")

    def test_subscribe_goes_on_behind_a_message(self, chat: Session, other: Session) -> None:
        """With `after` it gives what stands behind that message."""
        talk(chat, "abcd")

        assert ids(first(other.subscribe(after="b"), 2)) == ["c", "d"]
        late = other.subscribe(after="d")
        talk(chat, "e", parent="d")
        assert ids(first(late, 1)) == ["e"]
        with pytest.raises(MessageNotFoundError):
            first(other.subscribe(after="nobody"), 1)

    def test_subscribe_gives_messages_only(self, chat: Session, other: Session) -> None:
        """What the store writes for itself (switches, locks, resets) is not shown."""
        talk(chat, "a")
        messages = other.subscribe()
        assert ids(first(messages, 1)) == ["a"]
        chat.create_branch("one")
        chat.switch_to_branch("one")
        with chat.lock():
            talk(chat, "b")
        other.store.acquire_lock(chat.id, "x")
        chat.store.force_release(chat.id)
        chat.reset()
        talk(chat, "c")

        assert ids(first(messages, 2)) == ["b", "c"]

    def test_subscribe_waits_for_the_sync(self, chat: Session, other: Session) -> None:
        """With `durable` it gives the same, of what no power cut can take back."""
        talk(chat, "ab")
        messages = other.subscribe(durable=True)
        talk(chat, "c")

        assert ids(first(messages, 3)) == list("abc")

    def test_subscribe_to_a_new_session(self, chat: Session, other: Session) -> None:
        """A subscription may begin before anything was said."""
        messages = other.subscribe()
        talk(chat, "a")

        assert ids(first(messages, 1)) == ["a"]

    def test_subscribe_ends_with_its_session(self, chat: Session, other: Session) -> None:
        """It ends with `SessionNotFoundError` when the session is deleted."""
        talk(chat, "a")
        messages = other.subscribe()
        assert ids(first(messages, 1)) == ["a"]

        chat.delete()

        with pytest.raises(SessionNotFoundError):
            first(messages, 1)
