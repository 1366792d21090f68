"""`append` and `append_many`: where a message is put, and when it is refused."""

from typing import Any

import pytest

from session_store.errors import (
    DuplicateMessageError,
    InvalidMessageError,
    UnknownParentError,
)
from session_store.model.records import Message, ToolCall, ToolResult
from session_store.sync import Session
from session_store.testing.filesystem_suite.folder import check_bytes

from .base import Suite
from .ground import Face, Ground

WHOLE = Message(
    id="whole",
    parent_id=None,
    type="assistant",
    timestamp=1_700_000_000_123,
    role="assistant",
    content=[{"type": "text", "text": "a\nb"}, {"type": "image", "source": {"url": "x"}}],
    tool_calls=[ToolCall(id="c", name="look", arguments={"camelCase": [1, 2.5, None, True]})],
    tool_result=ToolResult(tool_call_id="c", result={"snake_case": "ü"}, error="none"),
    metadata={"toolCalls": {"parentId": "kept as it is"}},
)


class AppendTests(Suite):
    """Appending."""

    def test_append_continues_from_the_head(self, chat: Session, other: Session) -> None:
        """Without a parent a message continues from the last, whichever store wrote that."""
        first = chat.append("user", "1")
        second = other.append("assistant", "2")
        third = chat.append("user", "3")

        assert (first.parent_id, second.parent_id) == (None, first.id)
        assert third.parent_id == second.id
        assert chat.head() == other.head() == third.id
        assert [said.content for said in other.messages()] == ["1", "2", "3"]

    def test_append_to_a_parent(self, chat: Session, other: Session) -> None:
        """With a parent it becomes an answer to that, with None a new root, and the head."""
        question = chat.append("user", "question")
        first = chat.append("assistant", "first")

        second = other.append("assistant", "second", parent=question)
        root = chat.append("user", "root", parent=None)
        after = other.append("user", "after")

        assert second.parent_id == question.id
        assert root.parent_id is None
        assert after.parent_id == root.id
        assert [said.id for said in chat.children(question)] == [first.id, second.id]
        assert [said.id for said in chat.children(None)] == [question.id, root.id]

    def test_append_to_an_unknown_parent_is_refused(self, chat: Session, other: Session) -> None:
        """A parent that is not there is `UnknownParentError`, and nothing is written."""
        first = chat.append("user", "1")
        elsewhere = chat.store.session("elsewhere").append("user", "other session")

        for parent in ("nobody", elsewhere.id):
            with pytest.raises(UnknownParentError):
                chat.append("user", "2", parent=parent)
            with pytest.raises(UnknownParentError):
                chat.append_many([{"role": "user"}, {"role": "user", "parent_id": parent}])

        assert [said.id for said in other.messages()] == [first.id]
        assert chat.append("user", "3").parent_id == first.id

    def test_append_returns_what_is_stored(self, chat: Session, other: Session) -> None:
        """What `append` returns is what every reader gets, with an id, a parent and a time."""
        said = [chat.append("user", "a"), chat.append({"type": "tool_call", "metadata": {"a": 1}})]

        assert other.messages() == said
        assert len({message.id for message in said}) == 2
        assert all(message.id and message.timestamp for message in said)
        assert said[0].role == "user"

    def test_append_keeps_every_field(self, chat: Session, other: Session) -> None:
        """Every field of a message comes back as it was given, whatever is inside."""
        chat.append(WHOLE)

        [read] = other.messages()

        for field in Message.__struct_fields__:
            if field != "key":
                assert getattr(read, field) == getattr(WHOLE, field), field

    def test_append_takes_both_spellings(self, chat: Session) -> None:
        """A mapping may be spelled as in Python or as on disk."""
        first = chat.append("user", "question")
        spelled: list[dict[str, Any]] = [
            {"type": "tool_result", "parent_id": first.id, "tool_result": {"tool_call_id": "c"}},
            {"type": "tool_result", "parentId": first.id, "toolResult": {"toolCallId": "c"}},
        ]

        said = [chat.append(message) for message in spelled]

        assert [message.parent_id for message in said] == [first.id, first.id]
        assert said[0].tool_result == said[1].tool_result == ToolResult(tool_call_id="c")

    def test_append_with_an_id_can_be_repeated(self, chat: Session, other: Session) -> None:
        """An equal message under an id that is there is answered with the one that is there."""
        message = {"id": "mine", "type": "user", "content": "a", "metadata": {"n": 1}}
        first = chat.append(message)
        chat.append("assistant", "b")

        again = [chat.append(message), other.append(message), other.append(first)]

        assert again == [first] * 3
        assert [said.content for said in other.messages()] == ["a", "b"]

    def test_append_with_a_taken_id_is_refused(self, chat: Session, other: Session) -> None:
        """Another message under an id that is there is `DuplicateMessageError`."""
        root = chat.append({"id": "mine", "type": "user", "content": "a", "metadata": {"n": 1}})
        chat.append("assistant", "b")
        base = {"id": "mine", "type": "user", "content": "a", "metadata": {"n": 1}}

        for change in (
            {"content": "A"},
            {"type": "assistant"},
            {"metadata": {"n": True}},
            {"metadata": {"n": 1, "m": 2}},
            {"timestamp": 5},
            {"parent_id": "b"},
        ):
            for session in (chat, other):
                with pytest.raises(DuplicateMessageError):
                    session.append({**base, **change})

        assert chat.messages()[0] == root
        assert len(chat.messages()) == 2

    def test_append_of_many_is_one_chain(self, chat: Session, other: Session) -> None:
        """`append_many` puts each message behind the one before, unless it names a parent."""
        root = chat.append("user", "root")
        batch: list[dict[str, Any]] = [
            {"id": "a", "type": "user"},
            {"id": "b", "type": "user"},
            {"id": "c", "type": "user", "parent_id": "a"},
            {"id": "d", "type": "user", "parent_id": None},
            {"id": "e", "type": "user"},
        ]

        said = chat.append_many(batch)

        parents = [(message.id, message.parent_id) for message in said]
        assert parents == [("a", root.id), ("b", "a"), ("c", "a"), ("d", None), ("e", "d")]
        assert other.messages() == [root, *said]
        assert other.head() == "e"
        assert other.append("user", "next").parent_id == "e"

    def test_append_of_many_is_all_or_nothing(self, chat: Session, other: Session) -> None:
        """If one message of `append_many` is refused none is there."""
        good = {"type": "user", "content": "good"}

        for bad, error in (
            ({"type": "user", "parent_id": "nobody"}, UnknownParentError),
            ({"type": "user", "content": {1}}, InvalidMessageError),
            ({"type": ""}, InvalidMessageError),
        ):
            with pytest.raises(error):
                chat.append_many([good, bad, good])
        with pytest.raises(InvalidMessageError):
            chat.append_many([])
        with pytest.raises(InvalidMessageError):
            chat.append_many([{"id": "a", **good}, {"id": "a", **good}])

        assert chat.messages() == other.messages() == []

    def test_append_of_many_can_be_repeated(self, chat: Session, other: Session) -> None:
        """A batch that is there is answered again, one that is there in part is refused."""
        batch: list[dict[str, Any]] = [{"id": name, "type": "user"} for name in "abc"]
        first = chat.append_many(batch)

        assert other.append_many(batch) == chat.append_many(batch) == first
        with pytest.raises(DuplicateMessageError):
            other.append_many([*batch, {"id": "d", "type": "user"}])

        assert [message.id for message in chat.messages()] == ["a", "b", "c"]

    def test_append_of_large_messages(self, chat: Session, other: Session) -> None:
        """Messages of some megabytes are kept like small ones, alone and in a batch."""
        large = "ü" * 2**20
        chat.append("user", large)
        chat.append_many([{"type": "user", "content": large}, {"type": "user", "content": "s"}])

        assert [len(str(message.content)) for message in other.messages()] == [2**20, 2**20, 1]
        check_bytes(str(other.history(limit=2)[0].content).encode(), large.encode())

    @pytest.mark.parametrize("durability", ["fsync", "interval", "os"])
    def test_append_is_the_same_in_every_mode(
        self, ground: Ground, face: Face, durability: str
    ) -> None:
        """However long it has to last, a message is there for everyone when it was answered."""
        chat = ground.open(face, durability=durability, sync_interval_ms=1).session("chat")
        other = ground.open(durability="os")

        for number in range(5):
            said = [chat.append("user", f"{number}"), *chat.append_many([{"type": "user"}] * 2)]
            assert other.get_messages(chat.id)[-3:] == said
        chat.store.flush()
        chat.store.close()

        assert len(other.get_messages(chat.id)) == 15

    def test_append_beyond_the_limit_is_refused(self, ground: Ground) -> None:
        """A message longer than `max_message_bytes` is `InvalidMessageError`, and not there."""
        chat = ground.open(max_message_bytes=1000).session("chat")
        kept = chat.append("user", "a" * 500)

        with pytest.raises(InvalidMessageError):
            chat.append("user", "a" * 1000)
        with pytest.raises(InvalidMessageError):
            chat.append_many([{"type": "user"}, {"type": "user", "content": "a" * 1000}])

        assert chat.messages() == [kept]
