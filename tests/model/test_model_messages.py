"""From what a caller gives to a message, and from a message to bytes and back."""

import json
import random
import string
from types import MappingProxyType
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec import UNSET

from session_store.errors import InvalidMessageError
from session_store.model import (
    Message,
    ToolCall,
    ToolResult,
    decode_lenient,
    decode_message,
    encode_message,
    inherits_parent,
    normalise,
    same_message,
)


def parse(line: bytes) -> dict[str, Any]:
    value = json.loads(line.decode("utf-8", "replace"))
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    return value


def decode(line: bytes) -> Message:
    return decode_message(line, parse)


CALL = ToolCall(id="c1", name="search", arguments={"toolCallId": 1})


class TestWriting:
    def test_a_complete_message_is_taken_as_it_is(self) -> None:
        message = Message(
            id="m1", parent_id="m0", type="user", timestamp=5, role="user", content="Hi"
        )

        assert normalise(message) is message

    def test_what_is_left_out_is_left_to_the_store(self) -> None:
        message = normalise({"role": "user", "content": "Hi"})

        assert message == Message(type="user", role="user", content="Hi")
        assert message.id == "" and message.timestamp == 0 and inherits_parent(message)

    def test_none_as_parent_means_a_root_and_elsewhere_left_out(self) -> None:
        message = normalise({"role": "user", "parentId": None, "id": None, "timestamp": None})

        assert message.parent_id is None
        assert not inherits_parent(message)
        assert message.id == "" and message.timestamp == 0

    @pytest.mark.parametrize("speaker", ["system", "user", "assistant"])
    def test_of_type_and_role_one_is_enough(self, speaker: str) -> None:
        expected = Message(type=speaker, role=speaker)

        assert normalise({"type": speaker}) == expected
        assert normalise({"role": speaker}) == expected
        assert normalise(Message(type=speaker)) == expected

    def test_other_types_get_no_role_and_other_roles_no_type(self) -> None:
        assert normalise({"type": "tool_result"}).role is None
        assert normalise({"type": "tool_call", "role": "assistant"}).role == "assistant"
        with pytest.raises(InvalidMessageError, match="'tool'") as caught:
            normalise({"role": "tool"})
        assert caught.value.path == "type"

    def test_both_spellings_mean_the_same_and_nothing_inside_is_renamed(self) -> None:
        result = {"toolCallId": "c0", "tool_call_id": 1}
        camel = normalise(
            MappingProxyType(
                {
                    "type": "tool_call",
                    "parentId": "p",
                    "toolCalls": [{"id": "c1", "name": "search", "arguments": {"toolCallId": 1}}],
                    "toolResult": {"toolCallId": "c0", "result": result, "error": None},
                    "metadata": {"parentId": 1, "tool_calls": 2},
                }
            )
        )
        snake = normalise(
            {
                "type": "tool_call",
                "parent_id": "p",
                "tool_calls": [CALL],
                "tool_result": {"tool_call_id": "c0", "result": result},
                "metadata": {"parentId": 1, "tool_calls": 2},
            }
        )

        assert camel == snake
        assert camel.tool_calls == [CALL]
        assert camel.tool_result == ToolResult(tool_call_id="c0", result=result)

    def test_both_spellings_at_once_must_agree(self) -> None:
        message = normalise({"role": "user", "parentId": "p", "parent_id": "p"})

        assert message.parent_id == "p"
        with pytest.raises(InvalidMessageError, match="parentId") as caught:
            normalise({"role": "user", "parentId": "p", "parent_id": "q"})
        assert caught.value.path == "parent_id"

    def test_a_message_of_another_session_can_be_appended_as_it_is(self) -> None:
        read = Message(
            id="m", parent_id=None, type="user", role="user", branch="b", batch=(1, 2), key="k"
        )
        line = {"id": "m", "parentId": None, "type": "user", "role": "user"}
        own = {"branch": "b", "batch": [1, 2], "key": "k", "crc": "0badc0de"}

        assert normalise(read) == normalise(line | own)
        assert normalise(read) == Message(id="m", parent_id=None, type="user", role="user")

    def test_nobody_else_writes_control_records(self) -> None:
        for message in (
            Message(type="custom", control={"kind": "fence"}),
            {"type": "custom", "control": {"kind": "fence"}},
        ):
            with pytest.raises(InvalidMessageError) as caught:
                normalise(message)
            assert caught.value.path == "control"

    def test_an_unknown_field_is_refused_and_the_known_ones_are_named(self) -> None:
        with pytest.raises(InvalidMessageError) as caught:
            normalise({"role": "user", "contnet": "Hi"})

        assert "'contnet'" in str(caught.value)
        assert "content" in caught.value.reason and "metadata" in caught.value.reason

    @pytest.mark.parametrize(
        ("field", "value", "path"),
        [
            ("id", 5, "id"),
            ("id", "\ud800", "id"),
            ("id", "x" * 1025, "id"),
            ("parentId", 5, "parentId"),
            ("parent_id", "", "parent_id"),
            ("type", 5, "type"),
            ("type", "", "type"),
            ("role", 5, "role"),
            ("timestamp", "now", "timestamp"),
            ("timestamp", True, "timestamp"),
            ("timestamp", -1, "timestamp"),
            ("timestamp", float("nan"), "timestamp"),
            ("timestamp", float("inf"), "timestamp"),
            ("timestamp", 2**64, "timestamp"),
            ("content", 5, "content"),
            ("content", b"Hi", "content"),
            ("content", {"type": "text"}, "content"),
            ("content", ("a",), "content"),
            ("content", ["a"], "content[0]"),
            ("content", [{"source": {"data": b""}}], "content[0].source.data"),
            ("content", "\udc00", "content"),
            ("toolCalls", {"id": "c"}, "toolCalls"),
            ("toolCalls", [5], "toolCalls[0]"),
            ("toolCalls", [{"name": "n", "arguments": {}}], "toolCalls[0].id"),
            ("toolCalls", [{"id": "c", "arguments": {}}], "toolCalls[0].name"),
            ("toolCalls", [{"id": "c", "name": "n"}], "toolCalls[0].arguments"),
            ("toolCalls", [{"id": "c", "name": "n", "arguments": "{}"}], "toolCalls[0].arguments"),
            ("toolCalls", [{"id": "", "name": "n", "arguments": {}}], "toolCalls[0].id"),
            ("toolCalls", [{"id": "c", "name": "n", "arguments": {}, "x": 1}], "toolCalls[0]"),
            ("tool_calls", [CALL, {"id": 1, "name": "n", "arguments": {}}], "tool_calls[1].id"),
            (
                "tool_calls",
                [ToolCall(id="c", name="n", arguments={"q": {1}})],
                "tool_calls[0].arguments.q",
            ),
            ("toolResult", "done", "toolResult"),
            ("toolResult", {"result": 1}, "toolResult.tool_call_id"),
            ("toolResult", {"toolCallId": 1}, "toolResult.toolCallId"),
            ("toolResult", {"toolCallId": "c", "result": {"a": 1j}}, "toolResult.result.a"),
            ("toolResult", {"toolCallId": "c", "error": {}}, "toolResult.error"),
            ("tool_result", {"tool_call_id": "c", "ok": 1}, "tool_result"),
            ("metadata", [], "metadata"),
            ("metadata", {"a": float("nan")}, "metadata.a"),
            ("metadata", {1: 2}, "metadata"),
        ],
    )
    def test_a_field_of_another_type_is_refused_by_its_place(
        self, field: str, value: Any, path: str
    ) -> None:
        with pytest.raises(InvalidMessageError) as caught:
            normalise({"type": "custom", field: value})

        assert caught.value.path == path

    @pytest.mark.parametrize("value", [None, 5, "Hi", [("role", "user")], object()])
    def test_what_is_no_message_at_all_is_refused(self, value: Any) -> None:
        with pytest.raises(InvalidMessageError, match="Message or a mapping"):
            normalise(value)

    def test_a_message_built_with_wrong_types_is_refused_too(self) -> None:
        wrong: Any = {"type": "user", "tool_calls": [{"id": "c", "name": "n", "arguments": {}}]}

        with pytest.raises(InvalidMessageError) as caught:
            normalise(Message(**wrong))

        assert caught.value.path == "tool_calls[0]"

    def test_a_whole_line_is_64_levels_deep_at_most(self) -> None:
        def arguments(depth: int) -> dict[str, Any]:
            value: dict[str, Any] = {}
            for _ in range(depth - 1):
                value = {"a": value}
            return value

        normalise(Message(type="x", metadata=arguments(63)))
        with pytest.raises(InvalidMessageError):
            normalise(Message(type="x", metadata=arguments(64)))
        normalise(
            Message(type="x", tool_calls=[ToolCall(id="c", name="n", arguments=arguments(61))])
        )
        with pytest.raises(InvalidMessageError):
            normalise(
                Message(type="x", tool_calls=[ToolCall(id="c", name="n", arguments=arguments(62))])
            )


class TestSameMessage:
    STORED = Message(
        id="m",
        parent_id="p",
        type="user",
        timestamp=7,
        role="user",
        content="Hi",
        metadata={"n": 1, "flag": True},
        branch="main",
    )

    @pytest.mark.parametrize(
        "given_fields",
        [
            {},
            {"parent_id": "p"},
            {"timestamp": 7},
            {"timestamp": 7.0},
            {"role": "user"},
            {"metadata": {"flag": True, "n": 1.0}},
        ],
    )
    def test_only_what_was_given_counts(self, given_fields: dict[str, Any]) -> None:
        message = Message(id="m", type="user", **given_fields)

        assert same_message(message, self.STORED)

    @pytest.mark.parametrize(
        "given_fields",
        [
            {"parent_id": None},
            {"parent_id": "q"},
            {"timestamp": 8},
            {"role": "bot"},
            {"type": "custom"},
            {"id": "other"},
            {"content": "Ho"},
            {"content": [{"type": "text", "text": "Hi"}]},
            {"metadata": {"n": 1}},
            {"metadata": {"n": 1, "flag": 1}},
            {"tool_calls": []},
            {"tool_result": ToolResult(tool_call_id="c")},
        ],
    )
    def test_what_was_given_must_be_there(self, given_fields: dict[str, Any]) -> None:
        fields: dict[str, Any] = {"id": "m", "type": "user"} | given_fields
        message = Message(**fields)

        assert not same_message(message, self.STORED)

    def test_a_role_that_the_original_left_out_is_no_difference(self) -> None:
        stored = Message(id="m", parent_id=None, type="user", timestamp=1)

        assert same_message(normalise({"id": "m", "type": "user"}), stored)

    def test_tool_calls_and_results_are_compared_in_depth(self) -> None:
        def message(number: Any) -> Message:
            call = ToolCall(id="c", name="n", arguments={"a": [number]})
            result = ToolResult(tool_call_id="c", result={"b": number})
            return Message(id="m", type="tool_call", tool_calls=[call], tool_result=result)

        assert same_message(message(1), message(1.0))
        assert not same_message(message(1), message(True))
        assert not same_message(message(1), message(2))

    def test_a_retry_equals_what_was_read_back(self) -> None:
        given_message = normalise({"id": "m", "role": "user", "content": [{"type": "x", "n": 1.0}]})
        stored = decode(encode_message(given_message))

        assert same_message(given_message, stored)


class TestLines:
    def test_a_line_always_says_its_parent_and_its_time(self) -> None:
        line = json.loads(encode_message(Message(id="m", type="user")))

        assert line == {"id": "m", "parentId": None, "type": "user", "timestamp": 0}

    def test_an_empty_result_is_written_as_the_original_does(self) -> None:
        message = Message(
            id="m", type="tool_result", timestamp=1, tool_result=ToolResult(tool_call_id="c")
        )

        line = json.loads(encode_message(message))

        assert line["toolResult"] == {"toolCallId": "c", "result": None}
        assert line["parentId"] is None

    def test_names_are_camel_case_on_disk_and_only_there(self) -> None:
        message = Message(
            id="m",
            parent_id="p",
            type="tool_call",
            timestamp=1.5,
            tool_calls=[CALL],
            tool_result=ToolResult(tool_call_id="c0", result={"tool_call_id": 1}),
            branch="b",
            batch=(1, 2),
            key="k",
        )

        line = encode_message(message)

        assert json.loads(line) == {
            "id": "m",
            "parentId": "p",
            "type": "tool_call",
            "timestamp": 1.5,
            "toolCalls": [{"id": "c1", "name": "search", "arguments": {"toolCallId": 1}}],
            "toolResult": {"toolCallId": "c0", "result": {"tool_call_id": 1}},
            "branch": "b",
            "batch": [1, 2],
            "key": "k",
        }
        assert decode(line) == message

    def test_a_line_without_a_parent_is_a_root(self) -> None:
        message = decode(b'{"id":"m","type":"user","timestamp":1}')

        assert message.parent_id is None
        assert message.parent_id is not UNSET

    @pytest.mark.parametrize("batch", ["[0,2]", "[3,2]", "[1]", "[true,2]", "5", "[1.0,2]"])
    def test_a_batch_that_is_none_counts_as_absent(self, batch: str) -> None:
        message = decode(b'{"id":"m","type":"user","batch":%s}' % batch.encode())

        assert message.batch is None
        assert message.id == "m"

    def test_fields_of_unexpected_types_are_kept_raw(self) -> None:
        fields: dict[str, Any] = {
            "type": 5,
            "timestamp": "noon",
            "role": ["a"],
            "content": {"a": 1},
            "toolCalls": [{"id": 1}],
            "toolResult": "done",
            "metadata": [1],
        }

        message: Any = decode(json.dumps({"id": "m"} | fields).encode())

        assert (message.type, message.timestamp, message.role) == (5, "noon", ["a"])
        assert (message.content, message.metadata) == ({"a": 1}, [1])
        assert (message.tool_calls, message.tool_result) == ([{"id": 1}], "done")
        assert json.loads(encode_message(message)) == {"id": "m", "parentId": None} | fields

    def test_our_own_fields_of_another_type_are_absent(self) -> None:
        line = b'{"id":"m","type":"x","branch":1,"batch":{},"key":[],"control":"fence"}'

        message = decode(line)

        assert message == Message(id="m", parent_id=None, type="x")

    @pytest.mark.parametrize(
        ("raw", "id", "parent_id"),
        [
            ('"id":5,"parentId":6', "5", "6"),
            ('"id":5.0,"parentId":1.5', "5", "1.5"),
            ('"id":null,"parentId":[]', "", None),
            ('"id":true,"parentId":false', "", None),
            ('"id":{},"parentId":""', "", ""),
            ('"content":5', "", None),
        ],
    )
    def test_an_id_is_text_or_nothing(self, raw: str, id: str, parent_id: str | None) -> None:
        message = decode(b'{"type":"user",%s}' % raw.encode())

        assert (message.id, message.parent_id) == (id, parent_id)

    def test_a_missing_type_is_the_role_or_custom(self) -> None:
        assert decode(b'{"id":"m","role":"user"}').type == "user"
        assert decode(b'{"id":"m","role":5}').type == "custom"
        assert decode(b'{"id":"m"}').type == "custom"
        assert decode(b'{"id":"m","timestamp":null}').timestamp == 0

    def test_good_tool_fields_stay_typed_beside_bad_ones(self) -> None:
        message = decode_lenient(
            {
                "id": "m",
                "content": 5,
                "toolCalls": [{"id": "c", "name": "n", "arguments": {}}],
                "toolResult": {"toolCallId": "c", "result": 1},
            }
        )

        assert message.tool_calls == [ToolCall(id="c", name="n", arguments={})]
        assert message.tool_result == ToolResult(tool_call_id="c", result=1)

    @pytest.mark.parametrize("line", [b"", b"[]", b"{", b"\0\0", b'"x"'])
    def test_what_is_no_object_is_a_value_error(self, line: bytes) -> None:
        with pytest.raises(ValueError):
            decode(line)

    def test_a_line_nested_too_deeply_for_the_decoder_goes_to_the_parser(self) -> None:
        seen: list[bytes] = []

        def refuse(line: bytes) -> dict[str, Any]:
            seen.append(line)
            raise ValueError("nested too deeply")

        deep = b'{"id":"m","type":"x","metadata":{"a":%s%s}}' % (b"[" * 5000, b"]" * 5000)
        with pytest.raises(ValueError, match="nested"):
            decode_message(deep, refuse)

        assert seen == [deep]

    @settings(deadline=None)
    @given(
        st.dictionaries(
            st.sampled_from(
                [
                    "id",
                    "parentId",
                    "type",
                    "timestamp",
                    "role",
                    "content",
                    "toolCalls",
                    "toolResult",
                    "metadata",
                    "branch",
                    "batch",
                    "key",
                    "control",
                    "other",
                ]
            ),
            st.recursive(
                st.none()
                | st.booleans()
                | st.integers(-9, 9)
                | st.floats(0, 9)
                | st.text(max_size=3),
                lambda inner: (
                    st.lists(inner, max_size=3)
                    | st.dictionaries(st.sampled_from(["id", "name", "arguments", "x"]), inner)
                ),
                max_leaves=5,
            ),
        )
    )
    def test_any_object_becomes_a_message_that_can_be_written_again(
        self, obj: dict[str, Any]
    ) -> None:
        message = decode(json.dumps(obj).encode())

        again = decode(encode_message(message))

        assert again == message
        assert isinstance(message.id, str)
        assert message.parent_id is None or isinstance(message.parent_id, str)


class TestThereAndBack:
    def test_random_messages_survive_the_way_to_disk_and_back(self) -> None:
        chance = random.Random(7)
        for _ in range(300):
            word = "".join(chance.choices(string.printable + "äß→👩‍👧", k=9))
            message = normalise(
                Message(
                    id=f"m{chance.random()}",
                    parent_id=chance.choice([None, word]),
                    type=chance.choice(["user", "assistant", "tool_result", word]),
                    timestamp=chance.choice([1, 1795365467082, 2.5]),
                    content=chance.choice([None, "", word, [], [{"type": "text", "text": word}]]),
                    tool_calls=chance.choice([None, [], [CALL, CALL]]),
                    tool_result=chance.choice(
                        [
                            None,
                            ToolResult(tool_call_id=word),
                            ToolResult(tool_call_id="c", result=[0]),
                        ]
                    ),
                    metadata=chance.choice([None, {}, {word: {"a": [1e300, -0.5, 2**63 - 1]}}]),
                )
            )

            assert decode(encode_message(message)) == message
