"""Appending and reading: parents, ids, batches, the order of the log."""

from collections.abc import Callable

import pytest

from session_store import (
    DuplicateMessageError,
    InvalidMessageError,
    Message,
    MessageNotFoundError,
    SessionNotFoundError,
    UnknownParentError,
)
from session_store.sync import Session, SessionStore

OpenStore = Callable[..., SessionStore]


def contents(messages: list[Message]) -> list[object]:
    return [message.content for message in messages]


def test_each_message_continues_from_the_one_before(chat: Session) -> None:
    first = chat.append("user", "a")
    second = chat.append("assistant", "b")

    assert first.parent_id is None
    assert second.parent_id == first.id
    assert contents(chat.history()) == ["a", "b"]
    assert chat.head() == second.id


def test_what_append_returns_is_what_is_read_back(chat: Session, open_store: OpenStore) -> None:
    said = [
        chat.append("user", [{"type": "text", "text": "привет 😀"}], metadata={"n": 1.5}),
        chat.append(
            {"type": "tool_call", "toolCalls": [{"id": "c", "name": "f", "arguments": {}}]}
        ),
        chat.append({"type": "tool_result", "tool_result": {"tool_call_id": "c", "result": None}}),
        *chat.append_many([{"role": "user", "content": "x"}, {"role": "assistant", "content": ""}]),
    ]

    assert chat.messages() == said
    assert open_store().get_messages(chat.id) == said


def test_a_parent_can_be_any_message_and_none_starts_a_new_root(chat: Session) -> None:
    question = chat.append("user", "q")
    chat.append("assistant", "one")

    other = chat.append("assistant", "two", parent=question)
    root = chat.append("user", "again", parent=None)

    assert contents(chat.children(question)) == ["one", "two"]
    assert [child.id for child in chat.children(None)] == [question.id, root.id]
    assert contents(chat.history(other)) == ["q", "two"]
    assert contents(chat.tree()) == ["q", "one", "two", "again"]
    assert chat.store.has_children(chat.id, question.id)
    assert not chat.store.has_children(chat.id, root.id)


def test_a_whole_message_keeps_its_id_time_and_parent(chat: Session) -> None:
    given = Message(id="own", parent_id=None, type="user", role="user", timestamp=5.5, content="a")

    stored = chat.append(given)

    assert (stored.id, stored.timestamp, stored.parent_id) == ("own", 5.5, None)


def test_an_unknown_parent_is_refused_and_nothing_is_written(
    chat: Session, store: SessionStore
) -> None:
    elsewhere = store.session("other").append("user", "not here")
    chat.append("user", "a")

    with pytest.raises(UnknownParentError) as raised:
        chat.append("user", "b", parent=elsewhere)

    assert raised.value.parent_id == elsewhere.id
    assert contents(chat.messages()) == ["a"]


def test_an_unknown_session_is_refused_everywhere(store: SessionStore) -> None:
    calls: list[Callable[[], object]] = [
        lambda: store.append("nobody", {"role": "user", "content": "a"}),
        lambda: store.append_many("nobody", [{"role": "user", "content": "a"}]),
        lambda: store.get_messages("nobody"),
        lambda: list(store.stream_messages("nobody")),
        lambda: list(store.subscribe("nobody")),
        lambda: store.get_linear_history("nobody"),
        lambda: store.get_context("nobody"),
        lambda: store.get_head("nobody"),
        lambda: store.get_message("nobody", "m"),
        lambda: store.get_children("nobody", None),
        lambda: store.get_tree("nobody"),
        lambda: store.get_branches("nobody"),
        lambda: store.get_branch("nobody", "b"),
        lambda: store.create_branch("nobody", "b"),
        lambda: store.switch_to_branch("nobody", "b"),
        lambda: store.delete_branch("nobody", "b"),
        lambda: store.reset_session("nobody"),
        lambda: store.delete_session("nobody"),
        lambda: store.delete_session_by_key("nobody"),
        lambda: store.update_metadata("nobody", {"user_id": "u"}),
        lambda: store.add_key("k", "nobody"),
        lambda: store.acquire_lock("nobody", "me"),
        lambda: store.force_release("nobody"),
    ]
    for call in calls:
        with pytest.raises(SessionNotFoundError):
            call()
    assert store.get_metadata("nobody") is None
    assert store.get_session_keys("nobody") == []
    assert store.get_all_session_ids() == []


def test_an_unknown_message_is_refused_or_absent(chat: Session) -> None:
    chat.append("user", "a")

    assert chat.store.get_message(chat.id, "nothing") is None
    for call in (chat.history, chat.children, chat.tree, chat.context):
        with pytest.raises(MessageNotFoundError):
            call("nothing")
    with pytest.raises(MessageNotFoundError):
        chat.history("nothing", limit=3)
    with pytest.raises(MessageNotFoundError):
        next(chat.subscribe(after="nothing"))


@pytest.mark.parametrize("warm", [True, False])
def test_repeating_an_id_with_the_same_message_is_one_message(
    chat: Session, open_store: OpenStore, warm: bool
) -> None:
    first = chat.append({"id": "own", "role": "user", "content": "a", "metadata": {"n": 1}})
    chat.append("assistant", "b")
    again = chat if warm else open_store().session(chat.key)

    repeated = again.append({"id": "own", "role": "user", "content": "a", "metadata": {"n": 1.0}})

    assert repeated == first
    assert contents(again.messages()) == ["a", "b"]


@pytest.mark.parametrize(
    "other", [{"content": "c"}, {"timestamp": 7}, {"role": "assistant"}, {"parent_id": "b"}]
)
def test_repeating_an_id_with_another_message_is_refused(
    chat: Session, other: dict[str, object]
) -> None:
    chat.append({"id": "own", "role": "user", "content": "a", "parent_id": None})
    chat.append({"id": "b", "role": "user", "content": "b"})

    with pytest.raises(DuplicateMessageError):
        chat.append({"id": "own", "role": "user", "content": "a", **other})

    assert contents(chat.messages()) == ["a", "b"]


def test_a_batch_is_repeated_as_a_whole_or_refused(chat: Session) -> None:
    batch = [{"id": name, "role": "user", "content": name} for name in "abc"]
    first = chat.append_many(batch)

    assert chat.append_many(batch) == first
    for part in (batch[:2] + [{"id": "d", "role": "user"}], [*batch, {"role": "user"}]):
        with pytest.raises(DuplicateMessageError):
            chat.append_many(part)
    assert contents(chat.messages()) == ["a", "b", "c"]


def test_a_batch_may_name_parents_within_itself(chat: Session) -> None:
    stored = chat.append_many(
        [
            {"id": "q", "role": "user", "content": "q"},
            {"id": "x", "role": "assistant", "content": "x"},
            {"id": "y", "role": "assistant", "content": "y", "parent_id": "q"},
            {"id": "z", "role": "user", "content": "z"},
        ]
    )

    assert [message.parent_id for message in stored] == [None, "q", "q", "y"]


def test_an_empty_batch_and_twins_are_refused(chat: Session) -> None:
    with pytest.raises(InvalidMessageError):
        chat.append_many([])
    with pytest.raises(InvalidMessageError):
        chat.append_many([{"id": "a", "role": "user"}, {"id": "a", "role": "user"}])
    assert chat.messages() == []


def test_the_last_of_a_history_is_the_same_as_the_end_of_the_whole(
    chat: Session, open_store: OpenStore
) -> None:
    fork = None
    for n in range(40):
        message = (
            chat.append("user", str(n), parent=fork)
            if n == 30 and fork
            else chat.append("user", str(n))
        )
        fork = message if n == 10 else fork
    whole = chat.history()

    for limit in (0, 1, 5, 20, 21, 100):
        cold = open_store().session(chat.key)
        expected = whole[-limit:] if limit else []
        assert cold.history(limit=limit) == expected
        assert chat.history(limit=limit) == expected


def test_a_store_object_sees_what_another_wrote_before_the_call(
    chat: Session, open_store: OpenStore
) -> None:
    other = open_store().session(chat.key)

    for n in range(10):
        (chat if n % 2 else other).append("user", str(n))

    assert other.id == chat.id
    assert contents(chat.messages()) == contents(other.messages()) == [str(n) for n in range(10)]
    assert contents(chat.history()) == [str(n) for n in range(10)]


def test_streaming_gives_the_same_messages(chat: Session) -> None:
    chat.append_many([{"role": "user", "content": "x" * 1000} for _ in range(300)])
    chat.append("user", "last")

    assert list(chat.store.stream_messages(chat.id)) == chat.messages()


def test_the_list_that_was_returned_is_the_callers_own(chat: Session) -> None:
    chat.append("user", "a")

    chat.messages().clear()

    assert contents(chat.messages()) == ["a"]


def test_the_first_line_of_a_log_says_the_key(chat: Session) -> None:
    first = chat.append("user", "a")
    second = chat.append("user", "b")

    assert (first.key, second.key) == ("telegram:123", None)


def test_subscribe_yields_what_is_there_and_then_what_comes(
    chat: Session, open_store: OpenStore
) -> None:
    first = chat.append("user", "a")
    second = chat.append("user", "b")
    other = open_store().session(chat.key)
    feed = other.subscribe(after=first)

    assert next(feed) == second
    third = chat.append("user", "c")
    assert next(feed) == third
    chat.append_many([{"role": "user", "content": "d"}, {"role": "user", "content": "e"}])
    assert [next(feed).content, next(feed).content] == ["d", "e"]
    chat.delete()
    with pytest.raises(SessionNotFoundError):
        next(feed)
