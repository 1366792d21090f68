"""Branches: names for ways through the tree."""

import pytest

from session_store.errors import BranchNotFoundError, InvalidIdError, MessageNotFoundError
from session_store.sync import Session

from .base import Suite
from .reading import talk


class BranchTests(Suite):
    """Branches."""

    def test_branch_names_the_way_to_a_message(self, chat: Session, other: Session) -> None:
        """A branch leads to the message it was made at, by default the head, in every store."""
        talk(chat, "abc")

        made = chat.create_branch("early", "a")
        chat.create_branch("late")

        assert other.branch("early") == made
        assert (made.name, made.leaf_message_id, made.path) == ("early", "a", ["a"])
        assert [(one.name, one.path) for one in other.branches()] == [
            ("early", ["a"]),
            ("late", ["a", "b", "c"]),
        ]
        assert other.branch("never") is None

    def test_branch_switch_moves_the_head(self, chat: Session, other: Session) -> None:
        """`switch_to_branch` makes the branch's message the head, for every store."""
        talk(chat, "abc")
        chat.create_branch("early", "a")

        assert other.switch_to_branch("early") == "a"

        assert chat.head() == other.head() == "a"
        assert [said.id for said in chat.history()] == ["a"]
        assert chat.append("user", "x").parent_id == "a"

    def test_branch_follows_what_is_said_on_it(self, chat: Session, other: Session) -> None:
        """A branch grows with what is appended on it, and a switch comes back to the newest."""
        talk(chat, "abc")
        chat.create_branch("main")
        chat.create_branch("side", "a")

        chat.switch_to_branch("side")
        first = chat.append("user", "s1")
        other.switch_to_branch("main")
        other.append("user", "m1")
        assert chat.switch_to_branch("side") == first.id
        second = other.append("user", "s2")

        branch = chat.branch("side")
        assert branch is not None
        assert branch.path == ["a", first.id, second.id]
        assert other.switch_to_branch("main") == chat.history()[-1].id
        assert [said.content for said in other.history()] == ["a", "b", "c", "m1"]

    def test_branch_is_not_moved_by_what_is_said_elsewhere(self, chat: Session) -> None:
        """An answer to an earlier message of a branch is on no branch."""
        talk(chat, "ab")
        chat.create_branch("main")
        chat.switch_to_branch("main")
        talk(chat, "x", parent="a")

        branch = chat.branch("main")
        assert branch is not None
        assert branch.leaf_message_id == "b"
        assert chat.head() == "x"

    def test_branch_that_is_made_again_is_moved(self, chat: Session, other: Session) -> None:
        """`create_branch` under a name that is there moves it, and it keeps its place."""
        talk(chat, "abc")
        chat.create_branch("one", "a")
        chat.create_branch("two", "a")
        chat.switch_to_branch("one")
        chat.append("user", "on one")

        other.create_branch("one", "b")

        assert [(one.name, one.path) for one in chat.branches()] == [
            ("one", ["a", "b"]),
            ("two", ["a"]),
        ]

    def test_branch_can_be_deleted(self, chat: Session, other: Session) -> None:
        """`delete_branch` forgets the name for everyone; the messages stay."""
        talk(chat, "abc")
        chat.create_branch("one", "b")
        assert len(other.branches()) == 1

        other.delete_branch("one")

        for session in (chat, other):
            assert session.branches() == []
            assert session.branch("one") is None
            for call in (session.switch_to_branch, session.delete_branch):
                with pytest.raises(BranchNotFoundError):
                    call("one")
        assert len(chat.messages()) == 3
        assert chat.create_branch("one", "c").path == ["a", "b", "c"]
        branch = other.branch("one")
        assert branch is not None
        assert branch.leaf_message_id == "c"

    def test_branch_of_nothing_is_refused(self, chat: Session) -> None:
        """A branch to a message that is not there is `MessageNotFoundError`."""
        with pytest.raises(MessageNotFoundError):
            chat.create_branch("one")
        talk(chat, "a")
        with pytest.raises(MessageNotFoundError):
            chat.create_branch("one", "nobody")

        assert chat.branches() == []

    @pytest.mark.parametrize("name", ["", "HEAD", "\ud800", "n" * 1025, None])
    def test_branch_of_a_bad_name_is_refused(self, chat: Session, name: str) -> None:
        """What cannot be the name of a branch is `InvalidIdError`, and nothing is made."""
        talk(chat, "a")

        with pytest.raises(InvalidIdError):
            chat.create_branch(name, "a")

        assert chat.branches() == []

    def test_branch_of_any_other_name_is_kept(self, chat: Session, other: Session) -> None:
        """Any other text is the name of a branch, and no two of them are mixed up."""
        talk(chat, "ab")
        names = ["head", "a/b", "..", "é", "e\u0301", "\0", "\n", "🙂", "n" * 1024]

        for name in names:
            chat.create_branch(name, "a")

        assert [branch.name for branch in other.branches()] == names
