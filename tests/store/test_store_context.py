"""What a model is sent, and the store's own reset policy."""

from collections.abc import Callable
from typing import Any

import pytest

from session_store import AutoResetConfig, ConfigError, Message
from session_store.sync import Session, SessionStore

OpenStore = Callable[..., SessionStore]


def contents(messages: list[Message]) -> list[Any]:
    return [message.content for message in messages]


def test_the_context_starts_at_the_last_compaction_and_keeps_system_messages(
    chat: Session,
) -> None:
    chat.append("system", "be kind")
    chat.append("user", "long ago")
    chat.append("compaction", "summary")
    chat.append("user", "now")

    assert contents(chat.context()) == ["be kind", "summary", "now"]


def test_a_budget_drops_the_oldest_and_never_parts_a_call_from_its_result(chat: Session) -> None:
    chat.append("system", "s")
    chat.append("user", "u1")
    call = {"type": "tool_call", "tool_calls": [{"id": "c", "name": "f", "arguments": {}}]}
    chat.append({**call, "content": "call"})
    chat.append({"type": "tool_result", "content": "result", "tool_result": {"tool_call_id": "c"}})
    chat.append("user", "u2")

    assert contents(chat.context(max_messages=4)) == ["s", "call", "result", "u2"]
    assert contents(chat.context(max_messages=3)) == ["s", "u2"]
    assert contents(chat.context(max_tokens=2, token_counter=lambda _: 1)) == ["s", "u2"]


def test_the_context_of_another_leaf(chat: Session) -> None:
    first = chat.append("user", "q")
    chat.append("assistant", "one")
    chat.append("assistant", "two", parent=first)

    assert contents(chat.context(chat.children(first)[0])) == ["q", "one"]


def test_a_context_of_an_empty_session_is_empty_and_a_bad_budget_is_refused(chat: Session) -> None:
    assert chat.context() == []
    with pytest.raises(ConfigError):
        chat.context(max_messages=0)


def test_a_reset_by_policy_appends_a_marker_and_deletes_nothing(open_store: OpenStore) -> None:
    policy = AutoResetConfig(max_messages=4, keep_strategy="system")
    chat = open_store(auto_reset=policy).session("k")
    chat.append("system", "be kind")
    for n in range(3):
        chat.append("user", f"u{n}")

    after = chat.append("user", "fresh")

    marker = chat.history()[0]
    assert marker.content == "[AUTO-RESET: max messages (4)]"
    assert marker.parent_id is None
    assert marker.metadata is not None
    assert marker.metadata["reset"]["reason"] == "max messages (4)"
    assert (marker.batch, after.batch) == ((1, 2), (2, 2))
    assert contents(chat.context()) == ["be kind", "fresh"]
    assert contents(chat.messages()) == ["be kind", "u0", "u1", "u2", marker.content, "fresh"]


def test_kept_messages_are_taken_along_again(open_store: OpenStore) -> None:
    policy = AutoResetConfig(max_messages=3, keep_strategy="system")
    chat = open_store(auto_reset=policy).session("k")
    chat.append("system", "be kind")
    for n in range(12):
        chat.append("user", f"u{n}")

    assert contents(chat.context())[0] == "be kind"
    assert len(chat.context()) <= 4


def test_nothing_is_reset_between_a_call_and_its_result(open_store: OpenStore) -> None:
    chat = open_store(auto_reset=AutoResetConfig(max_messages=2)).session("k")
    chat.append("user", "u")
    chat.append({"type": "tool_call", "tool_calls": [{"id": "c", "name": "f", "arguments": {}}]})

    result = chat.append({"type": "tool_result", "tool_result": {"tool_call_id": "c"}})

    assert result.batch is None
    assert [message.type for message in chat.history()] == ["user", "tool_call", "tool_result"]
    assert chat.append("user", "next").batch == (2, 2)


def test_an_explicit_parent_is_never_reset_away(open_store: OpenStore) -> None:
    chat = open_store(auto_reset=AutoResetConfig(max_messages=2)).session("k")
    first = chat.append("user", "a")
    chat.append("user", "b")

    assert chat.append("user", "c", parent=first).parent_id == first.id


def test_age_is_a_limit_too(open_store: OpenStore) -> None:
    chat = open_store(auto_reset=AutoResetConfig(max_age_ms=1000)).session("k")
    chat.append({"role": "user", "content": "old", "timestamp": 1})

    chat.append("user", "new")

    assert contents(chat.context()) == ["new"]
