"""What of a dialogue a model is sent."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from model_growth import FACTOR, growth

from session_store.errors import ConfigError
from session_store.model import Message, ToolCall, ToolResult, estimate_tokens, select_context


def say(id: str, type: str = "user", content: Any = "word") -> Message:
    return Message(id=id, type=type, content=content)


def call(id: str, *calls: str) -> Message:
    asked = [ToolCall(id=name, name="n", arguments={}) for name in calls]
    return Message(id=id, type="tool_call", role="assistant", tool_calls=asked)


def answer(id: str, call_id: str) -> Message:
    return Message(id=id, type="tool_result", tool_result=ToolResult(tool_call_id=call_id))


def marker(id: str = "marker") -> Message:
    return Message(
        id=id, parent_id=None, type="system", metadata={"reset": {"kept": [], "reason": "r"}}
    )


def ids(messages: list[Message]) -> list[str]:
    return [message.id for message in messages]


def seen(*path: Message, **options: Any) -> list[str]:
    return ids(select_context(path, **options))


def one(_: Message) -> int:
    return 1


SYSTEM, SUMMARY = say("s", "system"), say("sum", "compaction")


def test_without_resets_and_budgets_all_is_seen() -> None:
    assert seen(SYSTEM, say("1"), say("2", "assistant"), say("3")) == ["s", "1", "2", "3"]
    assert seen() == []


def test_it_starts_behind_the_last_marker_with_what_that_took_along() -> None:
    kept = [SYSTEM, say("k")]

    assert seen(marker(), say("1"), kept=kept) == ["s", "k", "1"]
    assert seen(SYSTEM, say("0"), marker("m1"), say("1"), marker("m2"), say("2")) == ["2"]
    assert seen(marker()) == []


def test_it_starts_with_the_last_summary_and_the_system_messages_before_it() -> None:
    old = say("old", "compaction")

    assert seen(SYSTEM, say("1"), old, say("2"), SUMMARY, say("3")) == ["s", "sum", "3"]


def test_a_summary_before_a_marker_is_forgotten_and_one_behind_it_replaces_the_kept() -> None:
    assert seen(say("1"), SUMMARY, marker(), say("2")) == ["2"]
    assert seen(marker(), say("1"), SUMMARY, say("2"), kept=[SYSTEM, say("k")]) == ["s", "sum", "2"]


def test_a_budget_of_messages_keeps_the_newest_without_a_gap() -> None:
    path = [SYSTEM, say("1"), say("2"), say("3")]

    assert seen(*path, max_messages=4) == ["s", "1", "2", "3"]
    assert seen(*path, max_messages=3) == ["s", "2", "3"]
    assert seen(*path, max_messages=2) == ["s", "3"]
    assert seen(*path, max_messages=1) == ["s"]


def test_system_messages_and_summary_stay_even_beyond_the_budget() -> None:
    path = [SYSTEM, say("1"), SUMMARY, say("s2", "system"), say("2"), say("3")]

    assert seen(*path, max_messages=1) == ["s", "sum", "s2"]
    assert seen(*path, max_messages=4) == ["s", "sum", "s2", "3"]
    assert seen(*path, max_tokens=1, token_counter=one) == ["s", "sum", "s2"]


def test_a_budget_of_tokens_is_spent_from_the_newest() -> None:
    path = [say("1"), say("22"), say("333")]
    counter = {"1": 1, "22": 2, "333": 3}

    def select(max_tokens: int) -> list[str]:
        return seen(*path, max_tokens=max_tokens, token_counter=lambda m: counter[m.id])

    assert select(6) == ["1", "22", "333"]
    assert select(5) == ["22", "333"]
    assert select(4) == ["333"]
    assert select(3) == ["333"]
    assert select(2) == []


def test_a_gap_is_never_left_for_an_older_message_that_would_fit() -> None:
    counter = {"small": 1, "big": 5, "new": 1}

    context = seen(
        say("small"), say("big"), say("new"), max_tokens=3, token_counter=lambda m: counter[m.id]
    )

    assert context == ["new"]


def test_both_budgets_hold_at_once() -> None:
    path = [say("1"), say("2"), say("3")]

    assert seen(*path, max_messages=2, max_tokens=1, token_counter=one) == ["3"]
    assert seen(*path, max_messages=1, max_tokens=2, token_counter=one) == ["3"]


def test_a_call_and_its_answers_fit_together_or_not_at_all() -> None:
    path = [say("1"), call("c", "a", "b"), answer("ra", "a"), answer("rb", "b"), say("2")]

    assert seen(*path, max_messages=4) == ["c", "ra", "rb", "2"]
    assert seen(*path, max_messages=3) == ["2"]
    assert seen(*path[:4], max_messages=2) == []


def test_an_answer_without_its_call_is_left_out() -> None:
    assert seen(answer("r", "a"), say("1")) == ["1"]
    assert seen(call("c", "a"), SUMMARY, answer("r", "a"), say("1")) == ["sum", "1"]


def test_a_call_that_was_given_up_is_left_out_with_the_answers_it_has() -> None:
    assert seen(say("1"), call("c", "a", "b"), answer("r", "a"), say("2")) == ["1", "2"]
    assert seen(say("1"), call("c", "a"), say("2")) == ["1", "2"]


def test_a_call_at_the_end_still_waits_for_its_answers() -> None:
    assert seen(say("1"), call("c", "a", "b")) == ["1", "c"]
    assert seen(say("1"), call("c", "a", "b"), answer("r", "b")) == ["1", "c", "r"]


def test_an_id_used_again_belongs_to_the_latest_call() -> None:
    path = [call("c1", "a"), say("1"), call("c2", "a"), answer("r", "a")]

    assert seen(*path) == ["1", "c2", "r"]


def test_two_results_of_one_call_stay_with_it() -> None:
    assert seen(call("c", "a"), answer("r1", "a"), answer("r2", "a")) == ["c", "r1", "r2"]


def test_calls_in_content_blocks_are_understood_as_well() -> None:
    asked = say("c", "assistant", [{"type": "tool_use", "id": "a", "name": "n", "input": {}}])
    told = say("r", "user", [{"type": "tool_result", "tool_use_id": "a"}])

    assert seen(say("1"), asked, told, max_messages=1) == []
    assert seen(say("1"), asked, told, max_messages=2) == ["c", "r"]
    assert seen(told, say("1")) == ["1"]
    assert seen(asked, say("1")) == ["1"]


def test_a_message_that_answers_two_calls_ties_them_together() -> None:
    blocks = [{"type": "tool_result", "tool_use_id": id} for id in "ab"]
    path = [call("c1", "a"), call("c2", "b"), say("r", "user", blocks), say("1")]

    assert seen(*path) == ["c1", "c2", "r", "1"]
    assert seen(*path, max_messages=3) == ["1"]


def test_what_was_tied_together_stays_tied_whatever_is_answered_last() -> None:
    def tell(id: str, *calls: str) -> Message:
        return say(id, "user", [{"type": "tool_result", "tool_use_id": call} for call in calls])

    path = [
        *(call(f"c{id}", id) for id in "abc"),
        tell("r1", "b", "c"),
        tell("r2", "a", "b"),
        tell("r3", "c"),
        say("1"),
    ]

    assert seen(*path, max_messages=6) == ["1"]
    assert seen(*path, max_messages=7) == ["ca", "cb", "cc", "r1", "r2", "r3", "1"]


def test_odd_fields_of_foreign_lines_do_no_harm() -> None:
    odd: dict[str, Any] = {"tool_calls": [{"id": 1}], "tool_result": "done", "metadata": [1]}
    odd["content"] = [5, {"type": "tool_use", "id": []}]
    strange = Message(id="x", type="system", **odd)

    assert seen(strange, say("1"), max_tokens=100) == ["x", "1"]


@pytest.mark.parametrize("value", [0, -1, True, 1.5, "10"])
def test_a_budget_that_is_none_is_refused(value: Any) -> None:
    for field in ("max_tokens", "max_messages"):
        with pytest.raises(ConfigError) as caught:
            select_context([], **{field: value})

        assert caught.value.field == field


def test_four_characters_are_about_a_token() -> None:
    assert estimate_tokens(say("1", content="word" * 10)) == 10
    assert estimate_tokens(say("1", content="words")) == 2
    assert estimate_tokens(say("1", content="сло" * 4)) == 3
    assert estimate_tokens(say("1", content=None)) == 0
    assert estimate_tokens(say("1", content=[{"type": "text", "text": "word"}])) == 8
    assert estimate_tokens(call("1", "a")) > 5
    assert estimate_tokens(answer("1", "a")) > 3


def test_the_time_for_a_dialogue_grows_as_it_does() -> None:
    def work(turns: int) -> Callable[[], None]:
        path: list[Message] = []
        for n in range(turns):
            path += [
                say(f"u{n}"),
                call(f"c{n}", f"a{n}"),
                answer(f"r{n}", f"a{n}"),
                call(f"x{n}", f"y{n}"),
            ]

        def do() -> None:
            assert len(select_context(path)) == 3 * turns + 1
            assert len(select_context(path, max_messages=22)) == 22

        return do

    assert growth(work, 2_000) < 4 * FACTOR


pieces = st.lists(
    st.one_of(
        st.sampled_from(["user", "assistant", "system", "compaction", "marker"]),
        st.tuples(st.just("call"), st.lists(st.sampled_from("123"), min_size=1, max_size=2)),
        st.tuples(st.just("answer"), st.sampled_from("123")),
    ),
    max_size=14,
)


@settings(deadline=None)
@given(pieces, st.none() | st.integers(1, 12), st.none() | st.integers(1, 60))
def test_a_model_never_sees_half_a_call_and_budgets_hold(
    parts: list[Any], max_messages: int | None, max_tokens: int | None
) -> None:
    path: list[Message] = []
    for n, part in enumerate(parts):
        if isinstance(part, str):
            path.append(marker(str(n)) if part == "marker" else say(str(n), part))
        elif part[0] == "call":
            path.append(call(str(n), *part[1]))
        else:
            path.append(answer(str(n), part[1]))

    context = select_context(path, max_messages=max_messages, max_tokens=max_tokens)

    assert len(set(ids(context))) == len(context)
    waiting: dict[str, int] = {}
    for place, message in enumerate(context):
        if message.tool_result is not None:
            assert message.tool_result.tool_call_id in waiting
            waiting[message.tool_result.tool_call_id] = -1
        for asked in message.tool_calls or []:
            waiting[asked.id] = place
    for place in waiting.values():
        if place >= 0:
            assert all(m.tool_result is not None for m in context[place + 1 :])
    always = [m for m in context if m.type in ("system", "compaction")]
    if len(context) > len(always):
        assert max_messages is None or len(context) <= max_messages
        assert max_tokens is None or sum(map(estimate_tokens, context)) <= max_tokens
