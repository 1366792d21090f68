"""What the index answers, alone and beside others."""

import json

import pytest
from index_kit import (
    Synced,
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
    text,
)

from session_store.errors import (
    ClosedError,
    ConflictError,
    CorruptionError,
    InvalidIdError,
    SessionNotFoundError,
    StorageFullError,
    UnavailableError,
)
from session_store.files import FileStats, InMemoryFileSystem
from session_store.index import JournalIndex, core
from session_store.index.records import JournalRecord, encode
from session_store.jsonl.lines import close_line
from session_store.model.records import LogMark
from session_store.runtime import BlockingRuntime, run


def test_a_fresh_root_gets_a_journal_and_an_empty_snapshot() -> None:
    files = memory()

    index = opened(files)

    assert names(files) == ["sessions.1.jsonl", "sessions.json"]
    assert run(index.all_ids()) == []
    assert codes(index) == set()


def test_what_is_registered_is_found_by_its_key_and_by_others() -> None:
    files = memory()
    other = opened(files)

    session_id = run(filled(files).register("s9", "k9", meta("s9", 9, user_id="u")))

    assert session_id == "s9"
    assert run(other.resolve_key("k9")) == "s9"
    assert run(other.has("s9"))
    assert run(other.metadata("s9")) == meta("s9", 9, user_id="u")
    assert run(other.keys_of("s9")) == ["k9"]
    assert set(run(other.all_keys())) == {"k0", "k1", "k9"}
    assert set(run(opened(files).all_ids())) == {"s0", "s1", "s9"}


def test_a_key_that_is_taken_gives_the_session_that_has_it() -> None:
    files = memory()
    one, other = opened(files), opened(files)

    run(one.register("s1", "k", meta("s1")))

    assert run(other.register("s2", "k", meta("s2"))) == "s1"
    assert not run(one.has("s2"))


def test_a_session_without_a_key_and_a_second_key() -> None:
    files = memory()
    index = filled(files)

    run(index.register("s7", None, meta("s7")))
    run(index.register("s7", "k7", meta("s7", 70)))
    run(index.add_key("k7b", "s7"))

    assert run(opened(files).keys_of("s7")) == ["k7", "k7b"]
    assert run(index.metadata("s7")) == meta("s7")


def test_a_key_that_points_elsewhere_is_moved() -> None:
    files = memory()
    index = filled(files)

    run(index.add_key("k0", "s1"))

    for reader in (index, opened(files)):
        assert run(reader.resolve_key("k0")) == "s1"
        assert run(reader.keys_of("s0")) == []
        assert sorted(run(reader.keys_of("s1"))) == ["k0", "k1"]


def test_a_key_of_an_unknown_session_is_refused() -> None:
    index = filled(memory())

    with pytest.raises(SessionNotFoundError):
        run(index.add_key("k", "nobody"))


def test_a_key_that_is_removed_is_gone_and_its_session_stays() -> None:
    files = memory()
    index = filled(files)

    assert run(index.remove_key("k0"))
    assert not run(index.remove_key("k0"))

    assert run(opened(files).resolve_key("k0")) is None
    assert run(opened(files).has("s0"))


def test_a_deleted_session_takes_its_keys_along_and_never_comes_back() -> None:
    files = memory()
    index, other = filled(files), opened(files)
    run(other.add_key("more", "s0"))

    assert run(index.delete("s0"))
    assert not run(index.delete("s0"))

    for reader in (index, other, opened(files)):
        assert not run(reader.has("s0"))
        assert run(reader.is_deleted("s0"))
        assert run(reader.all_keys()) == ["k1"]
        assert run(reader.keys_of("s0")) == []
        assert run(reader.metadata("s0")) is None
    with pytest.raises(InvalidIdError):
        run(other.register("s0", "again", meta("s0")))


@pytest.mark.parametrize("session_id", ["", ".", "..", "a/b", "a\0b", "sessions.json", "x" * 256])
def test_an_id_that_is_no_folders_name_is_refused(session_id: str) -> None:
    files = memory()
    index = opened(files)
    before = text(files, "sessions.1.jsonl")

    with pytest.raises(InvalidIdError):
        run(index.register(session_id, "k", meta(session_id)))

    assert text(files, "sessions.1.jsonl") == before


def test_an_update_replaces_the_given_fields_and_keeps_the_others() -> None:
    files = memory()
    index, other = filled(files), opened(files)

    run(index.update("s0", {"userId": "u1", "metadata": {"a": 1}}))
    after = run(other.update("s0", {"metadata": {"b": 2}, "userId": None}))

    assert after == meta("s0", 0, metadata={"b": 2})
    assert run(index.metadata("s0")) == after
    with pytest.raises(SessionNotFoundError):
        run(index.update("nobody", {"userId": "u"}))


def test_fields_of_a_newer_version_survive_an_update_and_a_snapshot() -> None:
    files = memory()
    filled(files)
    closed(files)
    by_the_original(files, lambda index: index["sessions"]["s0"].update(color="red", createdAt="x"))

    index = opened(files)
    run(index.update("s0", {"userId": "u"}))
    run(index.flush(snapshot=True))

    assert snapshot(files)["sessions"]["s0"]["color"] == "red"
    found = run(index.metadata("s0"))
    assert found is not None
    assert str(found.created_at) == "x"
    assert found.user_id == "u"


def test_an_update_of_a_deleted_session_creates_nothing() -> None:
    files = memory()
    index = filled(files)
    run(index.delete("s0"))

    late = JournalRecord(op="update", session_id="s0", changes={"userId": "u"})
    run(files.append("sessions.1.jsonl", encode(late)))

    assert run(index.all_ids()) == ["s1"]
    assert run(opened(files).all_ids()) == ["s1"]


def test_everything_is_refused_after_close() -> None:
    index = filled(memory())
    run(index.close())

    run(index.close())

    with pytest.raises(ClosedError):
        run(index.has("s0"))
    with pytest.raises(ClosedError):
        run(index.note_append("s0", 1, None))


def test_nothing_is_asked_but_one_stat_when_nothing_changed() -> None:
    files = Counting()
    index = filled(files)
    run(index.flush())
    files.calls.clear()

    run(index.resolve_key("k0"))

    assert files.calls == ["stat sessions.1.jsonl"]


def test_opening_a_healthy_index_writes_nothing() -> None:
    files = Counting()
    filled(files)
    run(opened(files).delete("s0"))
    files.calls.clear()

    index = opened(files)
    run(index.all_ids())
    run(index.findings())
    run(index.close())

    assert {call.split()[0] for call in files.calls} <= {"stat", "read", "sync"}


def test_who_answers_from_bytes_of_others_makes_them_durable_first_and_once() -> None:
    files = memory()
    reader = opened(files)
    synced = Synced(files)
    opener = opened(files, commit=synced)
    writer = opened(files, commit=_nothing)
    run(writer.register("s1", "k1", meta("s1")))

    assert run(opener.resolve_key("k1")) == "s1"
    assert synced.paths == ["sessions.1.jsonl"]
    run(opener.resolve_key("k1"))
    assert synced.paths == ["sessions.1.jsonl"]

    late = Synced(files)
    opened(files, commit=late)
    assert late.paths == ["sessions.1.jsonl"]
    assert run(reader.has("s1"))


def test_what_could_not_be_made_durable_is_not_answered_from() -> None:
    files = memory()
    index = opened(files, commit=_refuse)

    with pytest.raises(UnavailableError):
        run(index.register("s1", "k1", meta("s1")))
    with pytest.raises(UnavailableError):
        run(index.resolve_key("k1"))


def test_every_change_is_durable_when_it_returns() -> None:
    files = memory()
    synced = Synced(files)
    index = opened(files, commit=synced)

    for change in (
        index.register("s1", "k1", meta("s1")),
        index.add_key("k2", "s1"),
        index.remove_key("k1"),
        index.update("s1", {"userId": "u"}),
        index.delete("s1"),
    ):
        synced.paths.clear()
        run(change)
        assert synced.paths == ["sessions.1.jsonl"]


def test_counts_are_gathered_and_not_synced() -> None:
    files = memory()
    synced = Synced(files)
    index = filled(files)
    run(index.close())
    index = opened(files, commit=synced, save_delay_ms=60_000)
    synced.paths.clear()

    run(index.note_append("s0", 10, LogMark(size=100, messages=1, last_id="a")))
    size = len(text(files, "sessions.1.jsonl"))
    run(index.note_append("s0", 11, LogMark(size=200, messages=2, last_id="b")))
    run(index.note_append("s1", 12, None))

    assert synced.paths == []
    assert len(text(files, "sessions.1.jsonl")) == size
    assert run(opened(files).metadata("s0")).message_count == 1  # type: ignore[union-attr]

    run(index.flush())

    found = run(opened(files).metadata("s0"))
    assert found is not None
    assert (found.message_count, found.updated_at) == (2, 11)
    assert found.log == LogMark(size=200, messages=2, last_id="b")
    assert run(opened(files).metadata("s1")).updated_at == 12  # type: ignore[union-attr]


def test_readers_do_not_sync_for_counts() -> None:
    files = memory()
    index = filled(files)
    run(index.close())
    writer = opened(files, save_delay_ms=0)
    run(writer.note_append("s0", 10, LogMark(size=100, messages=1, last_id="a")))
    synced = Synced(files)

    opened(files, commit=synced)

    assert synced.paths == []


def test_the_larger_count_and_the_later_time_win_in_whatever_order_they_come() -> None:
    files = memory()
    filled(files)
    slow, fast = opened(files, save_delay_ms=0), opened(files, save_delay_ms=0)

    run(fast.note_append("s0", 20, LogMark(size=200, messages=2, last_id="b")))
    run(slow.note_append("s0", 10, LogMark(size=100, messages=1, last_id="a")))

    for index in (slow, fast, opened(files)):
        found = run(index.metadata("s0"))
        assert found is not None
        assert (found.updated_at, found.message_count, found.log) == (
            20,
            2,
            LogMark(size=200, messages=2, last_id="b"),
        )


def test_a_recount_replaces_a_larger_count() -> None:
    files = memory()
    filled(files)
    index = opened(files, save_delay_ms=0)
    run(index.note_append("s0", 20, LogMark(size=200, messages=2, last_id="b")))

    run(index.note_count("s0", LogMark(size=50, messages=1, last_id="a")))

    found = run(opened(files).metadata("s0"))
    assert found is not None
    assert (found.message_count, found.log) == (1, LogMark(size=50, messages=1, last_id="a"))


def test_counts_that_cannot_be_written_are_kept_and_disturb_nobody() -> None:
    files = Counting()
    index = filled(files)
    index = opened(files, save_delay_ms=0)
    files.fail = StorageFullError("x", "full")

    run(index.note_append("s0", 20, LogMark(size=200, messages=2, last_id="b")))
    assert run(index.resolve_key("k0")) == "s0"
    with pytest.raises(StorageFullError):
        run(index.flush())
    files.fail = None
    run(index.flush())

    assert run(opened(files).metadata("s0")).message_count == 2  # type: ignore[union-attr]


def test_counts_of_a_session_deleted_meanwhile_are_dropped() -> None:
    files = memory()
    index = filled(files)
    late = opened(files, save_delay_ms=0)
    run(index.delete("s0"))

    run(late.note_append("s0", 20, LogMark(size=200, messages=2, last_id="b")))

    assert not run(opened(files).has("s0"))


@pytest.mark.parametrize("happened", [True, False])
def test_a_lost_answer_is_settled_by_the_same_bytes(happened: bool) -> None:
    files = Counting()
    index = filled(files)
    files.lose_next_answer, files.happened = True, happened

    assert run(index.register("s5", "k5", meta("s5"))) == "s5"

    assert text(files, "sessions.1.jsonl").count("s5") == 2
    assert run(opened(files).resolve_key("k5")) == "s5"


@pytest.mark.parametrize("happened", [True, False])
def test_a_disk_that_is_full_by_now_says_nothing_of_the_attempt_before(happened: bool) -> None:
    files = Counting()
    index = filled(files)
    files.lose_next_answer, files.happened = True, happened
    files.fail_next = StorageFullError("x", "no space left")

    if happened:
        assert run(index.register("s5", "k5", meta("s5"))) == "s5"
    else:
        with pytest.raises(UnavailableError) as caught:
            run(index.register("s5", "k5", meta("s5")))
        assert caught.value.unknown
    assert run(opened(files).has("s5")) is happened


def test_storage_that_stays_away_is_told_as_unknown() -> None:
    files = Counting()
    index = opened(files, io_timeout_ms=20)
    files.fail = UnavailableError("x", "gone", unknown=True)

    with pytest.raises(UnavailableError) as caught:
        run(index.register("s5", "k5", meta("s5")))

    assert caught.value.unknown


def test_a_change_that_landed_and_could_not_be_made_durable_is_told_as_unknown() -> None:
    files = Counting()
    index = filled(files)
    files.fail_sync = UnavailableError("x", "the disk failed")

    with pytest.raises(UnavailableError) as changed:
        run(index.register("s5", "k5", meta("s5")))
    with pytest.raises(UnavailableError) as asked:
        run(index.resolve_key("k5"))
    files.fail_sync = None

    assert changed.value.unknown
    assert not asked.value.unknown
    assert run(index.resolve_key("k5")) == "s5"


def test_endless_conflicts_end_in_unavailable() -> None:
    files = Counting()
    index = opened(files, io_timeout_ms=20)
    files.fail = ConflictError("x", expected=1, actual=2)

    with pytest.raises(UnavailableError):
        run(index.register("s5", "k5", meta("s5")))


@pytest.mark.parametrize("junk", [b"{", b'{"op":"del', b"\0" * 50, b"\xff\xfe", b"x" * 5000])
def test_a_torn_tail_is_sealed_and_nothing_is_lost(junk: bytes) -> None:
    files = memory()
    index, other = filled(files), opened(files)
    size = len(text(files, "sessions.1.jsonl"))
    run(files.append("sessions.1.jsonl", junk))

    assert run(other.resolve_key("k0")) == "s0"
    run(index.register("s8", "k8", meta("s8")))

    for reader in (index, other, opened(files)):
        assert run(reader.resolve_key("k8")) == "s8"
        assert codes(reader) == {"sealed_tail"}
        found = [f for f in run(reader.findings()) if f.code == "sealed_tail"]
        assert [(f.offset, f.length) for f in found] == [(size, len(junk) + 1)]


def test_a_sealed_line_is_no_record_even_if_it_parses() -> None:
    files = memory()
    index, other = filled(files), opened(files)
    run(files.append("sessions.1.jsonl", encode(JournalRecord(op="delete", session_id="s0"))[:-1]))

    run(index.register("s8", "k8", meta("s8")))

    for reader in (index, other, opened(files)):
        assert run(reader.has("s0"))
        assert not run(reader.is_deleted("s0"))


def test_a_line_that_is_being_sealed_is_a_record_at_no_moment() -> None:
    files = memory()
    index = filled(files)
    line = encode(JournalRecord(op="delete", session_id="s0"))
    run(files.append("sessions.1.jsonl", line[:-1]))
    run(index.refresh())
    sealing = run(files.stat("sessions.1.jsonl")).size
    run(index.register("s8", "k8", meta("s8")))
    whole = run(files.read("sessions.1.jsonl"))

    # The write that seals, seen when only a part of it was there.
    for cut in range(sealing, len(whole)):
        run(files.write("sessions.1.jsonl", whole[:cut]))
        assert run(opened(files).has("s0"))


def test_a_tail_that_was_ended_by_a_sealer_who_was_cut_off_is_no_damage() -> None:
    files = memory()
    index = filled(files)
    run(files.append("sessions.1.jsonl", b'{"op":"del~\n'))

    assert codes(index) == codes(opened(files)) == {"sealed_tail"}


def test_a_reader_that_took_a_sealed_line_for_a_record_takes_it_back() -> None:
    files = memory()
    filled(files)
    early = opened(files)
    line = encode(JournalRecord(op="delete", session_id="s0"))
    offset = run(files.stat("sessions.1.jsonl")).size
    seal = encode(JournalRecord(op="torn", offset=offset, length=len(line) - 1))

    # As it looks where a tail is ended by nothing but its LF.
    run(files.append("sessions.1.jsonl", line))
    assert not run(early.has("s0"))
    run(files.append("sessions.1.jsonl", seal))

    assert run(early.has("s0"))


def test_a_seal_that_names_other_bytes_voids_nothing() -> None:
    files = memory()
    index = filled(files)
    false = JournalRecord(op="torn", offset=5, length=17)
    run(files.append("sessions.1.jsonl", encode(false)))

    assert run(index.has("s1"))
    assert codes(index) == {"false_seal"}


def test_a_damaged_line_in_the_middle_hides_nothing_but_itself() -> None:
    files = memory()
    filled(files, 3)
    data = text(files, "sessions.1.jsonl").replace('"s1"', '"sX"')
    run(files.write("sessions.1.jsonl", data.encode()))

    index = opened(files)

    assert set(run(index.all_ids())) == {"s0", "s2"}
    assert codes(index) == {"damaged_line"}
    run(index.register("s4", "k4", meta("s4")))
    assert text(files, "sessions.1.jsonl").startswith(data)


def test_records_and_fields_of_a_newer_version_are_tolerated() -> None:
    files = memory()
    index = filled(files)
    lines = b'{"op":"paint","key":5}\n{"op":"delete","sessionId":"s0","why":[1]}\n'
    run(files.append("sessions.1.jsonl", lines))

    assert run(index.all_ids()) == ["s1"]
    assert codes(index) == {"unknown_op"}


@pytest.mark.parametrize(
    "line",
    [
        '{"op":"register","sessionId":"s9","metadata":5}',
        '{"op":"register","metadata":{}}',
        '{"op":"register","sessionId":"s9"}',
        '{"op":"update","sessionId":"s1"}',
        '{"op":"add_key","sessionId":"s1"}',
        '{"op":"add_key","sessionId":"s1","key":5}',
        '{"op":"remove_key"}',
        '{"op":"seal"}',
        '{"op":"delete"}',
        '{"sessionId":"s9"}',
        '{"op":5}',
        '{"op":"delete","sessionId":5}',
        "[]",
    ],
)
@pytest.mark.parametrize("closed_by", ["a checksum", "nothing"])
def test_a_record_that_lacks_what_it_needs_is_named_and_changes_nothing(
    line: str, closed_by: str
) -> None:
    files = memory()
    filled(files)
    data = line.encode()
    if closed_by == "a checksum" and data.endswith(b"}"):
        data = close_line(data)
    else:
        data += b"\n"
    run(files.append("sessions.1.jsonl", data))

    index = opened(files)

    assert set(run(index.all_ids())) == {"s0", "s1"}
    assert run(index.resolve_key("k1")) == "s1"
    assert codes(index) == {"damaged_line"}
    run(index.register("s2", "k2", meta("s2")))
    assert set(run(opened(files).all_ids())) == {"s0", "s1", "s2"}


def test_a_checksum_that_alone_is_damaged_costs_no_record() -> None:
    files = memory()
    filled(files)
    data = text(files, "sessions.1.jsonl")
    last = data.splitlines()[-1]
    changed = last[:-16] + "crb" + last[-13:]
    run(files.write("sessions.1.jsonl", data.replace(last, changed).encode()))

    index = opened(files)

    assert set(run(index.all_ids())) == {"s0", "s1"}
    assert codes(index) == {"damaged_checksum"}


@pytest.mark.parametrize("where", ["snapshot", "journal"])
def test_a_newer_format_is_refused_and_left_alone(where: str) -> None:
    files = memory()
    index = filled(files)
    run(index.close())
    if where == "snapshot":
        by_the_original(files, lambda content: content["journal"].update(format=2))
    else:
        head = JournalRecord(op="open", epoch=2, format=2, after="seal")
        run(files.write("sessions.2.jsonl", encode(head)))
        run(files.append("sessions.1.jsonl", encode(JournalRecord(op="seal", next=2))))
    before = {name: text(files, name) for name in names(files)}

    late = JournalIndex(files, BlockingRuntime(), commit=Synced(files), recount=recount)
    for _ in range(2):
        with pytest.raises(CorruptionError, match="newer format"):
            run(late.all_ids())

    assert {name: text(files, name) for name in names(files)} == before


def test_lone_surrogates_and_lenient_types_in_the_journal_are_read() -> None:
    files = memory()
    index = filled(files)
    line = b'{"op":"update","sessionId":"s0","set":{"userId":"\\ud800","log":7}}\n'
    run(files.append("sessions.1.jsonl", line))

    found = run(index.metadata("s0"))

    assert found is not None
    assert found.user_id == "\ufffd"
    assert found.log is None


def test_a_snapshot_is_written_on_close_and_holds_everything() -> None:
    files = memory()
    index = filled(files)
    run(index.note_append("s0", 99, LogMark(size=10, messages=3, last_id="x")))

    run(index.close())

    content = snapshot(files)
    assert content["keys"] == {"k0": "s0", "k1": "s1"}
    assert content["sessions"]["s0"]["messageCount"] == 3
    assert content["journal"]["size"] == len(text(files, "sessions.1.jsonl"))
    assert text(files, "sessions.json").count("\n") == 1
    assert list(content) == ["keys", "sessions", "journal", "crc"]


def test_the_last_to_close_leaves_the_whole_index_to_the_original() -> None:
    files = memory()
    one, other = filled(files), opened(files)
    run(other.register("s7", "k7", meta("s7")))

    run(one.close())
    run(other.close())

    assert set(snapshot(files)["keys"]) == {"k0", "k1", "k7"}


def test_findings_say_that_the_snapshot_lags() -> None:
    files = memory()
    index = filled(files)

    assert "snapshot_lags" in {found.code for found in run(index.findings())}
    run(index.flush(snapshot=True))
    assert "snapshot_lags" not in {found.code for found in run(index.findings())}


def test_a_large_index_is_not_written_on_close(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("session_store.index.rotation.SMALL_BYTES", 100)
    files = memory()
    index = filled(files)

    run(index.close())

    assert snapshot(files)["keys"] == {}


def test_metadata_on_disk_has_what_the_original_cannot_do_without() -> None:
    files = memory()
    filled(files)
    closed(files)

    expected = {"sessionId": "s0", "createdAt": 0, "updatedAt": 0, "messageCount": 0}
    assert snapshot(files)["sessions"]["s0"] == expected


def test_the_journal_is_lines_of_json_with_a_checksum() -> None:
    files = memory()
    filled(files, 1)

    lines = [json.loads(line) for line in text(files, "sessions.1.jsonl").splitlines()]

    assert [line["op"] for line in lines] == ["open", "register"]
    assert all(list(line)[:2] == ["op", "at"] and list(line)[-1] == "crc" for line in lines)


class Counting(InMemoryFileSystem):
    """Remembers its calls, and fails when told."""

    def __init__(self) -> None:
        super().__init__()
        self.calls: list[str] = []
        self.fail: Exception | None = None
        self.fail_next: Exception | None = None
        self.fail_sync: Exception | None = None
        self.lose_next_answer = False
        self.happened = False

    async def stat(self, path: str):  # type: ignore[no-untyped-def]
        self.calls.append(f"stat {path}")
        return await super().stat(path)

    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        self.calls.append(f"read {path}")
        return await super().read(path, start, end)

    async def write(self, path: str, data: bytes, **options):  # type: ignore[no-untyped-def]
        self.calls.append(f"write {path}")
        return await super().write(path, data, **options)

    async def sync(self, path: str) -> None:
        self.calls.append(f"sync {path}")
        if self.fail_sync:
            raise self.fail_sync
        await super().sync(path)

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        self.calls.append(f"append {path}")
        if self.fail:
            raise self.fail
        if self.lose_next_answer:
            self.lose_next_answer = False
            if self.happened:
                await super().append(path, data, if_size=if_size)
            self.fail = self.fail_next
            raise UnavailableError(path, "the answer was lost", unknown=True)
        return await super().append(path, data, if_size=if_size)


async def _nothing(path: str) -> None:
    pass


async def _refuse(path: str) -> None:
    raise UnavailableError(path, "no sync")


def test_a_long_journal_is_read_in_pieces_of_one_size(monkeypatch: pytest.MonkeyPatch) -> None:
    lengths: list[int] = []

    class Watched(InMemoryFileSystem):
        async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
            data = await super().read(path, start, end)
            lengths.append(len(data))
            return data

    files = Watched()
    filled(files, 50)
    monkeypatch.setattr(core, "CHUNK_BYTES", 2000)
    lengths.clear()

    index = opened(files)

    assert len(run(index.all_ids())) == 50
    assert max(lengths) == 2000


def test_a_change_that_nobody_came_before_costs_one_append_and_no_look() -> None:
    looks: list[str] = []

    class Watched(InMemoryFileSystem):
        async def stat(self, path: str) -> FileStats:
            looks.append(path)
            return await super().stat(path)

    files = Watched()
    index = filled(files)
    looks.clear()

    run(index.register("s9", "k9", meta("s9")))

    assert looks == []
    assert run(index.resolve_key("k9")) == "s9"


def test_a_change_knows_what_others_did_just_before() -> None:
    files = memory()
    index, other = filled(files, 1), opened(files)
    run(other.register("new", "k", meta("new")))

    registered = run(index.register("late", "k", meta("late")))
    run(other.register("newer", None, meta("newer")))
    run(index.add_key("second", "newer"))
    run(other.delete("s0"))
    gone = run(index.delete("s0"))
    run(other.register("newest", None, meta("newest")))

    assert registered == "new"
    assert run(other.resolve_key("second")) == "newer"
    assert not gone
    assert run(index.delete("newest"))
