"""Branches, switches, the head, and what a reset does to them."""

from collections.abc import Callable

import pytest

from session_store import BranchNotFoundError, InvalidIdError, MessageNotFoundError
from session_store.sync import Session, SessionStore

OpenStore = Callable[..., SessionStore]


def test_a_branch_follows_what_is_appended_on_it_after_a_switch(chat: Session) -> None:
    question = chat.append("user", "q")
    chat.append("assistant", "one")
    other = chat.append("assistant", "two", parent=question)
    chat.create_branch("small", other)
    main = chat.append("user", "on", parent=other)

    assert main.branch is None
    assert chat.switch_to_branch("small") == other.id
    continued = chat.append("user", "small goes on")

    assert continued.parent_id == other.id
    assert continued.branch == "small"
    branch = chat.branch("small")
    assert branch is not None
    assert branch.leaf_message_id == continued.id
    assert branch.path == [question.id, other.id, continued.id]


def test_a_switch_comes_back_to_the_newest_message_of_a_branch(
    chat: Session, open_store: OpenStore
) -> None:
    root = chat.append("user", "q")
    chat.create_branch("a")
    chat.create_branch("b")
    chat.switch_to_branch("a")
    on_a = chat.append("user", "on a")
    chat.switch_to_branch("b")
    on_b = chat.append("user", "on b")

    for session in (chat, open_store().session(chat.key)):
        assert session.switch_to_branch("a") == on_a.id
        assert session.head() == on_a.id
        assert session.switch_to_branch("b") == on_b.id
    assert on_a.parent_id == on_b.parent_id == root.id


def test_an_explicit_parent_that_is_a_tip_continues_its_branch(chat: Session) -> None:
    root = chat.append("user", "q")
    chat.create_branch("a")
    chat.switch_to_branch("a")
    tip = chat.append("user", "on a")
    elsewhere = chat.append("user", "elsewhere", parent=root)

    back = chat.append("user", "back", parent=tip)
    off = chat.append("user", "off", parent=tip)

    assert (elsewhere.branch, back.branch, off.branch) == (None, "a", None)


def test_creating_a_name_again_moves_the_branch(chat: Session) -> None:
    first = chat.append("user", "1")
    chat.create_branch("b")
    chat.switch_to_branch("b")
    chat.append("user", "2")
    chat.create_branch("b", first)

    after = chat.append("user", "3")

    branch = chat.branch("b")
    assert branch is not None
    assert branch.leaf_message_id == first.id
    assert after.branch is None
    assert [found.name for found in chat.branches()] == ["b"]


def test_a_deleted_branch_is_gone_and_its_messages_stay(
    chat: Session, open_store: OpenStore
) -> None:
    chat.append("user", "1")
    chat.create_branch("b")
    chat.switch_to_branch("b")
    last = chat.append("user", "2")

    chat.delete_branch("b")

    for session in (chat, open_store().session(chat.key)):
        assert session.branches() == []
        assert session.branch("b") is None
        assert session.head() == last.id
        with pytest.raises(BranchNotFoundError):
            session.switch_to_branch("b")
        with pytest.raises(BranchNotFoundError):
            session.delete_branch("b")
    assert chat.append("user", "3").branch is None


def test_a_branch_that_was_deleted_can_be_created_anew(chat: Session) -> None:
    chat.append("user", "1")
    chat.create_branch("b")
    chat.delete_branch("b")
    second = chat.append("user", "2")

    chat.create_branch("b")

    branch = chat.branch("b")
    assert branch is not None
    assert branch.leaf_message_id == second.id


def test_bad_branches_are_refused(chat: Session) -> None:
    with pytest.raises(MessageNotFoundError):
        chat.create_branch("empty session")
    chat.append("user", "1")

    with pytest.raises(MessageNotFoundError):
        chat.create_branch("b", "nothing")
    for name in ("", "HEAD", "\ud800", "x" * 5000):
        with pytest.raises(InvalidIdError):
            chat.create_branch(name)
    with pytest.raises(BranchNotFoundError):
        chat.switch_to_branch("nothing")
    assert chat.branches() == []


def test_the_head_is_the_later_of_the_last_message_and_the_last_switch(
    chat: Session, open_store: OpenStore
) -> None:
    first = chat.append("user", "1")
    chat.create_branch("b")
    second = chat.append("user", "2")
    assert chat.head() == second.id

    chat.switch_to_branch("b")
    assert open_store().get_head(chat.id) == first.id

    third = chat.append("user", "3")
    assert open_store().get_head(chat.id) == third.id


def test_a_far_switch_is_found_from_the_end_of_a_long_log(
    chat: Session, open_store: OpenStore
) -> None:
    first = chat.append("user", "first")
    chat.create_branch("b")
    chat.append_many([{"role": "user", "content": "x" * 1000} for _ in range(500)])
    chat.switch_to_branch("b")

    cold = open_store().session(chat.key)

    assert cold.head() == first.id
    assert cold.append("user", "goes on").branch == "b"


def test_a_long_path_is_not_written_but_still_told(chat: Session) -> None:
    chat.append_many([{"role": "user", "content": "x"} for _ in range(1_100)])

    created = chat.create_branch("long")

    assert len(created.path) == 1_100
    branch = chat.branch("long")
    assert branch is not None
    assert branch.path == created.path


def test_a_reset_hides_and_does_not_erase(chat: Session, open_store: OpenStore) -> None:
    before = chat.append("user", "before")
    chat.create_branch("old")

    chat.reset()

    for session in (chat, open_store().session(chat.key)):
        assert session.messages() == session.history() == session.tree() == []
        assert session.head() is None
        assert session.branches() == []
        assert session.branch("old") is None
        assert [m.content for m in session.messages(include_reset=True)] == ["before"]
        assert list(session.store.stream_messages(session.id)) == []
        assert session.store.get_message(session.id, before.id) is None
        metadata = session.metadata()
        assert metadata is not None
        assert metadata.message_count == 0


def test_after_a_reset_old_messages_are_no_parents_and_their_ids_stay_used(chat: Session) -> None:
    before = chat.append({"id": "own", "role": "user", "content": "before"})
    chat.reset()

    root = chat.append("user", "after")

    assert root.parent_id is None
    with pytest.raises(LookupError):
        chat.append("user", "x", parent=before)
    with pytest.raises(ValueError, match="already has another message"):
        chat.append({"id": "own", "role": "user", "content": "else"})
    assert [m.content for m in chat.messages()] == ["after"]
    metadata = chat.metadata()
    assert metadata is not None
    assert metadata.message_count == 1
