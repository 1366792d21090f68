"""Reading: the log, the way to a message, the tree, and what a model is sent."""

import pytest

from session_store.errors import ConfigError, MessageNotFoundError
from session_store.model.records import Message
from session_store.sync import Session

from .base import Suite


def ids(messages: list[Message]) -> list[str]:
    """Return the ids of messages."""
    return [message.id for message in messages]


def talk(chat: Session, names: str, parent: str | None = None) -> None:
    """Append messages, one behind the other, the first behind `parent`."""
    for name in names:
        chat.append({"id": name, "type": "user", "content": name, "parent_id": parent})
        parent = name


class ReadTests(Suite):
    """Reading."""

    def test_read_of_nothing_is_empty(self, chat: Session) -> None:
        """A session without messages has no history, no children, no head and a count of 0."""
        metadata = chat.metadata()

        assert chat.messages() == chat.history() == chat.history(limit=5) == []
        assert chat.tree() == chat.children(None) == chat.context() == []
        assert chat.branches() == []
        assert list(chat.store.stream_messages(chat.id)) == []
        assert chat.head() is None
        assert metadata is not None
        assert metadata.message_count == 0

    def test_read_gives_the_order_of_the_log(self, chat: Session, other: Session) -> None:
        """`get_messages` and `stream_messages` give every message in the order of appends."""
        talk(chat, "zay")
        talk(other, "bc", parent="z")
        talk(chat, "1")

        assert ids(chat.messages()) == ids(other.messages()) == list("zaybc1")
        assert list(other.store.stream_messages(chat.id)) == chat.messages()

    def test_read_sees_what_was_answered_before(self, chat: Session, other: Session) -> None:
        """A read holds every message that any store was answered for before it began."""
        for number in range(10):
            said = (chat, other)[number % 2].append("user", f"{number}")

            assert chat.messages() == other.messages()
            assert chat.messages()[-1] == said
            assert ids(other.history(limit=1)) == ids(chat.history(limit=1)) == [said.id]

    def test_read_of_one_message(self, chat: Session, other: Session) -> None:
        """`get_message` gives the message of an id, or None."""
        talk(chat, "abc")

        assert [other.store.get_message(chat.id, name) for name in "abc"] == chat.messages()
        assert other.store.get_message(chat.id, "nobody") is None

    def test_history_is_the_way_from_the_root(self, chat: Session, other: Session) -> None:
        """`get_linear_history` gives the messages from the root to a leaf, by default the head."""
        talk(chat, "abcde")
        talk(chat, "xyz", parent="b")

        assert ids(other.history()) == list("abxyz")
        assert ids(other.history("e")) == list("abcde")
        assert ids(other.history("a")) == ["a"]
        with pytest.raises(MessageNotFoundError):
            other.history("nobody")

    def test_history_with_a_limit_is_its_end(self, chat: Session, other: Session) -> None:
        """With `limit` it gives the last so many, whether they were just read or never."""
        talk(chat, "abcde")
        talk(chat, "xyz", parent="b")

        for limit in (0, 1, 2, 3, 4, 5, 6, 100):
            assert ids(chat.history(limit=limit)) == list("abxyz")[-limit or 5 :]
            assert ids(other.history(limit=limit)) == list("abxyz")[-limit or 5 :]
            assert ids(other.history("e", limit=limit)) == list("abcde")[-limit or 5 :]

    def test_history_is_the_same_to_who_comes_fresh(self, chat: Session, other: Session) -> None:
        """Who has just opened the store reads the last messages as its writer does."""
        for number in range(300):
            chat.append_many([{"type": "user", "content": f"{number} " + "x" * 400}] * 3)

        assert other.history(limit=20) == chat.messages()[-20:]
        assert other.store.get_messages(chat.id)[:5] == chat.messages()[:5]

    def test_tree_is_depth_first(self, chat: Session, other: Session) -> None:
        """`get_tree` gives all below a message, each behind its parent, depth first."""
        talk(chat, "abc")
        talk(chat, "de", parent="a")
        talk(other, "f", parent="b")
        talk(other, "gh", parent=None)

        assert ids(chat.tree()) == list("abcfdegh")
        assert ids(other.tree("a")) == list("bcfde")
        assert other.tree("h") == []
        with pytest.raises(MessageNotFoundError):
            other.tree("nobody")

    def test_children_are_in_the_order_of_the_log(self, chat: Session, other: Session) -> None:
        """`get_children` gives the answers to a message, in the order of appends; None: roots."""
        talk(chat, "ab")
        talk(other, "z", parent="a")
        talk(chat, "y", parent="a")
        talk(other, "r", parent=None)

        assert ids(other.children("a")) == list("bzy")
        assert ids(chat.children(None)) == list("ar")
        assert chat.children("z") == []
        assert chat.store.has_children(chat.id, "a") is True
        assert chat.store.has_children(chat.id, "y") is False
        with pytest.raises(MessageNotFoundError):
            chat.children("nobody")

    def test_context_is_cut_to_the_budget(self, chat: Session) -> None:
        """`get_context` gives the newest messages that the budget allows, with system messages."""
        chat.append("system", "be brief")
        talk(chat, "abcde", parent=chat.head())

        contents = [said.content for said in chat.context(max_messages=3)]

        assert contents == ["be brief", "d", "e"]
        assert [said.content for said in chat.context()] == ["be brief", *"abcde"]
        counted = chat.context(max_tokens=20, token_counter=lambda _: 10)
        assert [said.content for said in counted] == ["be brief", "e"]
        with pytest.raises(ConfigError):
            chat.context(max_messages=0)

    def test_context_never_parts_a_call_from_its_results(self, chat: Session) -> None:
        """`get_context` shows a call of a tool with all its results, or neither."""
        chat.append("user", "look it up")
        call = {"id": "c", "name": "look", "arguments": {}}
        chat.append({"type": "tool_call", "tool_calls": [call]})
        chat.append({"type": "tool_result", "tool_result": {"tool_call_id": "c", "result": 1}})
        chat.append("assistant", "done")

        shown = [[said.type for said in chat.context(max_messages=most)] for most in range(1, 5)]

        assert shown[0] == shown[1] == ["assistant"]
        assert shown[2] == ["tool_call", "tool_result", "assistant"]
        assert shown[3] == ["user", "tool_call", "tool_result", "assistant"]

    def test_context_begins_at_the_last_compaction(self, chat: Session) -> None:
        """`get_context` begins at the last `compaction` message, and the rest stays readable."""
        talk(chat, "abc")
        chat.append("compaction", "what was said")
        chat.append("user", "and then?")

        assert [said.content for said in chat.context()] == ["what was said", "and then?"]
        assert len(chat.history()) == 5
