"""What the original lets pass and strict parsers refuse: shown as well as it can be, and named."""

import json
from pathlib import Path
from typing import Any

import pytest
from original_kit import LOG, Line, Original, contents, findings, ours, stringify

from session_store import Message, SessionNotFoundError, SessionStoreError
from session_store.sync import SessionStore

INDEX = "sessions.json"
ID = "s"


@pytest.fixture
def original(root: Path) -> Original:
    """A session with one good message, on which odd lines follow, and a session beside it."""
    original = Original(root)
    original.append("beside", None, "untouched")
    original.append(ID, None, "first", id="first")
    return original


def add(original: Original, *lines: Line | bytes) -> None:
    with (original.root / ID / LOG).open("ab") as file:
        for line in lines:
            file.write(line if isinstance(line, bytes) else stringify(line) + b"\n")


def say(message_id: Any, said: Any, parent: Any = "first", **fields: Any) -> Line:
    line = {"id": message_id, "timestamp": 1, "type": "user", "role": "user", "content": said}
    return {**line, "parentId": parent, **fields}


def use_all(store: SessionStore) -> list[Message]:
    """Every way to read the session, which must not raise; returns its messages."""
    messages = store.get_messages(ID)
    assert [*store.stream_messages(ID)] == messages
    tree = store.get_tree(ID)
    assert sorted(id(m) for m in tree) == sorted({id(m) for m in tree}), "each has one place"
    assert len(tree) == len(messages)
    for message in messages:
        found = store.get_message(ID, message.id)
        assert found is not None and found.id == message.id
        path = store.get_linear_history(ID, message.id)
        assert path[-1].id == message.id and len(path) <= len(messages)
        assert store.get_linear_history(ID, message.id, limit=2) == path[-2:]
        for child in store.get_children(ID, message.id):
            assert child in messages
    store.get_context(ID, max_tokens=1000)
    metadata = store.get_metadata(ID)
    assert metadata is not None and metadata.message_count == len(messages)
    assert contents(store, "beside") == ["untouched"]
    return messages


def goes_on(root: Path) -> None:
    """The session takes the next message, and the log keeps what it held."""
    before = (root / ID / LOG).read_bytes()
    with ours(root) as store:
        kept = store.get_messages(ID)
        answer = store.append(ID, {"role": "user", "content": "next"})
        assert use_all(store) == [*kept, answer]
    with ours(root) as store:
        assert use_all(store) == [*kept, answer]
    assert (root / ID / LOG).read_bytes().startswith(before)


def test_half_characters_show_as_the_replacement_and_stay_on_disk(
    root: Path, original: Original
) -> None:
    add(
        original,
        say("a", "half \ud83d of it"),
        say("b", [{"type": "text", "text": "\udc00"}]),
        say("c", "x", metadata={"k\ud800": "v\udfff", "deep": [{"\ud83d": 1.5}]}),
        say("d", "x", toolCalls=[{"id": "\ud800", "name": "n", "arguments": {"\ud800": "\ud800"}}]),
        say("e", "x", toolResult={"toolCallId": "\ud800", "result": "\ud800", "error": "\ud800"}),
        say("\ud800", "odd id"),
        say("f", "odd parent", parent="\ud800"),
        say("g", "a pair \ud83d\ude00"),
    )
    raw = (root / ID / LOG).read_bytes()
    assert raw.count(b"\\ud83d") == 3, "as JSON.stringify writes them"

    with ours(root) as store:
        _, a, b, c, d, e, odd, f, g = use_all(store)

        assert a.content == "half \ufffd of it"
        assert b.content == [{"type": "text", "text": "\ufffd"}]
        assert c.metadata == {"k\ufffd": "v\ufffd", "deep": [{"\ufffd": 1.5}]}
        assert d.tool_calls is not None and d.tool_calls[0].arguments == {"\ufffd": "\ufffd"}
        assert e.tool_result is not None and e.tool_result.error == "\ufffd"
        assert (odd.id, f.parent_id) == ("\ufffd", "\ufffd")
        assert [m.id for m in store.get_linear_history(ID, "f")] == ["first", "\ufffd", "f"]
        assert g.content == "a pair 😀"
        assert store.check().ok
    goes_on(root)
    assert (root / ID / LOG).read_bytes().startswith(raw)


@pytest.mark.parametrize(
    ("fields", "shown"),
    [
        ({"timestamp": 1795365467081.25}, {"timestamp": 1795365467081.25}),
        ({"timestamp": -5}, {"timestamp": -5}),
        ({"timestamp": 1e300}, {"timestamp": 1e300}),
        ({"timestamp": "2024-01-01"}, {"timestamp": "2024-01-01"}),
        ({"timestamp": None}, {"timestamp": 0}),
        ({"content": None}, {"content": None}),
        ({"content": 5}, {"content": 5}),
        ({"content": {"text": "x"}}, {"content": {"text": "x"}}),
        ({"content": [1, None, "x"]}, {"content": [1, None, "x"]}),
        ({"content": True}, {"content": True}),
        ({"role": 5}, {"role": 5}),
        ({"role": None}, {"role": None}),
        ({"type": "theirs"}, {"type": "theirs"}),
        ({"type": 5}, {"type": 5}),
        ({"type": None}, {"type": "user"}),
        ({"metadata": "text"}, {"metadata": "text"}),
        ({"metadata": []}, {"metadata": []}),
        ({"metadata": {"log": "text", "crc": 1}}, {"metadata": {"log": "text", "crc": 1}}),
        ({"toolCalls": "none"}, {"tool_calls": "none"}),
        ({"toolCalls": [{"id": 1}]}, {"tool_calls": [{"id": 1}]}),
        ({"toolResult": ["x"]}, {"tool_result": ["x"]}),
        ({"n": 10**400}, {}),
        # Fields of ours with other meanings count as absent.
        ({"branch": 5}, {"branch": None}),
        ({"batch": "x"}, {"batch": None}),
        ({"batch": [3, 1]}, {"batch": None}),
        ({"batch": [0, 1]}, {"batch": None}),
        ({"batch": {"size": 2}}, {"batch": None}),
        ({"batch": [1, 2.5]}, {"batch": None}),
        ({"key": {}}, {"key": None}),
        ({"key": 7}, {"key": None}),
        ({"control": "x"}, {"control": None}),
        ({"control": 1}, {"control": None}),
        ({"control": {"kind": "seal"}}, {}),
        ({"control": {"kind": "reset"}}, {}),
        ({"control": {"kind": "head", "messageId": "first"}}, {}),
        ({"type": "custom", "parentId": None, "control": {"kind": 5}}, {}),
        ({"type": "custom", "control": {"kind": "reset"}}, {}),
        ({"crc": "hello"}, {}),
        ({"crc": "00000000", "z": 1}, {}),
        ({"z": 1, "crc": "0000000g"}, {}),
        ({"z": 1, "crc": 5}, {}),
    ],
    ids=str,
)
def test_a_field_of_an_odd_type_is_shown_as_it_is(
    root: Path, original: Original, fields: Line, shown: Line
) -> None:
    add(original, say("odd", "odd", **fields), say("last", "last", parent="odd"))

    with ours(root) as store:
        messages = use_all(store)

        assert [m.id for m in messages] == ["first", "odd", "last"]
        for name, value in shown.items():
            got = getattr(messages[1], name)
            assert got == value and type(got) is type(value), name
        if "content" not in fields:
            assert messages[1].content == "odd"
        assert store.get_head(ID) == "last"
        assert findings(store) <= {"snapshot_lags"}
    goes_on(root)


def test_a_message_that_speaks_of_seals_seals_nothing(root: Path, original: Original) -> None:
    length = (root / ID / LOG).stat().st_size
    control = {"kind": "seal", "offset": 0, "length": length - 1}
    add(original, say("odd", "odd", control=control), say("last", '"kind":"seal"'))

    with ours(root) as store:
        assert [m.id for m in use_all(store)] == ["first", "odd", "last"]
        assert findings(store) <= {"snapshot_lags"}
    goes_on(root)


def test_a_checksum_that_is_wrong_counts_only_at_the_very_end(
    root: Path, original: Original
) -> None:
    add(
        original,
        b'{"id":"middle","type":"user","crc":"deadbeef","parentId":null}\n',
        b'{"id":"spaced","type":"user","parentId":null,"crc": "deadbeef"}\n',
        b'{"id":"wrong","type":"user","parentId":null,"crc":"deadbeef"}\n',
        b'{"id":"last","type":"user","parentId":null}\n',
    )

    with ours(root) as store:
        assert [m.id for m in use_all(store)] == ["first", "middle", "spaced", "last"]
        [damage] = [f for f in store.check().findings if f.code == "damaged_line"]
        assert damage.severity == "error" and "checksum" in damage.detail
    goes_on(root)


def test_ids_that_are_none_are_numbers_or_come_twice_keep_each_its_place(
    root: Path, original: Original
) -> None:
    lines = [
        say(None, "no id"),
        {"type": "user", "content": "nothing but content"},
        say(7, "a number", parent="first"),
        say("after seven", "x", parent=7),
        say(8.0, "a whole float"),
        say("after eight", "x", parent=8),
        say(True, "true is no id"),
        say(["a"], "nor a list"),
        say("", "nor nothing"),
        say("twice", "one"),
        say("twice", "two"),
        say("below twice", "x", parent="twice"),
        say("odd parents", "x", parent={"a": 1}),
    ]
    add(original, *lines)

    with ours(root) as store:
        messages = use_all_but_ids(store)

        assert [m.content for m in messages][1:] == [line["content"] for line in lines]
        by_content = {str(m.content): m for m in messages}
        assert [m.content for m in store.get_linear_history(ID, "after seven")] == [
            "first",
            "a number",
            "x",
        ]
        assert (by_content["a number"].id, by_content["a whole float"].id) == ("7", "8")
        nameless = [by_content[c] for c in ("no id", "true is no id", "nor a list", "nor nothing")]
        assert len({m.id for m in nameless}) == 4
        for message in nameless:
            assert store.get_message(ID, message.id) == message
        below = store.get_linear_history(ID, "below twice")
        assert [m.content for m in below] == ["first", "one", "x"]
        assert len(store.get_tree(ID)) == len(messages)
        assert store.get_message(ID, "odd parents") in store.get_children(ID, None)
        assert "duplicate_id" in findings(store)
        assert store.check().ok
    with ours(root) as store:
        again = store.append(ID, {"role": "user", "content": "next", "parentId": "7"})
        assert store.get_linear_history(ID, again.id)[1].content == "a number"


def use_all_but_ids(store: SessionStore) -> list[Message]:
    messages = store.get_messages(ID)
    assert [*store.stream_messages(ID)] == messages
    metadata = store.get_metadata(ID)
    assert metadata is not None and metadata.message_count == len(messages)
    for message in messages:
        assert store.get_linear_history(ID, message.id)
    return messages


def test_parents_that_come_later_are_missing_or_run_in_circles_hide_nothing(
    root: Path, original: Original
) -> None:
    add(
        original,
        say("child", "x", parent="late"),
        say("late", "x"),
        say("lost", "x", parent="nobody"),
        say("a", "x", parent="b"),
        say("b", "x", parent="c"),
        say("c", "x", parent="a"),
        say("on the circle", "x", parent="b"),
        say("self", "x", parent="self"),
    )

    with ours(root) as store:
        use_all(store)

        roots = [m.id for m in store.get_children(ID, None)]
        assert roots == ["first", "lost", "a", "self"]
        assert [m.id for m in store.get_linear_history(ID, "child")] == ["first", "late", "child"]
        assert [m.id for m in store.get_linear_history(ID, "lost")] == ["lost"]
        assert [m.id for m in store.get_children(ID, "late")] == ["child"]
        assert {"missing_parent", "parent_behind"} <= findings(store)
    goes_on(root)


BLANKS = [b"\n", b"\r\n", b"   \n", b"\t\r\n"]


def test_blank_lines_and_windows_line_ends_are_nothing_to_speak_of(
    root: Path, original: Original
) -> None:
    good = stringify(say("windows", "x"))
    add(original, *BLANKS, good + b"\r\n", *BLANKS, say("last", "x"))

    with ours(root) as store:
        assert [m.id for m in use_all(store)] == ["first", "windows", "last"]
        assert findings(store) <= {"snapshot_lags"}
    goes_on(root)


def test_a_log_of_blank_lines_is_an_empty_session(root: Path, original: Original) -> None:
    (root / ID / LOG).write_bytes(b"".join(BLANKS))

    for _ in range(2):
        with ours(root) as store:
            assert use_all(store) == []
            assert findings(store) <= {"snapshot_lags"}
    goes_on(root)


def test_a_last_line_without_its_end_is_no_record_and_is_named(
    root: Path, original: Original
) -> None:
    add(original, stringify(say("torn", "x")))

    with ours(root) as store:
        assert [m.id for m in use_all(store)] == ["first"]
        assert "torn_tail" in findings(store)
    goes_on(root)
    with ours(root) as store:
        assert [m.content for m in use_all(store)] == ["first", "next"]
        assert "sealed_tail" in findings(store)


def test_a_byte_order_mark_costs_no_message(root: Path, original: Original) -> None:
    log = root / ID / LOG
    log.write_bytes(b"\xef\xbb\xbf" + log.read_bytes())
    add(original, say("second", "x"))

    with ours(root) as store:
        messages = store.get_messages(ID)
        assert messages[-1].id == "second"
        assert findings(store)
    goes_on(root)


@pytest.mark.parametrize(
    "line",
    [
        b"[1]",
        b'"text"',
        b"5",
        b"null",
        b"{broken",
        b'{"id":"x"}{"id":"y"}',
        b"\xff\xfe",
        b"NaN",
        b'{"id":"n","x":NaN}',
    ],
)
def test_a_line_that_is_no_object_is_named_and_hides_no_other(
    root: Path, original: Original, line: bytes
) -> None:
    add(original, line + b"\n", say("after", "x"))

    with ours(root) as store:
        assert [m.id for m in use_all(store)] == ["first", "after"]
        [damage] = [f for f in store.check().findings if f.code == "damaged_line"]
        assert (damage.path, damage.length) == (f"{ID}/{LOG}", len(line))
    goes_on(root)


def test_every_oddity_at_once_far_from_the_end_of_the_log(root: Path, original: Original) -> None:
    """So that the tail, the whole and the stream are read by different code."""
    add(original, say(None, "no id"), b"{broken\n", say("a", "\ud800", parent="b"), say("b", 5))
    last = "b"
    for n in range(700):
        add(original, say(f"m{n}", "filling " * 30, parent=last))
        last = f"m{n}"

    with ours(root) as store:
        assert [m.id for m in store.get_linear_history(ID, limit=3)] == ["m697", "m698", "m699"]
        assert len(store.get_linear_history(ID)) == 702
    with ours(root) as store:
        answer = store.append(ID, {"role": "user", "content": "next"})
        assert answer.parent_id == "m699"
        metadata = store.get_metadata(ID)
        assert metadata is not None and metadata.message_count == 705
        assert len(store.get_messages(ID)) == 705


# The index


def test_half_characters_in_keys_and_metadata_take_nothing_from_the_others(
    root: Path, original: Original
) -> None:
    original.keys["half \ud83d"] = ID
    original.sessions[ID]["userId"] = "u\ud800"
    original.sessions[ID]["metadata"] = {"k\ud800": "v\udfff", "plain": 1.5}
    original.save()

    for _ in range(2):
        with ours(root) as store:
            assert store.get_session_id("half \ufffd") == ID
            assert store.get_session_id("beside") == "beside"
            metadata = store.get_metadata(ID)
            assert metadata is not None
            assert metadata.user_id == "u\ufffd"
            assert metadata.metadata == {"k\ufffd": "v\ufffd", "plain": 1.5}
            store.append(ID, {"role": "user", "content": "x"})
            assert store.check().ok


def test_half_characters_in_the_index_are_still_there_for_the_original(
    root: Path, original: Original
) -> None:
    for key, session_id in zip(("half \ud83d", "half \ud83c x"), (ID, "beside"), strict=True):
        original.keys[key] = session_id
    original.sessions[ID]["theirs"] = {"k\ud800": "v\udfff"}
    original.save()

    with ours(root) as store:
        store.append(ID, {"role": "user", "content": "x"})
        store.update_metadata(ID, {"user_id": "u"})

    after = Original(root)
    assert after.sessions[ID]["theirs"] == {"k\ud800": "v\udfff"}
    assert after.keys == original.keys


ODD_RECORDS: list[Line] = [
    {"createdAt": 1.5, "updatedAt": 2.25},
    {"createdAt": "yesterday", "updatedAt": None},
    {"messageCount": "many"},
    {"messageCount": -3},
    {"messageCount": 2.5},
    {"userId": 5},
    {"tokenEstimate": 1.5},
    {"modelOverrides": "none"},
    {"metadata": []},
    {"log": "text"},
    {"log": {"size": "x"}},
    {"log": {"size": 10**30, "messages": 5}},
    {"log": {"size": 5, "messages": -5, "lastId": "first"}},
    {"log": {"size": 0, "messages": 99}},
    {"sessionId": "another"},
    {"sessionId": None},
]


@pytest.mark.parametrize("fields", ODD_RECORDS, ids=str)
def test_a_record_with_odd_fields_is_a_session_all_the_same(
    root: Path, original: Original, fields: Line
) -> None:
    original.sessions[ID] |= fields
    original.save()

    for turn in range(2):
        with ours(root) as store:
            metadata = store.get_metadata(ID)
            assert metadata is not None
            assert (metadata.session_id, metadata.message_count) == (ID, 1 + turn)
            assert {s.session_id for s in store.list_sessions().sessions} == {ID, "beside"}
            assert {s.session_id for s in store.list_sessions(sort="created").sessions} == {
                ID,
                "beside",
            }
            store.append(ID, {"role": "user", "content": "next"})
            assert store.check().ok
    assert json.loads((root / INDEX).read_bytes())["sessions"][ID]["messageCount"] == 3


@pytest.mark.parametrize("record", [None, 5, "x", [], {}], ids=str)
def test_a_record_that_is_no_object_takes_nothing_from_the_others(
    root: Path, original: Original, record: Any
) -> None:
    original.sessions[ID] = record
    original.save()

    for _ in range(2):
        with ours(root) as store:
            assert contents(store, "beside") == ["untouched"]
            assert store.get_metadata("beside") is not None
            assert contents(store, ID)[0] == "first"
            store.append("beside", {"role": "user", "content": "x"})
            store.list_sessions()
            store.check()
        (root / "beside" / LOG).write_bytes(
            (root / "beside" / LOG).read_bytes().split(b"\n")[0] + b"\n"
        )


def test_keys_that_name_no_session_are_named_and_free(root: Path, original: Original) -> None:
    original.index["keys"] |= {"dangling": "nobody", "number": 5, "null": None}
    original.save()

    with ours(root) as store:
        for key in ("dangling", "number", "null"):
            assert store.get_session_id(key) is None
        assert findings(store) >= {"dangling_key", "unusable_key"}
        new = store.resolve("dangling")
        assert new not in ("nobody", ID)
        with pytest.raises(SessionNotFoundError):
            store.get_messages("nobody")


OTHER_MEANINGS: list[Any] = ["text", "deadbeef", 5, None, [], {}, {"epoch": "x"}]


@pytest.mark.parametrize("value", OTHER_MEANINGS, ids=str)
def test_a_field_crc_with_another_meaning_costs_no_key_and_no_session(
    root: Path, original: Original, value: Any
) -> None:
    original.index["crc"] = value
    original.save()

    for _ in range(2):
        with ours(root) as store:
            assert set(store.get_all_session_ids()) == {ID, "beside"}
            assert store.get_session_id("beside") == "beside"
            assert contents(store, ID) == ["first"]


@pytest.mark.parametrize("value", OTHER_MEANINGS, ids=str)
def test_a_field_journal_with_another_meaning_costs_no_session(
    root: Path, original: Original, value: Any
) -> None:
    original.index["journal"] = value
    original.save()

    for _ in range(2):
        with ours(root) as store:
            assert set(store.get_all_session_ids()) == {ID, "beside"}
            assert contents(store, ID) == ["first"]
    assert not list(root.glob(f"{INDEX}.damaged-*"))


@pytest.mark.parametrize("value", OTHER_MEANINGS, ids=str)
def test_a_field_journal_with_another_meaning_costs_no_key(
    root: Path, original: Original, value: Any
) -> None:
    original.index["journal"] = value
    original.save()

    for _ in range(2):
        with ours(root) as store:
            assert store.get_session_id("beside") == "beside"
            store.resolve("new")


def test_nothing_that_is_raised_is_without_a_type(root: Path, original: Original) -> None:
    add(original, say("odd", {"a": 1}, control={"kind": "seal"}, batch=[3, 1]))

    with ours(root) as store:
        for call in (
            lambda: store.get_linear_history(ID, "nobody"),
            lambda: store.get_children(ID, "nobody"),
            lambda: store.append(ID, {"role": "user", "content": "x", "parentId": "nobody"}),
            lambda: store.append(ID, {"id": "odd", "role": "user", "content": "other"}),
            lambda: store.switch_to_branch(ID, "nobody"),
        ):
            with pytest.raises(SessionStoreError):
                call()
