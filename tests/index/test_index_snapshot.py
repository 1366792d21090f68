"""Snapshots: turns of the original, damage of every kind, and what is made of the rest."""

import json
from collections.abc import Callable
from typing import Any, TypeVar, TypeVarTuple

import pytest
from index_kit import (
    SNAPSHOT,
    by_the_original,
    closed,
    codes,
    filled,
    memory,
    meta,
    names,
    opened,
    recount,
    snapshot,
    state_of,
    text,
)

from session_store.errors import CorruptionError, StorageFullError, UnavailableError
from session_store.files import InMemoryFileSystem
from session_store.index import JournalIndex, loading, rotation
from session_store.index.core import Core
from session_store.index.records import JournalRecord
from session_store.index.snapshot import decode_snapshot
from session_store.model.records import LogMark, SessionMetadata
from session_store.runtime import BlockingRuntime, run

T = TypeVar("T")
Ts = TypeVarTuple("Ts")

BOTH: tuple[dict[str, str | None], set[str]] = ({"k0": "s0", "k1": "s1"}, {"s0", "s1"})


def foreign_store(files: InMemoryFileSystem) -> None:
    """Write what the original writes, which has never heard of a journal."""
    record = {"sessionId": "a", "createdAt": 1, "updatedAt": 2, "messageCount": 3}
    index = {"keys": {"ka": "a"}, "sessions": {"a": record}}
    run(files.write(SNAPSHOT, json.dumps(index, indent=2).encode()))
    run(files.write("a/messages.jsonl", b"{}\n"))


def test_a_store_of_the_original_opens_and_is_not_written_to_by_reading() -> None:
    files = memory()
    foreign_store(files)
    before = text(files, SNAPSHOT)

    index = opened(files)
    found = run(index.metadata("a"))
    reported = codes(index)
    run(index.close())

    assert found == meta("a", 1, 2, message_count=3)
    assert reported == set()
    assert text(files, SNAPSHOT) == before
    assert names(files) == ["a/", SNAPSHOT]


def test_the_first_change_of_a_store_of_the_original_keeps_its_snapshot_as_the_previous() -> None:
    files = memory()
    foreign_store(files)
    before = text(files, SNAPSHOT)
    index, other = opened(files), opened(files)

    run(index.register("b", "kb", meta("b")))

    assert text(files, "sessions.json.prev") == before
    assert state_of(other) == ({"ka": "a", "kb": "b"}, {"a", "b"})
    run(other.delete("a"))
    assert state_of(opened(files)) == ({"kb": "b"}, {"b"})


def test_what_the_original_changed_between_two_runs_counts() -> None:
    files = memory()
    filled(files, 4)
    closed(files)

    def change(index: Any) -> None:
        del index["sessions"]["s0"], index["keys"]["k0"]
        index["keys"]["new"] = "n"
        index["keys"]["alias"] = "s1"
        del index["keys"]["k2"]
        index["sessions"]["n"] = {"sessionId": "n", "createdAt": 7, "updatedAt": 7}
        index["sessions"]["s1"].update(userId="u", messageCount=0)

    by_the_original(files, change)
    index = opened(files)

    keys = {"k1": "s1", "alias": "s1", "new": "n", "k3": "s3"}
    assert state_of(index) == (keys, {"s1", "s2", "s3", "n"})
    assert run(index.metadata("s1")) == meta("s1", 1, user_id="u")
    assert codes(index) == set()


def test_a_delete_of_the_original_is_not_undone_by_a_later_rebuild() -> None:
    files = memory()
    filled(files)
    closed(files)

    def forget(index: Any) -> None:
        del index["sessions"]["s0"], index["keys"]["k0"]

    by_the_original(files, forget)
    run(files.mkdir("s0"))
    run(opened(files).register("s7", None, meta("s7")))
    run(files.write(SNAPSHOT, b""))

    assert state_of(opened(files)) == ({"k1": "s1"}, {"s1", "s7"})


def test_lines_that_the_snapshot_has_not_read_count_on_top_of_the_originals_changes() -> None:
    files = memory()
    filled(files)
    closed(files)
    run(opened(files).register("late", "kl", meta("late")))

    by_the_original(files, lambda index: index["keys"].update(mine="s0"))

    assert state_of(opened(files)) == (
        {**BOTH[0], "mine": "s0", "kl": "late"},
        {"s0", "s1", "late"},
    )


def test_unknown_parts_of_the_snapshot_survive() -> None:
    files = memory()
    filled(files)
    closed(files)
    by_the_original(files, lambda index: index.update(theme={"dark": True}))

    index = opened(files)
    run(index.register("s7", None, meta("s7")))
    run(index.flush(snapshot=True))

    assert snapshot(files)["theme"] == {"dark": True}
    assert text(files, SNAPSHOT).count("\n") == 1


def test_the_original_and_ours_take_many_turns() -> None:
    files = memory()
    keys: dict[str, str] = {}

    for turn in range(12):
        closing = opened(files)
        run(closing.register(f"o{turn}", f"ours{turn}", meta(f"o{turn}")))
        run(closing.close())
        record = {"sessionId": f"t{turn}", "createdAt": 1, "updatedAt": 1, "messageCount": 0}

        def change(index: Any, turn: int = turn, record: Any = record) -> None:
            index["keys"][f"theirs{turn}"] = f"t{turn}"
            index["sessions"][f"t{turn}"] = record

        by_the_original(files, change)
        keys |= {f"ours{turn}": f"o{turn}", f"theirs{turn}": f"t{turn}"}

    assert state_of(opened(files)) == (keys, set(keys.values()))
    # Every turn rotates: old journals do not pile up.
    assert len([name for name in names(files) if name.endswith(".jsonl")]) <= 3


@pytest.mark.parametrize(
    "damaged",
    [b"", b"\0" * 300, b"null", b"[]", b"{}", b'{"keys":{}}', b'{"keys":[],"sessions":{}}', b"{"],
)
def test_a_snapshot_that_is_none_is_kept_aside_and_made_anew(damaged: bytes) -> None:
    files = memory()
    run(filled(files).close())
    run(files.write(SNAPSHOT, damaged))

    index = opened(files)

    assert state_of(index) == BOTH
    assert codes(index) == {"snapshot_rebuilt"}
    aside = [name for name in names(files) if ".damaged-" in name]
    assert [run(files.read(name)) for name in aside] == [damaged]
    assert state_of(opened(files)) == BOTH
    assert codes(opened(files)) == set()


def test_an_opening_that_breaks_off_is_begun_anew(monkeypatch: pytest.MonkeyPatch) -> None:
    files, asked = memory(), 0
    filled(files, 1)
    journal = run(files.read("sessions.1.jsonl"))
    run(files.write("sessions.1.jsonl", journal.replace(b'"register"', b'"regiXter"')))

    async def discover(core: Core, folders: list[str]) -> list[JournalRecord]:
        nonlocal asked
        asked += 1
        if asked == 1:
            raise UnavailableError("", "not now")
        return []

    monkeypatch.setattr(loading, "discover", discover)
    index = JournalIndex(files, BlockingRuntime(), commit=files.sync, recount=recount)
    with pytest.raises(UnavailableError):
        run(index.load())

    run(index.all_ids())

    assert asked == 2


class Slow(BlockingRuntime):
    """Every look at the clock is later than any time-out."""

    now = 0.0

    def monotonic(self) -> float:
        self.now += 1000
        return self.now

    async def sleep(self, seconds: float) -> None:
        pass


def test_an_index_that_takes_longer_to_make_anew_than_calls_may_wait_is_made_anew() -> None:
    files = memory()
    filled(files)
    closed(files)
    run(files.write(SNAPSHOT, b"{"))

    index = JournalIndex(files, Slow(), commit=files.sync, recount=recount, io_timeout_ms=1)
    run(index.load())

    assert state_of(index) == BOTH


def test_a_snapshot_cut_at_any_byte_loses_nothing() -> None:
    files = memory()
    run(filled(files).close())
    whole = run(files.read(SNAPSHOT))

    for cut in range(len(whole)):
        run(files.write(SNAPSHOT, whole[:cut]))
        index = opened(files)
        assert state_of(index) == BOTH, cut
        run(index.register("s0", "k0", meta("s0")))


def test_any_flipped_byte_of_a_snapshot_loses_nothing() -> None:
    files = memory()
    run(filled(files).close())
    whole = bytearray(run(files.read(SNAPSHOT)))

    for place in range(len(whole)):
        flipped = bytearray(whole)
        flipped[place] ^= 1
        run(files.write(SNAPSHOT, bytes(flipped)))
        assert state_of(opened(files)) == BOTH, place


def test_a_missing_snapshot_is_made_anew() -> None:
    files = memory()
    run(filled(files).close())
    run(files.delete(SNAPSHOT))

    index = opened(files)

    assert state_of(index) == BOTH
    assert codes(index) == {"snapshot_rebuilt"}


def test_a_journal_cut_at_any_byte_leaves_the_lines_before() -> None:
    whole_files = memory()
    filled(whole_files, 3)
    whole = run(whole_files.read("sessions.1.jsonl"))
    header = whole.index(b"\n") + 1
    empty = run(whole_files.read(SNAPSHOT))

    for cut in range(len(whole)):
        files = memory()
        run(files.write(SNAPSHOT, empty))
        run(files.write("sessions.1.jsonl", whole[:cut]))
        index = opened(files)
        left = {f"s{n}" for n in range(max(0, whole[header:cut].count(b"\n")))}
        assert set(run(index.all_ids())) == left, cut
        assert ("journal_short" in codes(index)) == (cut < header)
        run(index.register("new", "kn", meta("new")))
        assert set(run(opened(files).all_ids())) == {*left, "new"}, cut


@pytest.mark.parametrize("cut", [0, 50, 400])
def test_a_journal_shorter_than_the_snapshot_says_is_left_as_it_is(cut: int) -> None:
    files = memory()
    run(filled(files, 4).close())
    short = run(files.read("sessions.1.jsonl"))[:cut]
    run(files.write("sessions.1.jsonl", short))
    index, other = opened(files), opened(files)

    assert codes(index) == {"journal_short"}
    run(index.register("new", "kn", meta("new")))
    run(other.register("newer", "kr", meta("newer")))

    assert run(files.read("sessions.1.jsonl")) == short
    for reader in (index, other, opened(files)):
        assert len(run(reader.all_ids())) == 6
    run(files.write(SNAPSHOT, b"broken"))
    assert len(run(opened(files).all_ids())) == 6


def test_a_lost_journal_is_reported_and_what_the_snapshot_holds_stays() -> None:
    files = memory()
    run(filled(files).close())
    run(files.delete("sessions.1.jsonl"))

    index = opened(files)

    assert state_of(index) == BOTH
    assert codes(index) == {"journal_missing"}
    run(index.register("new", "kn", meta("new")))
    assert state_of(opened(files)) == ({**BOTH[0], "kn": "new"}, {"s0", "s1", "new"})


def test_a_process_notices_that_its_journal_vanished() -> None:
    files = memory()
    index = filled(files)
    run(index.flush(snapshot=True))
    other = opened(files)
    run(files.delete("sessions.1.jsonl"))

    run(index.register("s7", "k7", meta("s7")))
    run(other.register("s8", "k8", meta("s8")))

    assert run(index.resolve_key("k8")) == "s8"
    assert run(other.resolve_key("k7")) == "s7"


def test_folders_with_messages_become_sessions_when_everything_else_is_lost() -> None:
    files = memory()
    run(files.write("one/messages.jsonl", b"{}\n"))
    run(files.write("two/messages.jsonl", b"{}\n"))
    run(files.write("old/messages.jsonl", b"{}\n"))
    run(files.write("empty/messages.jsonl", b""))
    run(files.mkdir("left"))
    mark = LogMark(size=3, messages=1, last_id="m")

    async def tell(session_id: str) -> SessionMetadata | None:
        created = {"one": 1, "two": 2, "old": 0}[session_id]
        return meta(session_id, created, message_count=1, log=mark, metadata={"key": "k"})

    index = opened(files, recount=tell)

    assert state_of(index) == ({"k": "two"}, {"one", "two", "old"})
    assert run(index.metadata("two")) == meta("two", 2, message_count=1, log=mark)
    assert codes(index) == {"snapshot_rebuilt", "session_found"}
    assert state_of(opened(files)) == ({"k": "two"}, {"one", "two", "old"})


def test_a_key_on_a_log_does_not_win_over_a_record() -> None:
    files = memory()
    run(filled(files).close())
    run(files.write("lost/messages.jsonl", b"{}\n"))
    run(files.write(SNAPSHOT, b""))

    async def tell(session_id: str) -> SessionMetadata | None:
        return meta(session_id, 9, metadata={"key": "k0"})

    index = opened(files, recount=tell)

    assert state_of(index) == (BOTH[0], {"s0", "s1", "lost"})


def test_a_session_whose_folder_is_not_there_yet_stays() -> None:
    files = memory()
    run(filled(files).close())
    run(files.write(SNAPSHOT, b""))

    assert state_of(opened(files)) == BOTH


def test_a_deleted_session_whose_folder_was_left_is_not_found_again() -> None:
    files = memory()
    index = filled(files)
    run(files.write("s0/messages.jsonl", b"{}\n"))
    run(index.delete("s0"))
    run(index.close())
    run(files.write(SNAPSHOT, b""))

    assert state_of(opened(files)) == ({"k1": "s1"}, {"s1"})


def test_a_folder_that_cannot_be_read_does_not_stop_the_others() -> None:
    files = memory()
    run(files.write("bad/messages.jsonl", b"{}\n"))
    run(files.write("good/messages.jsonl", b"{}\n"))

    async def tell(session_id: str) -> SessionMetadata | None:
        if session_id == "bad":
            raise StorageFullError("bad", "no")
        return await recount(session_id)

    index = opened(files, recount=tell)

    assert run(index.all_ids()) == ["good"]
    assert "unreadable" in codes(index)


def test_a_repair_takes_in_what_the_index_lost_and_nothing_that_was_deleted() -> None:
    files = memory()
    index = filled(files)
    for folder in ("s1", "lost", "gone"):
        run(files.write(f"{folder}/messages.jsonl", b"{}\n"))
    run(index.register("gone", None, meta("gone")))
    run(index.delete("gone"))
    run(index.flush(snapshot=True))
    other = opened(files)

    run(opened(files).rebuild())

    assert set(run(other.all_ids())) == {"s0", "s1", "lost"}


def test_an_index_that_cannot_be_written_is_made_in_memory_to_be_read() -> None:
    files = Full()
    run(filled(files).close())
    run(files.write("lost/messages.jsonl", b"{}\n"))
    run(files.write(SNAPSHOT, b"broken"))
    files.full = True

    index = opened(files)

    assert state_of(index) == (BOTH[0], {"s0", "s1", "lost"})
    assert "snapshot_unwritten" in codes(index)
    with pytest.raises(StorageFullError):
        run(index.register("s7", "k7", meta("s7")))
    files.full = False
    run(index.register("s7", "k7", meta("s7")))
    assert set(run(opened(files).all_ids())) == {"s0", "s1", "lost", "s7"}


def test_unsafe_ids_and_dangling_keys_are_reported_and_kept() -> None:
    files = memory()
    run(filled(files).close())

    def change(index: Any) -> None:
        index["sessions"]["web user/Ünï"] = {"sessionId": "web user/Ünï", "createdAt": 1}
        index["keys"]["web"] = "web user/Ünï"
        index["keys"]["nowhere"] = "nobody"

    by_the_original(files, change)
    index = opened(files)

    assert codes(index) == {"unsafe_id", "dangling_key"}
    assert run(index.resolve_key("nowhere")) is None
    run(index.register("n", "nowhere", meta("n")))
    assert run(index.resolve_key("nowhere")) == "n"
    run(index.flush(snapshot=True))
    assert "web user/Ünï" in snapshot(files)["sessions"]


def test_lone_surrogates_in_a_snapshot_of_the_original_are_read_and_kept() -> None:
    files = memory()
    foreign_store(files)
    raw = text(files, SNAPSHOT).replace('"messageCount": 3', '"userId": "\\ud800"')
    run(files.write(SNAPSHOT, raw.encode()))

    index = opened(files)
    found = run(index.metadata("a"))
    run(index.register("b", None, meta("b")))

    assert found is not None
    assert found.user_id == "\ufffd"
    assert "\\ud800" in text(files, SNAPSHOT)
    assert run(opened(files).metadata("a")) == found


MARKS = ["null", '"x"', '{"epoch":"1","size":0}', '{"epoch":-1,"size":0}', '{"epoch":1}']


@pytest.mark.parametrize("mark", MARKS)
def test_a_journal_mark_that_makes_no_sense_counts_as_absent(mark: str) -> None:
    found = decode_snapshot(f'{{"keys":{{"k":"a"}},"sessions":{{}},"journal":{mark}}}'.encode())

    assert (found.epoch, found.size, found.foreign) == (0, 0, True)
    assert found.state.keys == {"k": "a"}


def test_a_mark_of_a_newer_format_is_refused_whatever_else_it_says() -> None:
    with pytest.raises(CorruptionError):
        decode_snapshot(b'{"keys":{},"sessions":{},"journal":{"epoch":"x","format":2}}')


class Full(InMemoryFileSystem):
    full = False

    async def write(self, path: str, data: bytes, **options):  # type: ignore[no-untyped-def]
        if self.full:
            raise StorageFullError(path, "full")
        return await super().write(path, data, **options)

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        if self.full:
            raise StorageFullError(path, "full")
        return await super().append(path, data, if_size=if_size)


def test_a_rebuild_that_was_interrupted_is_begun_anew() -> None:
    files = memory()
    run(filled(files).close())
    run(files.write("lost/messages.jsonl", b"{}\n"))
    run(files.write(SNAPSHOT, b"broken"))
    failing = [False, True]

    async def tell(session_id: str) -> SessionMetadata | None:
        if failing.pop():
            raise KeyboardInterrupt
        return meta(session_id)

    index = JournalIndex(files, BlockingRuntime(), commit=files.sync, recount=tell)

    with pytest.raises(KeyboardInterrupt):
        run(index.load())

    assert state_of(index) == (BOTH[0], {"s0", "s1", "lost"})


def test_a_large_snapshot_is_coded_where_it_blocks_nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("session_store.index.rotation.INLINE_BYTES", 100)
    monkeypatch.setattr("session_store.index.loading.INLINE_BYTES", 100)
    offloaded: list[str] = []

    class Offloading(BlockingRuntime):
        async def offload(self, call: Callable[[*Ts], T], *args: *Ts) -> T:
            offloaded.append(call.__name__)
            return call(*args)

    files = memory()
    run(filled(files).close())
    index = JournalIndex(files, Offloading(), commit=files.sync, recount=recount)
    run(index.register("s9", None, meta("s9")))

    run(index.close())

    assert offloaded == ["decode_snapshot", "sort", "encode_snapshot"]


def test_a_snapshot_on_close_does_not_rotate() -> None:
    files = memory()
    run(filled(files).close())
    index = opened(files)
    run(index.register("s9", None, meta("s9")))

    run(index.close())

    assert [name for name in names(files) if name.endswith(".jsonl")] == ["sessions.1.jsonl"]
    assert set(snapshot(files)["sessions"]) == {"s0", "s1", "s9"}


def test_the_previous_snapshot_may_be_damaged_too() -> None:
    files = memory()
    run(filled(files).close())
    by_the_original(files, lambda index: index["keys"].update(more="s0"))
    run(opened(files).register("s9", "k9", meta("s9")))
    run(files.write(SNAPSHOT, b"broken"))
    run(files.write("sessions.json.prev", b"broken"))

    index = opened(files)

    assert state_of(index) == ({**BOTH[0], "k9": "s9"}, {"s0", "s1", "s9"})
    assert codes(index) == {"snapshot_rebuilt", "previous_damaged"}


def test_a_late_opener_cannot_undo_a_rebuild() -> None:
    files = memory()
    run(filled(files).close())
    run(files.write("lost/messages.jsonl", b"{}\n"))
    run(files.write(SNAPSHOT, b"broken"))
    waited: list[str] = []

    async def tell_late(session_id: str) -> SessionMetadata | None:
        if not waited:
            waited.append(session_id)
            fast = opened(files)
            await fast.register("s9", "k9", meta("s9"))
            await fast.delete("s0")
            await fast.flush(snapshot=True)
        return meta(session_id)

    late = opened(files, recount=tell_late)

    expected = ({"k1": "s1", "k9": "s9"}, {"s1", "lost", "s9"})
    assert waited
    assert state_of(late) == expected
    assert state_of(opened(files)) == expected


def test_a_delete_is_known_behind_the_snapshot_that_has_it() -> None:
    """Its folder may still be there: who takes it for a lost session brings it back."""
    files = memory()
    index = filled(files)
    run(files.write("s0/messages.jsonl", b"{}\n"))
    run(index.delete("s0"))
    run(index.close())

    fresh = opened(files)

    assert run(fresh.is_deleted("s0"))
    assert not run(fresh.is_deleted("s1"))
    assert not run(fresh.is_deleted("never"))


def test_a_first_rotation_that_was_cut_off_needs_no_previous_snapshot(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    files = memory()
    index = filled(files)
    run(index.flush(snapshot=True))
    with monkeypatch.context() as patched:
        patched.setattr(rotation, "ROTATE_BYTES", 1)
        patched.setattr(rotation, "_publish", _die)
        with pytest.raises(ZeroDivisionError):
            run(index.register("s8", "k8", meta("s8")))
    after = opened(files)
    run(after.register("s9", "k9", meta("s9")))
    run(after.flush(snapshot=True))

    found = codes(opened(files))
    run(files.delete(SNAPSHOT))

    assert "sessions.2.jsonl" in names(files)
    assert "sessions.json.prev" not in names(files)
    assert found == set()
    assert state_of(opened(files))[0] == {"k0": "s0", "k1": "s1", "k9": "s9"}


async def _die(*_: object) -> None:
    raise ZeroDivisionError
