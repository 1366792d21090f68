"""Ids that the original took as they came: some cannot be a folder, and are left alone."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from original_kit import LOG, Original, contents, findings, now, ours, snapshot_of

from session_store import InvalidIdError, SessionNotFoundError
from session_store.sync import SessionStore

INDEX = "sessions.json"

SAFE = [
    "web user Ünï",
    "telegram:1:2",
    "Борис 👨‍👩‍👧",
    ".hidden",
    "x" * 255,
    "a\\b",
    "\u202egnp",
    "e\u0301",
]
UNSAFE = [
    "web user/Ünï",
    "a/b",
    "..",
    ".",
    "",
    "../outside",
    "a/../../outside",
    "nul\0byte",
    "y" * 300,
    "ü" * 150,
    "sessions.json",
    "sessions.json.prev",
    "sessions.1.jsonl",
]


@pytest.fixture
def outside(tmp_path: Path) -> Path:
    """A session beside the root, for ids that lead out of it."""
    folder = tmp_path / "outside"
    folder.mkdir()
    (folder / LOG).write_text('{"id":"x","type":"user","parentId":null,"content":"private"}\n')
    return folder


@pytest.fixture
def ids(root: Path, outside: Path) -> list[str]:
    """A root with a record for every safe and every unsafe id; `a` is a session of its own."""
    original = Original(root)
    for name in ("a", *SAFE):
        original.append(name, None, f"hello {name}")
    for name in ("web user/Ünï", "a/b"):
        original.append(name, None, "nested")
    unsafe = [*UNSAFE, str(outside)]
    for name in unsafe:
        record = {"sessionId": name, "createdAt": now(), "updatedAt": now(), "messageCount": 1}
        original.sessions.setdefault(name, {**record, "userId": "web-user"})
        original.keys.setdefault(f"key of {name}", name)
    original.save()
    return unsafe


TOUCHING: dict[str, Callable[[SessionStore, str], Any]] = {
    "append": lambda store, id_: store.append(id_, {"role": "user", "content": "x"}),
    "append_many": lambda store, id_: store.append_many(id_, [{"role": "user", "content": "x"}]),
    "get_messages": lambda store, id_: store.get_messages(id_),
    "stream": lambda store, id_: [*store.stream_messages(id_)],
    "get_message": lambda store, id_: store.get_message(id_, "x"),
    "get_head": lambda store, id_: store.get_head(id_),
    "get_linear_history": lambda store, id_: store.get_linear_history(id_),
    "get_context": lambda store, id_: store.get_context(id_),
    "get_children": lambda store, id_: store.get_children(id_, None),
    "get_tree": lambda store, id_: store.get_tree(id_),
    "subscribe": lambda store, id_: next(store.subscribe(id_)),
    "create_branch": lambda store, id_: store.create_branch(id_, "x"),
    "get_branches": lambda store, id_: store.get_branches(id_),
    "get_branch": lambda store, id_: store.get_branch(id_, "x"),
    "switch_to_branch": lambda store, id_: store.switch_to_branch(id_, "x"),
    "delete_branch": lambda store, id_: store.delete_branch(id_, "x"),
    "update_metadata": lambda store, id_: store.update_metadata(id_, {"user_id": "x"}),
    "reset_session": lambda store, id_: store.reset_session(id_),
    "delete_session": lambda store, id_: store.delete_session(id_),
    "acquire_lock": lambda store, id_: store.acquire_lock(id_, "me"),
    "is_locked": lambda store, id_: store.is_locked(id_),
    "get_lock": lambda store, id_: store.get_lock(id_),
    "force_release": lambda store, id_: store.force_release(id_),
}


@pytest.mark.parametrize("call", TOUCHING)
def test_what_would_touch_the_folder_of_an_unsafe_id_is_refused(
    root: Path, tmp_path: Path, ids: list[str], call: str
) -> None:
    before = snapshot_of(tmp_path)

    with ours(root) as store:
        for name in ids:
            with pytest.raises(InvalidIdError):
                TOUCHING[call](store, name)
            assert store.has_session(name), "it is the original's, and stays"

    assert snapshot_of(tmp_path) == before


def test_the_index_answers_about_an_unsafe_id_as_the_original_did(
    root: Path, ids: list[str]
) -> None:
    with ours(root) as store:
        assert set(store.get_all_session_ids()) == {"a", *SAFE, *ids}
        listed = {session.session_id: session for session in store.list_sessions().sessions}
        for name in ids:
            assert store.has_session(name)
            assert store.get_metadata(name) == listed[name]
            assert listed[name].message_count == 1
            assert store.get_session_id(f"key of {name}") == name
            assert f"key of {name}" in store.get_session_keys(name)


def test_the_safe_ones_beside_them_work_and_nothing_outside_is_touched(
    root: Path, tmp_path: Path, ids: list[str]
) -> None:
    before = snapshot_of(tmp_path)
    records = json.loads((root / INDEX).read_bytes())

    with ours(root) as store:
        for name in SAFE:
            store.append(name, {"role": "user", "content": "again"})
            store.create_branch(name, "b")
            with store.lock(name):
                store.update_metadata(name, {"metadata": {"n": 1}})
            assert contents(store, name) == [f"hello {name}", "again"]
        new = store.resolve("new")
        store.append(new, {"role": "user", "content": "new"})
        store.flush(snapshot=True)

    own = [f"sessions/{name}/" for name in (*SAFE, new)] + [
        f"sessions/{INDEX}",
        "sessions/sessions.",
    ]
    after = snapshot_of(tmp_path)
    changed = {path for path in after | before if after.get(path) != before.get(path)}
    assert changed and all(path.startswith(tuple(own)) for path in changed)
    now_there = json.loads((root / INDEX).read_bytes())
    for name in ids:
        assert now_there["sessions"][name] == records["sessions"][name]
        assert now_there["keys"][f"key of {name}"] == name


def test_check_names_each_unsafe_id_once_and_judges_the_others(root: Path, ids: list[str]) -> None:
    with ours(root) as store:
        report = store.check()

    unsafe = [f.session_id for f in report.findings if f.code == "unsafe_id"]
    assert sorted(map(str, unsafe)) == sorted(ids)
    assert {f.severity for f in report.findings if f.code == "unsafe_id"} == {"warning"}
    assert report.ok
    assert report.messages == 1 + len(SAFE)


def test_a_folder_within_a_folder_goes_with_nobody(root: Path, ids: list[str]) -> None:
    with ours(root) as store:
        with pytest.raises(InvalidIdError):
            store.delete_session("web user/Ünï")
        with pytest.raises(SessionNotFoundError):
            store.get_messages("web user")
        assert "foreign_folder" in findings(store)

    assert (root / "web user" / "Ünï" / LOG).exists()


def test_a_rebuild_makes_no_session_of_what_lies_deeper(root: Path, ids: list[str]) -> None:
    (root / INDEX).unlink()

    with ours(root) as store:
        assert set(store.get_all_session_ids()) == {"a", *SAFE}
        assert store.check(repair_index=True).ok
        assert set(store.get_all_session_ids()) == {"a", *SAFE}


def test_a_link_out_of_the_root_is_not_followed(root: Path, outside: Path) -> None:
    original = Original(root)
    original.append("kept", None, "x")
    (root / "linked").symlink_to(outside, target_is_directory=True)
    record = {"sessionId": "linked", "createdAt": 1, "updatedAt": 1, "messageCount": 1}
    original.sessions["linked"] = record
    original.save()
    before = snapshot_of(outside)

    with ours(root) as store:
        for call in ("append", "get_messages", "acquire_lock"):
            with pytest.raises(OSError):
                TOUCHING[call](store, "linked")
        assert "unreadable" in findings(store)
        assert contents(store, "kept") == ["x"]

    assert snapshot_of(outside) == before


def test_a_folder_with_the_name_of_a_journal_stops_nobody(root: Path) -> None:
    original = Original(root)
    original.append("kept", None, "x")
    original.append("sessions.1.jsonl", None, "y")

    with ours(root) as store:
        new = store.resolve("new")
        store.append(new, {"role": "user", "content": "z"})
        assert contents(store, "kept") == ["x"]
