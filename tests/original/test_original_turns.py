"""Turns: we use the folder, the original uses it, we come back and understand what it did.

Our turn ends by `close`, by a crash (what was only noted is lost), or with the journal rotated.
"""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from original_kit import BRANCHES, LOG, Original, contents, crash, findings, ours

from session_store import SessionNotFoundError
from session_store import SessionStore as AsyncStore
from session_store.index import rotation
from session_store.sync import SessionStore

INDEX = "sessions.json"

End = Callable[[SessionStore], None]


@pytest.fixture(params=["closed", "crashed", "rotated"])
def end(request: pytest.FixtureRequest, root: Path, monkeypatch: pytest.MonkeyPatch) -> End:
    """How a turn of ours ends; a crash after a `flush`, for what the journal says it cannot see."""

    def closed(store: SessionStore) -> None:
        store.close()

    def crashed(store: SessionStore) -> None:
        store.flush(snapshot=True)
        session_id = store.get_all_session_ids()[0]
        store.append(session_id, say("not counted any more"))
        crash(store)

    def rotated(store: SessionStore) -> None:
        monkeypatch.setattr(rotation, "ROTATE_BYTES", 1)
        epoch = journals(root)[-1]
        session_id = store.get_all_session_ids()[0]
        for n in range(100):
            store.update_metadata(session_id, {"token_estimate": n})
            if journals(root)[-1] > epoch:
                break
        monkeypatch.undo()
        assert journals(root)[-1] > epoch
        store.close()

    end: End = {"closed": closed, "crashed": crashed, "rotated": rotated}[request.param]
    return end


def journals(root: Path) -> list[int]:
    return sorted(int(path.name.split(".")[1]) for path in root.glob("sessions.*.jsonl"))


def say(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def start(root: Path, end: End, *keys: str) -> list[str]:
    """Our first turn: a session of three messages for each key; the first takes the blows."""
    store = ours(root)
    ids = [store.resolve(key) for key in ("other", *keys)]
    for session_id in ids:
        for n in range(3):
            store.append(session_id, say(f"ours {n}"))
    end(store)
    return ids[1:]


def damage_the_index(root: Path) -> None:
    (root / INDEX).write_bytes((root / INDEX).read_bytes()[:40])


def touch(root: Path) -> None:
    """A turn of ours that writes something, so that the index is ours again."""
    with ours(root) as store:
        store.resolve("touched")


OURS = ["ours 0", "ours 1", "ours 2"]


def test_what_it_appended_is_counted_and_read(root: Path, end: End) -> None:
    [session_id] = start(root, end, "k")
    original = Original(root)
    last = original.messages(session_id)[-1]["id"]
    for n in range(2):
        last = original.append(session_id, last, f"theirs {n}")

    with ours(root) as store:
        metadata = store.get_metadata_by_key("k")
        answer = store.append(session_id, say("ours again"))

        assert metadata is not None and metadata.message_count == 5
        assert metadata.updated_at == original.sessions[session_id]["updatedAt"]
        assert contents(store, session_id) == [*OURS, "theirs 0", "theirs 1", "ours again"]
        assert answer.parent_id == last
        assert store.check().ok and "stale_count" not in findings(store)
    assert Original(root).sessions[session_id]["messageCount"] == 6


@pytest.mark.parametrize("longer", [0, 2, 40])
def test_a_reset_of_its_is_a_new_log_however_long(root: Path, end: End, longer: int) -> None:
    [session_id] = start(root, end, "k")
    with ours(root) as store:
        store.create_branch(session_id, "b")
    original = Original(root)
    original.reset_session(session_id)
    last = None
    for n in range(longer):
        last = original.append(session_id, last, f"theirs {n}")

    with ours(root) as store:
        metadata = store.get_metadata(session_id)

        assert metadata is not None and metadata.message_count == longer
        assert contents(store, session_id) == [f"theirs {n}" for n in range(longer)]
        assert store.get_head(session_id) == last
        assert store.get_branches(session_id) == []
        store.append(session_id, say("ours again"))
        assert store.check().ok
    assert Original(root).sessions[session_id]["messageCount"] == longer + 1


def test_a_new_log_is_told_from_the_old_though_a_line_ends_where_the_old_did(root: Path) -> None:
    original = Original(root)
    session_id = original.resolve("k")
    for _ in range(4):
        original.append(session_id, None, "x" * 50_000)  # beyond what is read at opening
    with ours(root) as store:
        metadata = store.get_metadata(session_id)
        assert metadata is not None and metadata.log is not None
        assert metadata.message_count == 4
        old = metadata.log.size
    original = Original(root)
    original.reset_session(session_id)
    log = root / session_id / LOG
    original.append(session_id, None, "one")
    original.append(session_id, None, "x" * (old - 2 * log.stat().st_size + len("one")))
    assert log.stat().st_size == old
    original.append(session_id, None, "three" * 50_000)

    with ours(root) as store:
        metadata = store.get_metadata(session_id)

        assert metadata is not None and metadata.message_count == 3


def test_a_reset_is_counted_before_anybody_asks_for_the_count(root: Path, end: End) -> None:
    [session_id] = start(root, end, "k")
    original = Original(root)
    original.reset_session(session_id)
    last = None
    for n in range(7):
        last = original.append(session_id, last, f"theirs {n}" * 30)

    with ours(root) as store:
        store.append(session_id, say("ours again"))

    with ours(root) as store:
        [listed] = [s for s in store.list_sessions().sessions if s.session_id == session_id]
        assert listed.message_count == 8


@pytest.mark.parametrize("then", ["at once", "after our turn", "after damage", "after two turns"])
def test_a_session_it_deleted_stays_deleted(root: Path, end: End, then: str) -> None:
    gone, kept = start(root, end, "gone", "kept")
    with ours(root) as store:
        store.add_key("also gone", gone)
    Original(root).delete_session(gone)
    assert (root / gone).is_dir() and not list((root / gone).iterdir())

    if then != "at once":
        touch(root)
    if then == "after two turns":
        touch(root)
    if then in ("after damage", "after two turns"):
        damage_the_index(root)
    if then == "after damage":
        with ours(root) as store:
            store.check(repair_index=True)
        damage_the_index(root)

    with ours(root) as store:
        assert not store.has_session(gone)
        assert gone not in store.get_all_session_ids()
        assert gone not in [s.session_id for s in store.list_sessions().sessions]
        assert store.get_session_id("gone") is store.get_session_id("also gone") is None
        with pytest.raises(SessionNotFoundError):
            store.append(gone, say("too late"))
        with pytest.raises(SessionNotFoundError):
            store.get_messages(gone)
        assert store.get_session_id("kept") == kept
        assert contents(store, kept) == OURS
        assert store.resolve("gone") not in (gone, None)
        assert "empty_folder" in findings(store)


def test_a_session_it_deleted_whose_folder_we_never_made_stays_deleted(
    root: Path, end: End
) -> None:
    store = ours(root)
    store.append(store.resolve("other"), say("x"))
    gone = store.resolve("gone")
    end(store)
    assert not (root / gone).exists()
    Original(root).delete_session(gone)

    touch(root)
    damage_the_index(root)

    with ours(root) as store:
        assert not store.has_session(gone)
        assert store.resolve("gone") != gone
        assert store.check().ok


def test_an_empty_folder_without_a_record_is_no_session(root: Path) -> None:
    original = Original(root)
    gone, kept = original.resolve("gone"), original.resolve("kept")
    original.append(gone, None, "x")
    original.append(kept, None, "y")
    original.delete_session(gone)
    (root / INDEX).unlink()

    with ours(root) as store:
        assert store.get_all_session_ids() == [kept]
        assert contents(store, kept) == ["y"]
        store.check(repair_index=True)
        assert store.get_all_session_ids() == [kept]


def test_what_we_deleted_it_no_longer_has_and_does_not_bring_back(root: Path, end: End) -> None:
    store = ours(root)
    store.append(store.resolve("other"), say("x"))
    gone = store.resolve("gone")
    store.append(gone, say("y"))
    store.delete_session(gone)
    end(store)

    original = Original(root)

    assert gone not in original.sessions and "gone" not in original.keys
    original.append(original.resolve("new"), None, "z")
    with ours(root) as store:
        assert not store.has_session(gone)
        assert store.has_key("new")


def test_its_keys_are_ours_the_new_the_moved_and_the_removed(root: Path, end: End) -> None:
    a, b = start(root, end, "a", "b")
    with ours(root) as store:
        store.add_key("moved", a)
        store.add_key("removed", a)
    original = Original(root)
    original.add_key("новый \u2028 ключ", a)
    original.add_key("moved", b)
    original.remove_key("removed")
    new = original.resolve("theirs")

    for turn in range(3):
        with ours(root) as store:
            assert store.get_session_id("новый \u2028 ключ") == a
            assert store.get_session_id("moved") == b
            assert not store.has_key("removed")
            assert store.get_session_id("theirs") == new
            assert sorted(store.get_session_keys(a)) == ["a", "новый \u2028 ключ"]
            assert sorted(store.get_session_keys(b)) == ["b", "moved"]
        if turn == 0:
            touch(root)
        if turn == 1:
            damage_the_index(root)


def test_sessions_that_it_made_of_what_it_was_given_are_ours_to_use(root: Path, end: End) -> None:
    start(root, end, "k")
    names = ["web user Ünï", "telegram:1:2", "Ж", ".hidden", "a b\tc", "x" * 255]
    original = Original(root)
    for name in names:
        original.append(name, None, f"hello {name}")

    for turn in range(2):
        with ours(root) as store:
            for name in names:
                metadata = store.get_metadata_by_key(name)
                assert metadata is not None
                assert (metadata.session_id, metadata.user_id) == (name, "web-user")
                assert metadata.message_count == 1 + turn
                store.append(name, say("and hello"))
                assert contents(store, name) == [f"hello {name}"] + ["and hello"] * (turn + 1)
            assert store.check().ok
            assert not findings(store) & {"unsafe_id", "lost_session", "foreign_folder"}
    after = Original(root)
    for name in names:
        assert [m["content"] for m in after.messages(name)][1:] == ["and hello"] * 2
        assert after.sessions[name]["messageCount"] == 3


def test_its_edits_of_the_metadata_are_kept_by_our_later_ones(root: Path, end: End) -> None:
    [session_id] = start(root, end, "k")
    with ours(root) as store:
        store.update_metadata(session_id, {"user_id": "ours", "metadata": {"by": "us"}})
    original = Original(root)
    original.update_metadata(
        session_id, userId="theirs", modelOverrides={"model": "m"}, plugin={"n": 1.5}
    )

    for turn in range(3):
        with ours(root) as store:
            metadata = store.get_metadata(session_id)
            assert metadata is not None
            assert metadata.user_id == "theirs"
            assert metadata.model_overrides == {"model": "m"}
            assert metadata.metadata == {"by": "us"}
            if turn == 0:
                updated = metadata.updated_at
                assert updated == original.sessions[session_id]["updatedAt"]
            store.update_metadata(session_id, {"token_estimate": turn})
    after = Original(root).sessions[session_id]
    assert after["plugin"] == {"n": 1.5}
    assert after["tokenEstimate"] == 2


def test_what_only_our_journal_knew_joins_what_it_did_meanwhile(root: Path) -> None:
    store = ours(root)
    early = store.resolve("early")
    store.append(early, say("x"))
    store.flush(snapshot=True)
    late = store.resolve("late")
    store.append(late, say("y"))
    store.add_key("early too", early)
    store.append(early, say("z"))
    crash(store)
    original = Original(root)
    assert late not in original.sessions
    theirs = original.resolve("theirs")
    last = original.messages(early)[-1]["id"]
    original.append(early, last, "theirs")
    original.update_metadata(early, userId="theirs")

    for _ in range(2):
        with ours(root) as store:
            assert store.get_session_id("late") == late
            assert contents(store, late) == ["y"]
            assert store.get_session_id("early too") == early
            assert store.get_session_id("theirs") == theirs
            assert contents(store, early) == ["x", "z", "theirs"]
            metadata = store.get_metadata(early)
            assert metadata is not None
            assert (metadata.user_id, metadata.message_count) == ("theirs", 3)
            assert store.check().ok


def test_it_deletes_what_our_journal_still_talks_about(root: Path) -> None:
    store = ours(root)
    gone = store.resolve("gone")
    store.append(store.resolve("kept"), say("x"))
    store.append(gone, say("x"))
    store.flush(snapshot=True)
    store.update_metadata(gone, {"user_id": "u"})
    store.add_key("gone too", gone)
    store.append(gone, say("y"))
    crash(store)
    Original(root).delete_session(gone)

    for _ in range(2):
        with ours(root) as store:
            assert not store.has_session(gone)
            assert sorted(store.get_all_keys()) == ["kept"]
            assert store.check().ok
        touch(root)
        damage_the_index(root)
        with ours(root) as store:
            store.remove_key("touched")


async def test_the_async_face_understands_a_turn_as_well(root: Path, end: End) -> None:
    gone, kept = start(root, end, "gone", "kept")
    original = Original(root)
    original.delete_session(gone)
    original.reset_session(kept)
    original.append(kept, None, "theirs")

    async with AsyncStore.open(root, durability="os") as store:
        assert not await store.has_session(gone)
        assert [m.content for m in await store.get_messages(kept)] == ["theirs"]
        metadata = await store.get_metadata(kept)
        assert metadata is not None and metadata.message_count == 1
        assert (await store.check()).ok


def test_the_snapshot_we_write_is_whole_for_it_after_each_of_our_turns(
    root: Path, end: End
) -> None:
    [session_id] = start(root, end, "k")
    text = (root / INDEX).read_text("utf-8")
    parsed = json.loads(text)

    assert parsed["keys"]["k"] == session_id
    assert parsed["sessions"][session_id]["messageCount"] == 3
    original = Original(root)
    original.save()
    assert json.loads((root / INDEX).read_text("utf-8")) == parsed
    with ours(root) as store:
        assert contents(store, session_id) == OURS
        assert store.check().ok
    assert (root / session_id / LOG).exists() and not (root / session_id / BRANCHES).exists()


@pytest.fixture
def lagging(root: Path) -> tuple[str, str]:
    """Two sessions, and a journal that has said more than the original could see."""
    store = ours(root)
    one, two = store.resolve("one"), store.resolve("two")
    store.append(one, say("x"))
    store.flush(snapshot=True)
    store.add_key("new", one)
    store.add_key("two", one)
    store.update_metadata(one, {"user_id": "ours"})
    crash(store)
    return one, two


def test_a_key_it_made_after_our_crash_is_not_moved_by_our_older_journal(
    root: Path, lagging: tuple[str, str]
) -> None:
    theirs = Original(root).resolve("new")

    with ours(root) as store:
        assert store.get_session_id("new") == theirs


def test_an_edit_it_made_after_our_crash_is_not_undone_by_our_older_journal(
    root: Path, lagging: tuple[str, str]
) -> None:
    Original(root).update_metadata(lagging[0], userId="theirs")

    with ours(root) as store:
        metadata = store.get_metadata(lagging[0])
        assert metadata is not None and metadata.user_id == "theirs"
