"""OpenAI's chat completions, there and back."""

import copy
import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from session_store.errors import InvalidMessageError
from session_store.formats import from_openai, to_openai
from session_store.model import Message, ToolCall, ToolResult, encode_message, normalise

TALK: list[dict[str, Any]] = [
    {"role": "developer", "content": "Be brief.", "name": "ops"},
    {"role": "user", "content": "Hi", "name": "bob"},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "What is this?"},
            {"type": "image_url", "image_url": {"url": "data:image/png;base64,aGk="}},
            {"type": "image_url", "image_url": {"url": "https://e.com/a.png", "detail": "low"}},
            {"type": "input_audio", "input_audio": {"data": "aGk=", "format": "wav"}},
            {"type": "file", "file": {"file_id": "f1"}},
        ],
    },
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {
                "id": "c1",
                "type": "function",
                "function": {"name": "search", "arguments": '{ "q": "x", "q": "y" }'},
            },
            {"id": "c2", "type": "custom", "custom": {"name": "sql", "input": "SELECT 1"}},
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "found"},
    {"role": "tool", "tool_call_id": "c2", "content": [{"type": "text", "text": "1"}]},
    {"role": "assistant", "content": None, "refusal": "I can't.", "audio": {"id": "a"}},
    {"role": "assistant", "content": [{"type": "refusal", "refusal": "No."}]},
    {"role": "assistant", "tool_calls": [], "function_call": {"name": "f", "arguments": "{}"}},
    {"role": "function", "name": "f", "content": "old"},
    {"role": "critic", "verdict": [1, 2.5, None]},
]


def test_what_was_imported_is_exported_unchanged() -> None:
    before = copy.deepcopy(TALK)

    messages = from_openai(TALK)

    assert to_openai(messages) == TALK == before
    assert to_openai([normalise(message) for message in messages]) == TALK


def test_the_plain_parts_are_our_own_fields() -> None:
    messages = from_openai(TALK)

    assert [message.type for message in messages] == (
        ["system", "user", "user", "tool_call", "tool_result", "tool_result"]
        + ["assistant"] * 3
        + ["custom"] * 2
    )
    assert messages[0].role == "developer"
    assert messages[1].metadata == {"openai": {"set": {"name": "bob"}}}
    assert isinstance(messages[2].content, list)
    assert messages[2].content[1] == {
        "type": "image",
        "source": {"type": "base64", "media_type": "image/png", "data": "aGk="},
    }
    assert messages[2].metadata is None
    assert messages[3].tool_calls == [
        ToolCall(id="c1", name="search", arguments={"q": "y"}),
        ToolCall(id="c2", name="sql", arguments={"input": "SELECT 1"}),
    ]
    assert messages[4].tool_result == ToolResult(tool_call_id="c1", result="found")
    assert messages[4].metadata is None


@pytest.mark.parametrize(
    ("said", "arguments"),
    [
        ("", {}),
        ("{}", {}),
        ('{"a":1}', {"a": 1}),
        ('{"a": 1}', {"a": 1}),
        ('{"a":', {"arguments": '{"a":'}),
        ("[1]", {"arguments": "[1]"}),
        ('{"a":NaN}', {"arguments": '{"a":NaN}'}),
        ('{"a":"\\ud800"}', {"arguments": '{"a":"\\ud800"}'}),
        ('{"a":99999999999999999999}', {"arguments": '{"a":99999999999999999999}'}),
        ('{"a":' + "[" * 99 + "]" * 99 + "}", None),
        ("[" * 100_000, None),
    ],
)
def test_arguments_are_whatever_the_model_wrote(said: str, arguments: dict[str, Any]) -> None:
    function = {"name": "f", "arguments": said}
    item = {
        "role": "assistant",
        "tool_calls": [{"id": "c", "type": "function", "function": function}],
    }

    (message,) = from_openai([item])

    assert message.tool_calls is not None
    assert message.tool_calls[0].arguments == (
        {"arguments": said} if arguments is None else arguments
    )
    assert to_openai([normalise(message)]) == [item]


def test_a_message_that_was_changed_is_not_exported_as_it_was() -> None:
    (message,) = from_openai(
        [{"role": "user", "content": [{"type": "text", "text": "secret", "x": 1}], "name": "bob"}]
    )

    redacted = replace(message, content="[redacted]")

    assert to_openai([redacted]) == [{"role": "user", "content": "[redacted]", "name": "bob"}]


def test_messages_of_a_store_are_said_as_well_as_the_format_can() -> None:
    call = ToolCall(id="c", name="f", arguments={"ü": [1]})
    messages = [
        Message(type="custom", content="mine", metadata={"app": 1}),
        Message(type="custom", control={"kind": "head"}),
        Message(type="compaction", content="They met."),
        Message(type="assistant", content="Let me see.", tool_calls=[call]),
        Message(type="tool_result", tool_result=ToolResult(tool_call_id="c", result={"rows": [1]})),
        Message(type="tool_result", tool_result=ToolResult(tool_call_id="c", error="boom")),
        Message(
            type="tool_result", tool_result=ToolResult(tool_call_id="c", result=[1], error="boom")
        ),
        Message(
            type="assistant",
            content=[
                {"type": "thinking", "thinking": "hm", "signature": "s"},
                {"type": "text", "text": "So.", "citations": []},
                {"type": "document", "source": {"type": "text", "data": "words"}},
                {"type": "document", "source": {"type": "base64", "data": "aGk="}},
            ],
        ),
        Message(type="assistant", content=[{"type": "thinking", "thinking": "hm"}]),
    ]

    assert to_openai(messages) == [
        {"role": "user", "content": "Summary of the conversation so far:\n\nThey met."},
        {
            "role": "assistant",
            "content": "Let me see.",
            "tool_calls": [
                {
                    "id": "c",
                    "type": "function",
                    "function": {"name": "f", "arguments": '{"ü":[1]}'},
                }
            ],
        },
        {"role": "tool", "tool_call_id": "c", "content": '{"rows":[1]}'},
        {"role": "tool", "tool_call_id": "c", "content": "boom"},
        {"role": "tool", "tool_call_id": "c", "content": "boom\n[1]"},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "So."},
                {"type": "text", "text": "words"},
                {"type": "text", "text": "[document]"},
            ],
        },
        {"role": "assistant", "content": None},
    ]


def test_calls_and_results_in_blocks_become_items_of_their_own() -> None:
    asked = {"type": "tool_use", "id": "c", "name": "f", "input": {"a": 1}}
    told = {"type": "tool_result", "tool_use_id": "c", "content": "done"}

    items = to_openai(
        [
            Message(type="assistant", content=[{"type": "text", "text": "Now"}, asked]),
            Message(type="user", content=[told, {"type": "text", "text": "And?"}]),
        ]
    )

    assert [item["role"] for item in items] == ["assistant", "tool", "user"]
    assert items[0]["tool_calls"][0]["function"] == {"name": "f", "arguments": '{"a":1}'}
    assert items[1] == {"role": "tool", "tool_call_id": "c", "content": "done"}


def test_a_call_with_its_result_in_one_message_becomes_two_items() -> None:
    message = Message(
        type="tool_call",
        tool_calls=[ToolCall(id="c", name="f", arguments={})],
        tool_result=ToolResult(tool_call_id="c", result="done"),
    )

    assert [item["role"] for item in to_openai([message])] == ["assistant", "tool"]


def test_odd_fields_of_foreign_lines_do_no_harm() -> None:
    odd: dict[str, Any] = {"content": {"a": 1}, "tool_calls": [5], "tool_result": 5, "metadata": []}

    assert to_openai([Message(type="user", **odd)]) == [{"role": "user", "content": '{"a":1}'}]


@pytest.mark.parametrize("item", [None, 5, {}, {"role": None}, {"content": "Hi"}, {"role": ""}])
def test_an_item_without_a_role_is_refused_by_its_place(item: Any) -> None:
    with pytest.raises(InvalidMessageError) as caught:
        from_openai([{"role": "user", "content": "Hi"}, item])

    assert caught.value.path == "[1].role"


words = st.text(st.characters(codec="utf-8"), max_size=4)
names = st.text("abc1", min_size=1, max_size=3)
anything = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats(-9, 9) | words,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(words, inner, max_size=2),
    max_leaves=4,
)
urls = st.one_of(
    words.map(lambda data: f"data:image/png;base64,{data}"),
    words,
    words.map(lambda word: f"https://e.com/{word}"),
)
parts = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": words}, optional={"x": anything}),
    st.fixed_dictionaries(
        {
            "type": st.just("image_url"),
            "image_url": st.fixed_dictionaries({"url": urls}, optional={"detail": words}),
        }
    ),
    st.fixed_dictionaries({"type": st.just("refusal"), "refusal": words}),
    st.fixed_dictionaries({"type": words, "source": anything}),
    st.dictionaries(words, anything, max_size=2),
)
contents = st.one_of(words, st.none(), st.lists(parts, max_size=3), anything)
arguments = st.one_of(
    words, st.dictionaries(words, anything, max_size=2).map(json.dumps), st.just("{}")
)
calls = st.lists(
    st.one_of(
        st.fixed_dictionaries(
            {
                "id": names,
                "type": st.just("function"),
                "function": st.fixed_dictionaries({"name": names, "arguments": arguments}),
            }
        ),
        st.fixed_dictionaries({"id": names, "custom": st.fixed_dictionaries({"name": names})}),
        st.dictionaries(st.sampled_from(["id", "function", "custom"]), anything),
    ),
    max_size=3,
)
items = st.fixed_dictionaries(
    {
        "role": st.sampled_from(
            ["system", "developer", "user", "assistant", "tool", "function", "x"]
        )
    },
    optional={
        "content": contents,
        "tool_calls": calls | anything,
        "tool_call_id": names | anything,
        "name": anything,
        "refusal": anything,
        "set": anything,
    },
)


@settings(deadline=None)
@given(st.lists(items, max_size=4))
def test_any_items_come_back_as_they_were(talk: list[dict[str, Any]]) -> None:
    messages = [normalise(message) for message in from_openai(talk)]

    assert json.dumps(to_openai(messages), sort_keys=True) == json.dumps(talk, sort_keys=True)
    for message in messages:
        encode_message(message)


blocks = st.one_of(
    st.fixed_dictionaries({"type": st.just("text"), "text": words}),
    st.fixed_dictionaries(
        {
            "type": st.just("image"),
            "source": st.fixed_dictionaries(
                {
                    "type": st.just("base64"),
                    "media_type": st.just("image/png"),
                    "data": st.text("ab=", max_size=3),
                }
            ),
        }
    ),
)
own_calls = st.builds(
    lambda id, name, arguments: ToolCall(id=id, name=name, arguments=arguments),
    names,
    names,
    st.dictionaries(words, anything, max_size=2),
)
own_messages = st.one_of(
    st.builds(lambda said: Message(type="system", role="system", content=said), words),
    st.builds(
        lambda said: Message(type="user", role="user", content=said),
        words | st.lists(blocks, max_size=3),
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
    st.builds(
        lambda id, said: Message(
            type="tool_result", tool_result=ToolResult(tool_call_id=id, result=said)
        ),
        names,
        words,
    ),
)


@settings(deadline=None)
@given(st.lists(own_messages, max_size=5))
def test_ordinary_messages_come_back_as_they_were(messages: list[Message]) -> None:
    assert from_openai(to_openai(messages)) == messages
