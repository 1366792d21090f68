"""What we do in the original's folder: no old byte moves, and the original reads what is new."""

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
from original_kit import BRANCHES, LOG, Line, Original, copy_fixture, ours, snapshot_of, stringify

from session_store import AutoResetConfig, Message
from session_store.sync import SessionStore

ALICE = "user:alice"
INDEX = "sessions.json"


def use_everything(store: SessionStore, key: str) -> None:
    """Everything that one can do to a session without erasing it."""
    session_id = store.resolve(key)
    store.append(session_id, {"role": "user", "content": "go on"})
    store.append_many(
        session_id, [{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}]
    )
    store.append(session_id, {"role": "system", "content": "afresh", "parentId": None})
    store.create_branch(session_id, "ours")
    for name in ("alt-4", "alt-9"):
        if store.get_branch(session_id, name) is None:  # a second time, after the reset
            store.create_branch(session_id, name)
    store.switch_to_branch(session_id, "alt-4")
    store.append(session_id, {"role": "user", "content": "on alt-4"})
    store.create_branch(session_id, "main", store.get_messages(session_id)[0].id)
    store.delete_branch(session_id, "alt-9")
    with store.lock(session_id, "me"):
        store.append(session_id, {"role": "user", "content": "locked"})
    store.force_release(session_id)
    store.update_metadata(session_id, {"user_id": "u1", "metadata": {"team": "blue"}})
    store.add_key(f"{key}:again", session_id)
    store.reset_session(session_id)
    store.append(session_id, {"role": "user", "content": "after the reset"})


def test_whatever_we_do_every_old_byte_stays_in_its_place(root: Path) -> None:
    expected = copy_fixture(root)
    before = snapshot_of(root)

    for _ in range(2):
        with ours(root) as store:
            for key in expected:
                use_everything(store, key)
            store.flush(snapshot=True)

    after = snapshot_of(root)
    logs = [path for path in before if path != INDEX]
    assert len(logs) == 12
    for path in logs:
        assert after[path].startswith(before[path]), path
        assert len(after[path]) > len(before[path]), path


def test_the_index_loses_no_key_no_session_and_no_field_that_it_does_not_know(root: Path) -> None:
    copy_fixture(root)
    index: Line = json.loads((root / INDEX).read_text("utf-8"))
    index["version"] = {"of": "a plugin", "n": 1.5}
    for n, fields in enumerate(index["sessions"].values()):
        fields["theirs"] = {"n": n, "sessionId": "ü"}
    written = stringify(index, indent=2)
    (root / INDEX).write_bytes(written)

    with ours(root) as store:
        for key in index["keys"]:
            use_everything(store, key)

    after: Line = json.loads((root / INDEX).read_text("utf-8"))
    assert after["version"] == {"of": "a plugin", "n": 1.5}
    assert after["keys"].items() >= index["keys"].items()
    assert list(after["sessions"]) == list(index["sessions"])
    for session_id, fields in index["sessions"].items():
        now = after["sessions"][session_id]
        assert now["theirs"] == fields["theirs"]
        assert now["createdAt"] == fields["createdAt"]
        assert now["sessionId"] == session_id
    assert (root / f"{INDEX}.prev").read_bytes() == written, "kept as it was written"


def test_deleting_one_session_leaves_the_bytes_of_the_others(root: Path) -> None:
    copy_fixture(root)
    before = snapshot_of(root)

    with ours(root) as store:
        gone = store.resolve(ALICE)
        store.delete_session(gone)

        assert not store.has_key("alias:alice")
    after = snapshot_of(root)
    assert not [path for path in after if path.startswith(gone)]
    for path, data in before.items():
        if path != INDEX and not path.startswith(gone):
            assert after[path] == data


EVERYTHING: list[Line] = [
    {"role": "system", "content": "rules"},
    {
        "role": "user",
        "content": "половина 👨‍👩‍👧‍👦 \u2028 \x00 \x7f",
        "metadata": {"n": 1.5, "deep": {"a": [None]}},
    },
    {
        "type": "tool_call",
        "toolCalls": [{"id": "c1", "name": "sum", "arguments": {"parent_id": 1, "parentId": 2}}],
    },
    {"type": "tool_result", "toolResult": {"toolCallId": "c1", "result": None}},
    {"type": "tool_result", "toolResult": {"toolCallId": "c1", "result": [1], "error": "e"}},
    {"role": "assistant", "content": [{"type": "text", "text": "x"}, {"type": "image"}]},
    {"type": "compaction", "content": "so far", "timestamp": 12.5},
    {"type": "theirs", "content": "", "id": "an id of yours / 7"},
]


@pytest.fixture
def written(root: Path) -> Path:
    """A folder that only we have written to."""
    with ours(root) as store:
        for key in ("k1", "ключ", "slack:T1/C2/../U3"):
            session_id = store.resolve(key)
            for message in EVERYTHING:
                store.append(session_id, message)
            first = store.get_messages(session_id)[0].id
            store.append_many(
                session_id,
                [{"role": "user", "content": n, "parentId": first} for n in ("left", "right")],
            )
            store.create_branch(session_id, "main")
            store.create_branch(session_id, "start", first)
            store.switch_to_branch(session_id, "start")
            store.append(session_id, {"role": "user", "content": "on start"})
            store.update_metadata(session_id, {"user_id": "u1", "metadata": {"team": "blue"}})
        store.add_key("k1 again", store.resolve("k1"))
        store.remove_key(store.get_all_keys()[1])
    return root


def shown_to_original(original: Original, session_id: str) -> list[Line]:
    """What it reads, without the records of the store, which it takes for roots."""
    return [line for line in original.messages(session_id) if "control" not in line]


def as_on_disk(message: Message) -> Line:
    fields: Line = msgspec.to_builtins(message)
    return fields


OURS = ("branch", "batch", "key", "crc")


def given_fields(line: Line) -> Line:
    """A line without the fields that are ours alone."""
    return {name: value for name, value in line.items() if name not in OURS}


def test_the_original_reads_the_keys_and_the_metadata_of_our_folder(written: Path) -> None:
    original = Original(written)

    with ours(written) as store:
        assert original.keys == {k: store.get_session_id(k) for k in store.get_all_keys()}
        assert set(original.keys) == {"k1", "k1 again", "slack:T1/C2/../U3"}
        assert list(original.sessions) == store.get_all_session_ids()
        for session_id, fields in original.sessions.items():
            metadata = store.get_metadata(session_id)
            assert metadata is not None
            assert fields == msgspec.to_builtins(metadata)
            assert fields["messageCount"] == len(EVERYTHING) + 3
            assert fields["messageCount"] == len(shown_to_original(original, session_id))
            assert (fields["userId"], fields["metadata"]) == ("u1", {"team": "blue"})


def test_the_original_reads_our_messages_field_by_field(written: Path) -> None:
    original = Original(written)

    with ours(written) as store:
        for session_id in original.sessions:
            messages = [given_fields(as_on_disk(m)) for m in store.get_messages(session_id)]
            lines = [given_fields(line) for line in shown_to_original(original, session_id)]
            for line, given in zip(lines, EVERYTHING, strict=False):
                assert given.items() <= (line | {"toolResult": line.get("toolResult")}).items()
                assert {"id", "timestamp", "type", "parentId"} <= line.keys()
                if "toolResult" in line:
                    assert "result" in line["toolResult"]
                    line["toolResult"] = {
                        k: v
                        for k, v in line["toolResult"].items()
                        if k != "result" or v is not None
                    }
            assert messages == lines


def test_the_original_walks_our_tree_and_our_branches(written: Path) -> None:
    original = Original(written)

    with ours(written) as store:
        for session_id in original.sessions:
            tree = [m["id"] for m in original.tree(session_id) if "control" not in m]
            assert tree == [m.id for m in store.get_tree(session_id)]
            for leaf in store.get_messages(session_id):
                walked = [step["id"] for step in original.history(session_id, leaf.id)]
                assert walked == [m.id for m in store.get_linear_history(session_id, leaf.id)]
            for name in ("main", "start"):
                branch, now = original.branch(session_id, name), store.get_branch(session_id, name)
                assert branch is not None and now is not None
                assert branch["createdAt"] == now.created_at
                assert branch["path"] == now.path[: len(branch["path"])]
                assert branch["leafMessageId"] == branch["path"][-1]


def test_what_is_a_record_of_ours_the_original_shows_as_a_custom_root(written: Path) -> None:
    original = Original(written)

    for session_id in original.sessions:
        records = [line for line in original.messages(session_id) if "control" in line]
        assert [record["control"]["kind"] for record in records] == ["head"]
        for record in records:
            assert (record["type"], record["parentId"]) == ("custom", None)
            assert isinstance(record["id"], str) and isinstance(record["timestamp"], int)


@pytest.mark.parametrize("mode", ["plain", "auto-reset"])
def test_the_first_lines_say_what_the_original_says_on_each(root: Path, mode: str) -> None:
    config: dict[str, Any] = {}
    if mode == "auto-reset":
        config["auto_reset"] = AutoResetConfig(max_messages=2, keep_strategy="last")
    with SessionStore.open(root, durability="os", **config) as store:
        session_id = store.resolve("k")
        for n in range(5):
            store.append(session_id, {"role": "user", "content": f"m{n}"})

    original = Original(root)

    assert [m["content"] for m in original.messages(session_id) if m["type"] == "user"] == [
        f"m{n}" for n in range(5)
    ]
    ids = [line["id"] for line in original.messages(session_id)]
    assert len(original.tree(session_id)) == len(ids) == len(set(ids))
    assert original.sessions[session_id]["messageCount"] == len(ids)
    assert not (root / session_id / BRANCHES).exists()
    raw = (root / session_id / LOG).read_bytes()
    assert raw.startswith(b"{") and raw.endswith(b"}\n") and b"\r" not in raw
