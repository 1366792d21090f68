"""The original's turn on a snapshot that lags, on names of ours, and with half characters."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from index_kit import (
    SNAPSHOT,
    Synced,
    by_the_original,
    closed,
    codes,
    filled,
    memory,
    meta,
    opened,
    recount,
    snapshot,
    state_of,
    text,
)
from msgspec import Raw
from msgspec.json import encode

from session_store.errors import UnavailableError
from session_store.files import InMemoryFileSystem
from session_store.index import JournalIndex
from session_store.index.fields import fields_of
from session_store.index.merge import corrections
from session_store.index.records import JournalRecord
from session_store.index.state import IndexState
from session_store.runtime import BlockingRuntime, run

# The merge


def state(keys: dict[str, str], **sessions: dict[str, Any]) -> IndexState:
    stored = {session_id: Raw(encode(fields)) for session_id, fields in sessions.items()}
    return IndexState(dict(keys), stored)


def merged(before: IndexState, theirs: IndexState, *lagging: JournalRecord) -> IndexState:
    ours = IndexState(dict(theirs.keys), dict(theirs.sessions))
    for record in lagging:
        ours.apply(record)
    for record in corrections(before, theirs, ours, 1):
        ours.apply(record)
    assert corrections(before, theirs, ours, 1) == []
    return ours


def point(key: str, session_id: str) -> JournalRecord:
    return JournalRecord(op="add_key", key=key, session_id=session_id)


def change(session_id: str, **fields: Any) -> JournalRecord:
    return JournalRecord(op="update", session_id=session_id, changes=fields)


@pytest.mark.parametrize(
    ("before", "theirs", "line", "after"),
    [
        ({}, {}, point("k", "a"), {"k": "a"}),
        ({}, {"k": "b"}, point("k", "a"), {"k": "b"}),
        ({"k": "b"}, {"k": "b"}, point("k", "a"), {"k": "a"}),
        ({"k": "a"}, {"k": "b"}, JournalRecord(op="remove_key", key="k"), {"k": "b"}),
        ({"k": "a"}, {"k": "a"}, JournalRecord(op="remove_key", key="k"), {}),
        ({"k": "a"}, {}, point("k", "b"), {}),
        ({"k": "gone"}, {}, point("k", "b"), {"k": "b"}),
        ({}, {"k": "a"}, JournalRecord(op="delete", session_id="a"), {}),
    ],
)
def test_of_a_key_that_both_moved_theirs_stands_and_of_others_ours(
    before: dict[str, str], theirs: dict[str, str], line: JournalRecord, after: dict[str, str]
) -> None:
    sessions: dict[str, dict[str, Any]] = {"a": {}, "b": {}}

    found = merged(state(before, gone={}, **sessions), state(theirs, **sessions), line)

    assert found.keys == after


def test_of_a_field_that_both_changed_theirs_stands_and_of_others_ours() -> None:
    before = state({}, a={"userId": "0", "tokenEstimate": 1, "theirs": 1, "gone": 1})
    theirs = state({}, a={"userId": "2", "tokenEstimate": 1, "theirs": 2})

    found = merged(before, theirs, change("a", userId="1", tokenEstimate=5, gone=2))

    assert fields_of(found.sessions["a"]) == {"userId": "2", "tokenEstimate": 5, "theirs": 2}


def test_a_session_that_either_deleted_stays_deleted() -> None:
    both = state({}, ours={"x": 1}, theirs={"x": 1})
    line = JournalRecord(op="delete", session_id="ours")

    found = merged(both, state({}, ours={"x": 2}), line, change("theirs", x=3))

    assert not found.sessions


# Its turn after a crash of ours


def lagging(files: InMemoryFileSystem, rotations: int = 0) -> None:
    """Leave a journal that has said more than the snapshot."""
    filled(files)
    closed(files)
    for number in range(rotations):
        by_the_original(files, lambda index, n=number: index["keys"].update({f"o{n}": "s0"}))
        run(opened(files).add_key(f"r{number}", "s0"))
        closed(files)
    index = opened(files)
    run(index.add_key("both", "s0"))
    run(index.add_key("ours", "s0"))
    run(index.update("s1", {"userId": "ours", "tokenEstimate": 5}))


def its_turn(index: Any) -> None:
    index["keys"] |= {"both": "s1", "theirs": "s1"}
    index["sessions"]["s1"]["userId"] = "theirs"


def says(index: JournalIndex) -> tuple[Any, ...]:
    found = run(index.metadata("s1"))
    assert found is not None
    keys = [run(index.resolve_key(key)) for key in ("both", "ours", "theirs")]
    return (*keys, found.user_id, found.token_estimate)


TOGETHER = ("s1", "s0", "s1", "theirs", 5)


@pytest.mark.parametrize("rotations", [0, 1, 2])
def test_after_a_crash_its_edits_stand_and_what_only_our_journal_knows_too(rotations: int) -> None:
    files = memory()
    lagging(files, rotations)
    by_the_original(files, its_turn)

    assert says(opened(files)) == TOGETHER
    run(opened(files).add_key("next", "s0"))
    assert says(opened(files)) == TOGETHER
    closed(files)
    assert says(opened(files)) == TOGETHER


def test_after_its_first_turn_of_all_too() -> None:
    files = memory()
    sessions = {id_: {"sessionId": id_, "createdAt": 1, "updatedAt": 1} for id_ in ("s0", "s1")}
    index = {"keys": {}, "sessions": sessions}
    run(files.write(SNAPSHOT, json.dumps(index, indent=2).encode()))
    run(opened(files).add_key("k", "s0"))
    run(opened(files).add_key("both", "s0"))

    by_the_original(files, lambda index: index["keys"].update(both="s1"))

    assert state_of(opened(files))[0] == {"k": "s0", "both": "s1"}


def test_a_rebuild_does_not_undo_its_edits() -> None:
    files = memory()
    lagging(files)
    by_the_original(files, its_turn)
    run(opened(files).add_key("next", "s0"))

    run(files.write(SNAPSHOT, b"damaged"))

    assert says(opened(files)) == TOGETHER
    assert run(opened(files).resolve_key("next")) == "s0"


def test_a_change_of_ours_after_its_turn_is_newer_than_its_own() -> None:
    files = memory()
    lagging(files)
    by_the_original(files, its_turn)

    run(opened(files).add_key("both", "s0"))
    run(opened(files).update("s1", {"userId": "newest"}))

    assert says(opened(files)) == ("s0", "s0", "s1", "newest", 5)


def test_a_crash_between_any_two_writes_of_our_return_changes_no_answer() -> None:
    for steps in range(1, 20):
        files = Failing()
        lagging(files)
        by_the_original(files, its_turn)
        files.left = steps
        index = opened(files)
        try:
            run(index.add_key("next", "s0"))
            done = True
        except UnavailableError:
            done = False
        files.left = -1

        assert says(opened(files)) == TOGETHER
        run(opened(files).add_key("last", "s0"))
        assert says(opened(files)) == TOGETHER
        if done:
            assert steps > 3
            return
    raise AssertionError


class Failing(InMemoryFileSystem):
    """Serves so many more writes, then none."""

    left = -1
    refused = 0

    def _count(self, path: str) -> None:
        if not self.left:
            self.refused += 1
            raise UnavailableError(path, "gone")
        self.left -= 1

    async def write(self, path: str, data: bytes, **options: Any):  # type: ignore[no-untyped-def]
        self._count(path)
        return await super().write(path, data, **options)

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        self._count(path)
        return await super().append(path, data, if_size=if_size)


def test_without_the_past_the_lines_of_the_journal_count_on_top() -> None:
    files = memory()
    lagging(files, rotations=1)
    by_the_original(files, its_turn)
    run(files.write("sessions.json.prev", b"damaged"))

    assert says(opened(files)) == ("s0", "s0", "s1", "ours", 5)


def test_what_a_rebuild_made_of_folders_is_not_taken_for_the_originals_edit() -> None:
    files = memory()
    run(files.write("a/messages.jsonl", b"{}\n"))
    run(files.write(SNAPSHOT, b"damaged"))
    closed(files)
    run(opened(files).update("a", {"updatedAt": 9}))

    by_the_original(files, lambda index: index["keys"].update(theirs="a"))

    found = run(opened(files).metadata("a"))
    assert found is not None and found.updated_at == 9


def test_a_mark_that_somebody_broke_loses_nothing_of_the_journals() -> None:
    files = memory()
    lagging(files, rotations=1)
    by_the_original(files, its_turn)
    by_the_original(files, lambda index: index.update(journal="text"))

    for _ in range(2):
        index = opened(files)
        assert says(index) == TOGETHER
        assert run(index.resolve_key("r0")) == "s0"
        assert codes(index) == set()
        closed(files)
    assert snapshot(files)["journal"]["epoch"] > 1


# Names that are taken


@pytest.mark.parametrize("taken", [1, 3])
def test_a_folder_with_the_name_of_a_journal_is_passed_over_and_reported(taken: int) -> None:
    files = memory()
    for epoch in range(1, taken + 1):
        run(files.mkdir(f"sessions.{epoch}.jsonl"))
    index = opened(files)

    run(index.register("a", "k", meta("a")))

    assert codes(index) >= {"name_taken"}
    assert state_of(opened(files)) == ({"k": "a"}, {"a"})


def test_an_outage_is_no_taken_name() -> None:
    files = Failing()
    filled(files)
    closed(files)
    by_the_original(files, lambda index: None)
    index = opened(files)
    files.left = 0

    with pytest.raises(UnavailableError):
        run(index.register("a", "k", meta("a")))
    assert files.refused < 20
    files.left = -1
    run(index.register("a", "k", meta("a")))

    assert "name_taken" not in codes(index)


# Half characters


def test_keys_that_show_alike_are_all_written_back_and_reported() -> None:
    files = memory()
    filled(files, 3)
    closed(files)
    by_the_original(files, lambda index: None)
    keys = dict(zip(("x\ud83d", "x\ud83c", "plain"), ("s0", "s1", "s2"), strict=True))
    written = text(files, SNAPSHOT).replace('"keys": {', f'"keys": {json.dumps(keys)[:-1]},')
    run(files.write(SNAPSHOT, written.encode()))

    for _ in range(2):
        index = opened(files)
        run(index.update("s0", {"userId": "u"}))
        run(index.flush(snapshot=True))
        assert run(index.resolve_key("x\ufffd")) == "s1"
        assert "ambiguous_key" in codes(opened(files))
        assert snapshot(files)["keys"].items() >= keys.items()
    index = opened(files)
    run(index.delete("s0"))
    run(index.flush(snapshot=True))
    assert "s0" not in snapshot(files)["keys"].values()


@pytest.mark.parametrize("how", ["moved", "removed", "deleted"])
def test_a_key_with_half_a_character_can_be_changed_as_what_it_shows_as(how: str) -> None:
    files = memory()
    filled(files)
    closed(files)
    written = text(files, SNAPSHOT).replace('"k0"', '"\\ud83d"')
    run(files.write(SNAPSHOT, written[: written.rindex(',"crc"')].encode() + b"}"))
    index = opened(files)
    assert run(index.resolve_key("\ufffd")) == "s0"

    if how == "moved":
        run(index.add_key("\ufffd", "s1"))
    elif how == "removed":
        run(index.remove_key("\ufffd"))
    else:
        run(index.delete("s0"))
    run(index.flush(snapshot=True))

    left = {"\ufffd": "s1"} if how == "moved" else {}
    assert snapshot(files)["keys"] == {"k1": "s1", **left}


def test_a_field_with_half_a_character_outlives_changes_of_the_others() -> None:
    files = memory()
    filled(files)
    closed(files)
    theirs = {"userId": "u\ud800", "theirs": {"k\ud800": ["v\udfff"]}}
    record = json.dumps({"sessionId": "s0", "createdAt": 1, "updatedAt": 1, **theirs})
    index = {"keys": {}, "sessions": {"s0": 0}}
    run(files.write(SNAPSHOT, json.dumps(index).replace(": 0}", f": {record}}}").encode()))

    for number in range(3):
        run(opened(files).update("s0", {"tokenEstimate": number}))
        closed(files)

    found = run(opened(files).metadata("s0"))
    assert found is not None
    assert (found.user_id, found.token_estimate) == ("u\ufffd", 2)
    assert snapshot(files)["sessions"]["s0"].items() >= theirs.items()


# Loops


class Clock(BlockingRuntime):
    """Time that passes only while somebody sleeps."""

    now = 0.0

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.now += max(seconds, 0.0001)


class AlwaysDamaged(InMemoryFileSystem):
    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        data = await super().read(path, start, end)
        return data[:-5] + b"?" if path == SNAPSHOT else data


class Short(InMemoryFileSystem):
    """Its files have fewer bytes than it says."""

    short = False

    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        data = await super().read(path, start, end)
        return data[:10] if self.short and path != SNAPSHOT else data


class AlwaysConflicting(InMemoryFileSystem):
    conflicting = False

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        return await super().append(path, data, if_size=0 if self.conflicting else if_size)


def with_clock(files: InMemoryFileSystem) -> tuple[JournalIndex, Clock]:
    clock = Clock()
    index = JournalIndex(files, clock, commit=Synced(files), recount=recount, io_timeout_ms=200)
    return index, clock


def test_a_snapshot_that_is_always_damaged_ends_in_an_error_in_time() -> None:
    files = AlwaysDamaged()
    run(files.write("a/messages.jsonl", b"{}\n"))
    index, clock = with_clock(files)

    for call in (index.load, index.rebuild, lambda: index.register("b", "k", meta("b"))):
        begun = clock.now
        with pytest.raises(UnavailableError):
            run(call())
        assert clock.now - begun < 1


def test_a_journal_that_is_always_short_ends_in_an_error_in_time() -> None:
    files = Short()
    filled(files)
    index, clock = with_clock(files)
    files.short = True

    with pytest.raises(UnavailableError):
        run(index.load())

    assert clock.now < 1
    files.short = False
    assert run(index.has("s0"))


def test_a_journal_that_always_conflicts_ends_in_an_error_in_time() -> None:
    files = AlwaysConflicting()
    filled(files)
    index, clock = with_clock(files)
    run(index.load())
    files.conflicting = True

    with pytest.raises(UnavailableError):
        run(index.register("b", "k", meta("b")))

    assert clock.now < 1


class Overtaken(InMemoryFileSystem):
    """Lets something happen once, right before an append reaches the disk."""

    before: Callable[[], None] | None = None

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        before, self.before = self.before, None
        if before is not None:
            before()
        return await super().append(path, data, if_size=if_size)


def test_who_was_stopped_while_another_wrote_tries_once_more() -> None:
    files = Overtaken()
    other = filled(files)
    index, clock = with_clock(files)
    run(index.load())

    def stopped_for_an_hour() -> None:
        run(other.register("other", "k", meta("other")))
        clock.now += 3600

    files.before = stopped_for_an_hour
    run(index.register("mine", None, meta("mine")))

    assert files.before is None
    assert {"mine", "other"} <= set(run(opened(files).all_ids()))
