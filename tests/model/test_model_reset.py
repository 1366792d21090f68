"""When a dialogue starts afresh by itself, and what it takes along."""

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from session_store.errors import ConfigError
from session_store.model import (
    AutoResetConfig,
    AutoResetManager,
    Message,
    ToolCall,
    ToolResult,
    kept_ids,
    plan_reset,
    reset_facts,
    reset_marker,
)

NOW = 100_000


def say(id: str, type: str = "user", timestamp: int = 1) -> Message:
    return Message(id=id, parent_id=None, type=type, timestamp=timestamp)


def call(id: str, *calls: str) -> Message:
    return Message(
        id=id,
        type="tool_call",
        timestamp=1,
        tool_calls=[ToolCall(id=name, name="n", arguments={}) for name in calls],
    )


def answer(id: str, call_id: str) -> Message:
    return Message(
        id=id, type="tool_result", timestamp=1, tool_result=ToolResult(tool_call_id=call_id)
    )


def manager(config: AutoResetConfig) -> AutoResetManager:
    return AutoResetManager(config, now_ms=lambda: NOW, new_id=lambda: "marker")


def ids(messages: list[Message]) -> list[str]:
    return [message.id for message in messages]


TALK = [say("s1", "system"), say("u1"), say("a1", "assistant"), say("s2", "system"), say("u2")]


def test_nothing_happens_before_a_limit_is_reached() -> None:
    for config in (
        AutoResetConfig(),
        AutoResetConfig(max_messages=6),
        AutoResetConfig(max_messages=0),
        AutoResetConfig(max_age_ms=NOW),
        AutoResetConfig(max_tokens=1),
        AutoResetConfig(max_tokens=6, token_counter=lambda _: 1),
        AutoResetConfig(enabled=False, max_messages=1),
    ):
        result = manager(config).check_and_reset(TALK)

        assert not result.reset
        assert result.messages == TALK


@pytest.mark.parametrize(
    ("settings", "reason"),
    [
        ({"max_messages": 5}, "max messages (5)"),
        ({"max_messages": 2}, "max messages (2)"),
        ({"max_age_ms": NOW - 1}, "max age (99999ms)"),
        ({"max_tokens": 10, "token_counter": lambda _: 2}, "max tokens (10)"),
        (
            {"max_tokens": 1, "token_counter": lambda _: 2, "max_messages": 5, "max_age_ms": 60},
            "max messages (5), max age (60ms), max tokens (1)",
        ),
    ],
)
def test_a_reached_limit_resets_and_the_marker_says_which(
    settings: dict[str, Any], reason: str
) -> None:
    config = AutoResetConfig(insert_reset_marker=True, **settings)

    result = manager(config).check_and_reset(TALK)

    assert result.reset
    assert result.messages == [
        Message(
            id="marker",
            parent_id=None,
            type="system",
            role="system",
            timestamp=NOW,
            content=f"[AUTO-RESET: {reason}]",
        )
    ]


@pytest.mark.parametrize(
    ("strategy", "count", "kept"),
    [
        ("none", None, []),
        ("none", 3, []),
        ("first", None, ["s1"]),
        ("first", 2, ["s1", "u1"]),
        ("first", 0, []),
        ("last", None, ["u2"]),
        ("last", 2, ["s2", "u2"]),
        ("last", 0, []),
        ("last", 9, ["s1", "u1", "a1", "s2", "u2"]),
        ("system", None, ["s1", "s2"]),
        ("system", 1, ["s1"]),
        ("system", 0, []),
    ],
)
def test_what_is_kept_follows_the_strategy(
    strategy: Any, count: int | None, kept: list[str]
) -> None:
    config = AutoResetConfig(max_messages=5, keep_strategy=strategy, keep_count=count)

    result = manager(config).check_and_reset(TALK)

    assert ids(result.messages) == kept


def test_an_empty_dialogue_is_never_due() -> None:
    result = manager(AutoResetConfig(max_messages=1, max_age_ms=1)).check_and_reset([])

    assert not result.reset


def test_a_first_message_without_a_time_has_no_age() -> None:
    wrong: Any = {"id": "a", "type": "user", "timestamp": "noon"}

    result = manager(AutoResetConfig(max_age_ms=1)).check_and_reset([Message(**wrong)])

    assert not result.reset


@pytest.mark.parametrize(
    ("strategy", "count", "kept"),
    [
        ("last", 1, ["u2"]),
        ("last", 2, ["u2"]),
        ("last", 3, ["u2"]),
        ("last", 4, ["c", "r1", "r2", "u2"]),
        ("first", 2, ["u1"]),
        ("first", 3, ["u1"]),
        ("first", 4, ["u1", "c", "r1", "r2"]),
    ],
)
def test_a_call_and_its_answers_are_kept_or_dropped_together(
    strategy: Any, count: int, kept: list[str]
) -> None:
    talk = [say("u1"), call("c", "1", "2"), answer("r1", "1"), answer("r2", "2"), say("u2")]
    config = AutoResetConfig(max_messages=1, keep_strategy=strategy, keep_count=count)

    result = manager(config).check_and_reset(talk)

    assert ids(result.messages) == kept


def test_settings_can_be_changed_and_are_checked() -> None:
    resetter = manager(AutoResetConfig(max_messages=9))

    resetter.update_config(max_messages=5)

    assert resetter.get_config() == AutoResetConfig(max_messages=5)
    assert resetter.check_and_reset(TALK).reset
    with pytest.raises(ConfigError, match="max_messages"):
        resetter.update_config(max_message=5)
    with pytest.raises(ConfigError):
        resetter.update_config(max_messages=-5)
    assert resetter.get_config() == AutoResetConfig(max_messages=5)


class TestInAStore:
    def test_a_marker_names_what_it_takes_along(self) -> None:
        config = AutoResetConfig(max_messages=5, keep_strategy="system")

        plan = plan_reset(TALK, config, NOW)
        assert plan is not None
        marker = reset_marker(plan, "m", NOW)

        assert marker.parent_id is None
        assert marker.content == "[AUTO-RESET: max messages (5)]"
        assert marker.metadata == {"reset": {"kept": ["s1", "s2"], "reason": "max messages (5)"}}
        assert kept_ids(marker) == ["s1", "s2"]
        assert kept_ids(say("u")) == []

    def test_without_a_limit_reached_there_is_no_plan(self) -> None:
        assert plan_reset(TALK, AutoResetConfig(max_messages=6), NOW) is None
        assert plan_reset([], AutoResetConfig(max_messages=1), NOW) is None

    def test_only_what_came_after_the_last_marker_counts(self) -> None:
        config = AutoResetConfig(
            max_messages=3, max_age_ms=50_000, keep_strategy="last", keep_count=3
        )
        first = plan_reset(TALK, config, NOW)
        assert first is not None
        marker = reset_marker(first, "m", NOW)
        kept = [message for message in TALK if message.id in first.kept_ids]
        fresh = [say("u3", timestamp=NOW), say("u4", timestamp=NOW)]

        after_marker = plan_reset([marker], config, NOW, kept=kept)
        soon = plan_reset([marker, *fresh], config, NOW, kept=kept)
        later = plan_reset([marker, *fresh, say("u5", timestamp=NOW)], config, NOW, kept=kept)

        assert after_marker is None
        assert soon is None
        assert later is not None
        assert later.reason == "max messages (3)"

    def test_what_was_taken_along_can_be_taken_along_again_and_a_marker_never(self) -> None:
        config = AutoResetConfig(max_messages=1, keep_strategy="system")
        first = plan_reset(TALK, config, NOW)
        assert first is not None
        marker = reset_marker(first, "m", NOW)

        second = plan_reset([marker, say("u3")], config, NOW, kept=[TALK[0], TALK[3]])

        assert second is not None
        assert second.kept_ids == ["s1", "s2"]

    @pytest.mark.parametrize("metadata", [None, [], {}, {"reset": 1}, {"reset": None}])
    def test_an_ordinary_system_message_is_no_marker(self, metadata: Any) -> None:
        message = Message(id="s", type="system", metadata=metadata)

        assert reset_facts(message) is None
        assert reset_facts(Message(id="u", type="user", metadata={"reset": {}})) is None

    def test_a_marker_with_odd_facts_keeps_nothing(self) -> None:
        for odd in ({}, {"kept": 5}, {"kept": [5, None]}):
            assert kept_ids(Message(id="s", type="system", metadata={"reset": odd})) == []


pieces = st.lists(
    st.one_of(
        st.just("user"),
        st.just("system"),
        st.tuples(st.just("call"), st.lists(st.sampled_from("123"), min_size=1, max_size=2)),
        st.tuples(st.just("answer"), st.sampled_from("123")),
    ),
    max_size=10,
)


@settings(deadline=None)
@given(pieces, st.sampled_from(["first", "last", "system"]), st.none() | st.integers(0, 8))
def test_what_is_kept_is_in_order_and_never_half_a_call(
    parts: list[Any], strategy: Any, count: int | None
) -> None:
    talk = [
        say(str(n), part)
        if isinstance(part, str)
        else (call(str(n), *part[1]) if part[0] == "call" else answer(str(n), part[1]))
        for n, part in enumerate(parts)
    ]
    config = AutoResetConfig(max_messages=1, keep_strategy=strategy, keep_count=count)

    kept = manager(config).check_and_reset(talk).messages

    assert [m for m in talk if m in kept] == kept
    open_calls: set[str] = set()
    for message in kept:
        open_calls.update(call.id for call in message.tool_calls or [])
        if message.tool_result is not None:
            assert message.tool_result.tool_call_id in open_calls


def test_without_a_clock_handed_in_the_marker_tells_the_time_and_has_an_id_of_its_own() -> None:
    maker = AutoResetManager(AutoResetConfig(max_messages=1, insert_reset_marker=True))

    [first] = maker.check_and_reset([say("a")]).messages
    [second] = maker.check_and_reset([say("a")]).messages

    assert first.id != second.id
    assert abs(first.timestamp - time.time() * 1000) < 60_000
