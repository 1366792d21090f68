"""Anthropic's messages, there and back, and over to the other format."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from session_store.errors import InvalidMessageError
from session_store.formats import from_anthropic, from_openai, to_anthropic, to_openai
from session_store.model import Message, ToolCall, ToolResult, encode_message, normalise

IMAGE = {
    "type": "image",
    "source": {"type": "base64", "media_type": "image/png", "data": "aGk="},
}
SYSTEM = [{"type": "text", "text": "Be brief.", "cache_control": {"type": "ephemeral"}}]
TALK: list[dict[str, Any]] = [
    {"role": "user", "content": "Hi"},
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "hm", "signature": "sig"},
            {"type": "redacted_thinking", "data": "xx"},
            {"type": "text", "text": "Let me see."},
            {"type": "tool_use", "id": "c1", "name": "search", "input": {"q": 1}},
            {"type": "tool_use", "id": "c2", "name": "search", "input": {}},
        ],
        "id": "msg_1",
        "usage": {"input_tokens": 3},
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "c1", "content": "found"},
            {
                "type": "tool_result",
                "tool_use_id": "c2",
                "content": [{"type": "text", "text": "no"}, IMAGE],
                "is_error": True,
                "cache_control": {"type": "ephemeral"},
            },
            {"type": "text", "text": "And?"},
            IMAGE,
        ],
    },
    {
        "role": "assistant",
        "content": [
            {"type": "tool_use", "id": "c3", "name": "f", "input": {}},
            {"type": "text", "text": "after the call"},
            {"type": "server_tool_use", "id": "s1", "name": "web_search", "input": {}},
        ],
    },
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c3"}]},
    {
        "role": "user",
        "content": [{"type": "tool_result", "tool_use_id": "c3", "is_error": False}],
    },
    {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "c3", "content": ""}]},
    {"role": "system", "content": "in between"},
    {"role": "assistant", "content": []},
]


def test_what_was_imported_is_exported_unchanged() -> None:
    before = copy.deepcopy(TALK)

    messages = from_anthropic(TALK, SYSTEM)
    back = to_anthropic([normalise(message) for message in messages])

    assert back.messages == TALK == before
    assert back.system == SYSTEM


def test_the_plain_parts_are_our_own_fields() -> None:
    messages = from_anthropic(TALK[:3], "Be brief.")

    assert [message.type for message in messages] == (
        ["system", "user", "assistant", "tool_result", "tool_result", "user"]
    )
    assert messages[0] == Message(type="system", role="system", content="Be brief.")
    assert messages[1] == Message(type="user", role="user", content="Hi")
    assert messages[2].tool_calls == [
        ToolCall(id="c1", name="search", arguments={"q": 1}),
        ToolCall(id="c2", name="search", arguments={}),
    ]
    assert messages[3].tool_result == ToolResult(tool_call_id="c1", result="found")
    assert messages[4].tool_result == ToolResult(
        tool_call_id="c2", result=[{"type": "text", "text": "no"}, IMAGE], error="no\n[image]"
    )
    assert messages[5].content == [{"type": "text", "text": "And?"}, IMAGE]


@pytest.mark.parametrize("system", [None, "", "Be brief.", [], SYSTEM])
def test_the_system_text_keeps_its_shape(system: Any) -> None:
    assert to_anthropic(from_anthropic([], system)).system == system


def test_results_that_follow_each_other_are_one_item() -> None:
    def result(id: str, **fields: Any) -> Message:
        return Message(type="tool_result", tool_result=ToolResult(tool_call_id=id, **fields))

    calls = [ToolCall(id=id, name="f", arguments={}) for id in "abc"]
    back = to_anthropic(
        [
            Message(type="tool_call", tool_calls=calls),
            result("a", result={"n": 1}),
            Message(type="system", content="noted"),
            result("b", error="boom"),
            result("c", result=[1], error="boom"),
            Message(type="user", content="And?"),
        ]
    )

    assert back.system == "noted"
    assert [item["role"] for item in back.messages] == ["assistant", "user", "user"]
    assert back.messages[1]["content"] == [
        {"type": "tool_result", "tool_use_id": "a", "content": '{"n":1}'},
        {"type": "tool_result", "tool_use_id": "b", "content": "boom", "is_error": True},
        {"type": "tool_result", "tool_use_id": "c", "content": "boom\n[1]", "is_error": True},
    ]


def test_messages_of_a_store_are_said_as_well_as_the_format_can() -> None:
    back = to_anthropic(
        [
            Message(type="system", content="One."),
            Message(type="compaction", content=[{"type": "text", "text": "They met."}]),
            Message(type="custom", content="mine"),
            Message(type="custom", control={"kind": "head"}),
            Message(type="assistant"),
            Message(type="system", role="developer", content=[{"type": "text", "text": "Two."}]),
        ]
    )

    assert back.system == [{"type": "text", "text": "One."}, {"type": "text", "text": "Two."}]
    assert back.messages == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "Summary of the conversation so far:\n\n"},
                {"type": "text", "text": "They met."},
            ],
        }
    ]


def test_a_message_that_was_changed_is_not_exported_as_it_was() -> None:
    messages = from_anthropic(TALK[1:2])

    redacted = replace(messages[0], content="[redacted]")

    (item,) = to_anthropic([redacted]).messages
    assert item["id"] == "msg_1"
    assert "hm" not in json.dumps(item)
    assert item["content"][0] == {"type": "text", "text": "[redacted]"}


def test_a_block_that_was_out_of_order_is_forgotten_when_the_message_changes() -> None:
    (message,) = from_anthropic(TALK[3:4])

    (item,) = to_anthropic([replace(message, content="[redacted]")]).messages

    assert "after the call" not in json.dumps(item)
    assert [block["type"] for block in item["content"]] == ["text", "tool_use"]


def clean(id: str) -> dict[str, Any]:
    return {"type": "tool_result", "tool_use_id": id, "content": "done"}


@pytest.mark.parametrize(
    "talk",
    [
        [[clean("a"), clean("b")]],
        [[clean("a")], [clean("b")], [clean("c")]],
        [[clean("a"), clean("b")], [clean("c"), clean("d")]],
        [[clean("a"), {"type": "text", "text": "And?"}]],
        [[{"type": "text", "text": "And?"}, clean("a")], [clean("b")]],
        [[clean("a")], [clean("b"), {"type": "text", "text": "And?"}], [clean("c")]],
    ],
)
def test_items_are_neither_joined_nor_split(talk: list[list[dict[str, Any]]]) -> None:
    items = [{"role": "user", "content": content} for content in talk]

    assert to_anthropic(from_anthropic(items)).messages == items


def test_a_result_appended_to_an_imported_one_joins_it() -> None:
    messages = from_anthropic([{"role": "user", "content": [clean("a")]}])
    late = Message(type="tool_result", tool_result=ToolResult(tool_call_id="b", result="done"))

    assert to_anthropic([*messages, late]).messages == [
        {"role": "user", "content": [clean("a"), clean("b")]}
    ]


def test_what_is_left_of_an_item_is_still_said() -> None:
    messages = from_anthropic(TALK[2:3])

    assert to_anthropic(messages[1:]).messages == [
        {
            "role": "user",
            "content": [
                {
                    "type": "tool_result",
                    "tool_use_id": "c2",
                    "content": [{"type": "text", "text": "no"}, IMAGE],
                    "is_error": True,
                }
            ],
        },
        {"role": "user", "content": [{"type": "text", "text": "And?"}, IMAGE]},
    ]


def test_an_import_from_one_format_is_an_export_to_the_other() -> None:
    items: list[dict[str, Any]] = [
        {"role": "system", "content": "Be brief."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
                {"type": "image_url", "image_url": {"url": "https://e.com/a", "detail": "low"}},
                {"type": "file", "file": {"file_data": "data:application/pdf;base64,aGk="}},
                {"type": "input_audio", "input_audio": {}},
            ],
        },
        {
            "role": "assistant",
            "content": None,
            "tool_calls": [
                {"id": "c", "type": "function", "function": {"name": "f", "arguments": '{"a":1}'}}
            ],
        },
        {"role": "tool", "tool_call_id": "c", "content": "done"},
    ]

    there = to_anthropic(from_openai(items))
    back = to_openai(from_anthropic(there.messages, there.system))

    pdf = {"type": "base64", "media_type": "application/pdf", "data": "aGk="}
    assert there.system == "Be brief."
    assert there.messages == [
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is this?"},
                IMAGE,
                {"type": "image", "source": {"type": "url", "url": "https://e.com/a"}},
                {"type": "document", "source": pdf},
                {"type": "text", "text": "[input_audio]"},
            ],
        },
        {
            "role": "assistant",
            "content": [{"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "c", "content": "done"}],
        },
    ]
    assert back[0] == items[0]
    assert back[1]["content"][:2] == items[1]["content"][:2]
    assert back[2:] == items[2:]


@pytest.mark.parametrize("item", [None, 5, {}, {"role": None}, {"content": "Hi"}])
def test_an_item_without_a_role_is_refused_by_its_place(item: Any) -> None:
    with pytest.raises(InvalidMessageError) as caught:
        from_anthropic([item])

    assert caught.value.path == "[0].role"


def test_a_system_that_is_no_content_is_refused() -> None:
    wrong: Any = 5

    with pytest.raises(InvalidMessageError):
        from_anthropic([], wrong)


def test_odd_fields_of_foreign_lines_do_no_harm() -> None:
    odd: dict[str, Any] = {"content": {"a": 1}, "tool_calls": [5], "tool_result": 5, "metadata": []}

    back = to_anthropic([Message(type="user", **odd)])

    assert back.messages == [{"role": "user", "content": '{"a":1}'}]


words = st.text(st.characters(codec="utf-8"), max_size=4)
names = st.text("abc1", min_size=1, max_size=3)
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)
texts = st.fixed_dictionaries({"type": st.just("text"), "text": words}, optional={"x": anything})
inner_blocks = st.lists(texts | st.just(IMAGE) | st.dictionaries(words, anything), max_size=2)
uses = st.fixed_dictionaries(
    {"type": st.just("tool_use"), "id": names},
    optional={
        "name": names,
        "input": st.dictionaries(words, anything, max_size=2) | anything,
        "cache_control": anything,
    },
)
results = st.fixed_dictionaries(
    {"type": st.just("tool_result"), "tool_use_id": names},
    optional={
        "content": words | inner_blocks | anything,
        "is_error": st.booleans() | anything,
        "cache_control": anything,
    },
)
others = st.one_of(
    st.just(IMAGE),
    st.fixed_dictionaries({"type": st.just("thinking"), "thinking": words, "signature": words}),
    st.fixed_dictionaries({"type": st.just("image_url"), "image_url": anything}),
    st.dictionaries(words, anything, max_size=2),
)
items = st.fixed_dictionaries(
    {"role": st.sampled_from(["user", "assistant", "user", "assistant", "system", "x"])},
    optional={
        "content": st.one_of(
            words,
            st.lists(texts | uses | results | others, max_size=5),
            st.lists(results, min_size=1, max_size=3),
            st.lists(names.map(clean), min_size=1, max_size=3),
            st.lists(names.map(clean) | st.just(IMAGE), min_size=1, max_size=3),
            anything,
        ),
        "id": anything,
        "part": anything,
    },
)


@settings(deadline=None)
@given(st.lists(items, max_size=5), st.none() | words | st.lists(texts, max_size=2))
def test_any_items_come_back_as_they_were(talk: list[dict[str, Any]], system: Any) -> None:
    messages = [normalise(message) for message in from_anthropic(talk, system)]

    back = to_anthropic(messages)

    assert json.dumps(back.messages, sort_keys=True) == json.dumps(talk, sort_keys=True)
    assert back.system == system
    for message in messages:
        encode_message(message)
    to_openai(messages)


own_blocks = st.fixed_dictionaries({"type": st.just("text"), "text": words}) | st.just(IMAGE)
own_calls = st.builds(
    lambda id, name, arguments: ToolCall(id=id, name=name, arguments=arguments),
    names,
    names,
    st.dictionaries(words, anything, max_size=2),
)
own_results = st.one_of(
    st.builds(lambda id, said: ToolResult(tool_call_id=id, result=said), names, words),
    st.builds(lambda id: ToolResult(tool_call_id=id), names),
    st.builds(lambda id, said: ToolResult(tool_call_id=id, error=said), names, words.filter(bool)),
)
own_messages = st.one_of(
    st.builds(
        lambda said: Message(type="user", role="user", content=said),
        words | st.lists(own_blocks, max_size=3),
    ),
    st.builds(
        lambda said, calls: Message(
            type="assistant", role="assistant", content=said, tool_calls=calls or None
        ),
        words.filter(bool),
        st.lists(own_calls, max_size=2),
    ),
    st.builds(
        lambda calls: Message(type="tool_call", role="assistant", tool_calls=calls),
        st.lists(own_calls, min_size=1, max_size=2),
    ),
    st.builds(lambda result: Message(type="tool_result", tool_result=result), own_results),
)


@settings(deadline=None)
@given(st.lists(own_messages, max_size=6), st.none() | words)
def test_ordinary_messages_come_back_as_they_were(
    messages: list[Message], system: str | None
) -> None:
    if system is not None:
        messages = [Message(type="system", role="system", content=system), *messages]

    there = to_anthropic(messages)

    assert from_anthropic(there.messages, there.system) == messages
