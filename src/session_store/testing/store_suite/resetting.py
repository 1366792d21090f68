"""`reset_session`: everything up to here is hidden, and nothing is erased."""

import pytest

from session_store.errors import (
    BranchNotFoundError,
    DuplicateMessageError,
    MessageNotFoundError,
    UnknownParentError,
)
from session_store.sync import Session

from .base import Suite
from .reading import ids, talk


class ResetTests(Suite):
    """Resets."""

    def test_reset_hides_what_was_said(self, chat: Session, other: Session) -> None:
        """After a reset a session is empty for every store, under its id and its keys."""
        talk(chat, "abc")
        assert len(other.messages()) == 3

        chat.reset()

        for session in (chat, other):
            metadata = session.metadata()
            assert session.messages() == session.history() == session.context() == []
            assert session.history(limit=2) == session.children(None) == session.tree() == []
            assert session.head() is None
            assert metadata is not None
            assert metadata.message_count == 0
            assert session.store.resolve("chat") == chat.id

    def test_reset_erases_nothing(self, chat: Session, other: Session) -> None:
        """With `include_reset` everything is shown that was ever said."""
        talk(chat, "abc")
        chat.reset()
        talk(other, "de")
        other.reset()
        talk(chat, "f")

        assert ids(other.messages(include_reset=True)) == list("abcdef")
        streamed = other.store.stream_messages(chat.id, include_reset=True)
        assert ids(list(streamed)) == list("abcdef")
        assert ids(other.messages()) == ["f"]

    def test_reset_begins_a_new_dialogue(self, chat: Session, other: Session) -> None:
        """The next message is a root, and counts from one."""
        talk(chat, "abc")
        other.reset()

        first = chat.append("user", "1")
        second = other.append("user", "2")

        metadata = chat.metadata()
        assert (first.parent_id, second.parent_id) == (None, first.id)
        assert chat.history() == other.messages() == [first, second]
        assert metadata is not None
        assert metadata.message_count == 2

    def test_reset_hides_parents_and_branches(self, chat: Session, other: Session) -> None:
        """What is hidden is no parent, no leaf, and no branch leads to it."""
        talk(chat, "abc")
        chat.create_branch("old", "b")
        chat.reset()

        for session in (chat, other):
            assert session.branches() == []
            assert session.branch("old") is None
            assert session.store.get_message(chat.id, "a") is None
            with pytest.raises(BranchNotFoundError):
                session.switch_to_branch("old")
            with pytest.raises(UnknownParentError):
                session.append("user", "x", parent="c")
            with pytest.raises(MessageNotFoundError):
                session.create_branch("new", "a")
            with pytest.raises(MessageNotFoundError):
                session.history("a")
        assert chat.messages() == []

    def test_reset_frees_no_ids(self, chat: Session, other: Session) -> None:
        """An id from before a reset is used: it is refused, or answered if it is the same."""
        talk(chat, "a")
        chat.reset()

        with pytest.raises(DuplicateMessageError):
            other.append({"id": "a", "type": "user", "content": "something else"})

        assert other.append({"id": "a", "type": "user", "content": "a"}).id == "a"
        assert other.messages() == []
