"""Every answer the original gives on its own folder, from us."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from original_kit import FIXTURE, LOG, Line, Original, contents, copy_fixture, ours, snapshot_of

from session_store import Message
from session_store.sync import SessionStore

EXPECTED: Line = json.loads((FIXTURE / "expected.json").read_text("utf-8"))
KEYS = list(EXPECTED)


@pytest.fixture
def store(root: Path) -> Iterator[SessionStore]:
    copy_fixture(root)
    with ours(root) as store:
        yield store


def as_on_disk(value: Any) -> Line:
    """What we read, under the names it has on disk."""
    fields: Line = msgspec.to_builtins(value)
    return fields


def lines_of(session_id: str) -> list[Line]:
    text = (FIXTURE / "sessions" / session_id / LOG).read_text("utf-8")
    return [json.loads(line) for line in text.split("\n") if line]


@pytest.mark.parametrize("key", KEYS)
def test_the_stand_in_gives_the_answers_of_the_original(key: str) -> None:
    original, expected = Original(FIXTURE / "sessions"), EXPECTED[key]
    session_id = original.keys[key]

    assert session_id == expected["sessionId"]
    assert original.sessions[session_id] == expected["meta"]
    assert len(original.messages(session_id)) == expected["count"]
    assert [message["id"] for message in original.tree(session_id)] == expected["tree"]
    for name, path in expected["history"].items():
        branch = original.branch(session_id, name)
        assert branch is not None
        assert [m["id"] for m in original.history(session_id, branch["leafMessageId"])] == path


def test_the_keys_and_the_sessions_are_all_there(store: SessionStore) -> None:
    ids = {answer["sessionId"] for answer in EXPECTED.values()}

    assert sorted(store.get_all_keys()) == sorted(KEYS)
    assert set(store.get_all_session_ids()) == ids
    assert {session.session_id for session in store.list_sessions().sessions} == ids
    alice = EXPECTED["user:alice"]["sessionId"]
    assert sorted(store.get_session_keys(alice)) == ["alias:alice", "user:alice"]


@pytest.mark.parametrize("key", KEYS)
def test_a_key_names_its_session(store: SessionStore, key: str) -> None:
    assert store.get_session_id(key) == EXPECTED[key]["sessionId"]
    assert store.resolve(key) == EXPECTED[key]["sessionId"]


@pytest.mark.parametrize("key", KEYS)
def test_the_metadata_is_what_the_original_had(store: SessionStore, key: str) -> None:
    metadata = store.get_metadata_by_key(key)

    assert metadata is not None
    fields = as_on_disk(metadata)
    assert fields.pop("log") == {
        "size": (FIXTURE / "sessions" / metadata.session_id / LOG).stat().st_size,
        "messages": EXPECTED[key]["count"],
        "lastId": lines_of(metadata.session_id)[-1]["id"],
    }
    assert fields == EXPECTED[key]["meta"]


@pytest.mark.parametrize("key", KEYS)
def test_the_tree_its_roots_and_its_order_are_the_same(store: SessionStore, key: str) -> None:
    expected = EXPECTED[key]
    session_id = expected["sessionId"]

    messages = store.get_messages(session_id)

    assert len(messages) == expected["count"]
    assert [message.id for message in store.get_tree(session_id)] == expected["tree"]
    assert [root.id for root in store.get_children(session_id, None)] == expected["roots"]
    assert [message.id for message in messages] == [line["id"] for line in lines_of(session_id)]
    for message in messages:
        below = [m.id for m in messages if m.parent_id == message.id]
        assert [child.id for child in store.get_children(session_id, message.id)] == below
        assert store.has_children(session_id, message.id) is bool(below)


@pytest.mark.parametrize("key", KEYS)
def test_the_branches_and_the_ways_along_them_are_the_same(store: SessionStore, key: str) -> None:
    expected = EXPECTED[key]
    session_id = expected["sessionId"]

    branches = store.get_branches(session_id)

    assert [[b.name, b.leaf_message_id, len(b.path)] for b in branches] == expected["branches"]
    original = Original(FIXTURE / "sessions")
    for branch in branches:
        path = expected["history"][branch.name]
        assert as_on_disk(branch) == original.branch(session_id, branch.name)
        assert branch == store.get_branch(session_id, branch.name)
        assert branch.path == path
        history = store.get_linear_history(session_id, branch.leaf_message_id)
        assert [message.id for message in history] == path
        last = store.get_linear_history(session_id, branch.leaf_message_id, limit=5)
        assert [message.id for message in last] == path[-5:]


@pytest.mark.parametrize("key", KEYS)
def test_every_field_of_every_message_has_the_value_of_its_line(
    store: SessionStore, key: str
) -> None:
    session_id = EXPECTED[key]["sessionId"]
    lines = lines_of(session_id)

    for message, line in zip(store.get_messages(session_id), lines, strict=True):
        fields = as_on_disk(message)
        assert fields == line, message.id
        assert types_in(fields) == types_in(line)
    assert [*store.stream_messages(session_id)] == store.get_messages(session_id)


def types_in(value: Any) -> Any:
    """The types in a value, in which 1, 1.0 and true differ."""
    if isinstance(value, dict):
        return {key: types_in(part) for key, part in value.items()}
    if isinstance(value, list):
        return [types_in(part) for part in value]
    return type(value)


def test_one_message_at_a_time_is_the_same_too(store: SessionStore) -> None:
    session_id = EXPECTED["user:alice"]["sessionId"]

    for line in lines_of(session_id):
        message = store.get_message(session_id, line["id"])
        assert isinstance(message, Message)
        assert as_on_disk(message) == line


def test_the_fixture_holds_what_makes_it_worth_reading() -> None:
    lines = [line for answer in EXPECTED.values() for line in lines_of(answer["sessionId"])]

    assert any(isinstance(line.get("content"), list) for line in lines)
    assert any("toolCalls" in line for line in lines)
    assert any("toolResult" in line for line in lines)
    assert any("metadata" in line for line in lines)
    assert any("\u2028" in json.dumps(line, ensure_ascii=False) for line in lines)


def test_who_only_reads_leaves_every_byte_as_it_was(root: Path) -> None:
    copy_fixture(root)
    before = snapshot_of(root)

    with ours(root) as store:
        for session_id in store.get_all_session_ids():
            assert contents(store, session_id)
            assert store.get_branches(session_id)
        assert store.check().findings == []

    assert snapshot_of(root) == before


def test_check_finds_nothing_wrong_and_says_what_it_could_not_verify(store: SessionStore) -> None:
    report = store.check()

    assert (report.ok, report.findings) == (True, [])
    assert (report.sessions, report.messages, report.unverified) == (6, 210, 210)
