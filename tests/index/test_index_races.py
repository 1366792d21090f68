"""Many processes on one disk: rotations, crashes, lost answers, torn writes and power cuts.

Each rule of PROTOCOLS I1, I2, A2 and A5 is also taken out once, to see the same schedules
fail: a simulation that finds nothing proves nothing.
"""

import json
from contextlib import suppress
from typing import Any

import pytest
from index_kit import codes, memory, meta, names, opened
from index_simulation import simulate
from msgspec import Raw
from races_sabotage import without_synced_answers, without_the_index_precondition

from session_store.errors import (
    ConflictError,
    NotFoundError,
    SessionStoreError,
    StorageFullError,
    UnavailableError,
)
from session_store.files import FileStats, InMemoryFileSystem
from session_store.files.filesystem import ANY, IfVersion, Page
from session_store.index import JournalIndex, core, records, rotation
from session_store.index.core import Core
from session_store.runtime import run

SEEDS = range(250)


@pytest.fixture(autouse=True)
def _small_journals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "ROTATE_BYTES", 600)


@pytest.mark.parametrize("seeds", [SEEDS[start : start + 50] for start in range(0, 250, 50)])
def test_nothing_acknowledged_is_lost_or_undone_in_any_schedule(seeds: range) -> None:
    for seed in seeds:
        simulate(seed)


def _no_look_at_what_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    async def stands(self: Core, path: str, data: bytes, size: int) -> bool:
        return False

    monkeypatch.setattr(Core, "_stands", stands)


def _unsealed_tails(monkeypatch: pytest.MonkeyPatch) -> None:
    append = Core.append

    async def glue(self: Core, *added: Any) -> None:
        self.place.tail = b""
        await append(self, *added)

    monkeypatch.setattr(Core, "append", glue)


def _no_seal(monkeypatch: pytest.MonkeyPatch) -> None:
    async def seal(self: Core, epoch: int) -> None:
        self.place = core.Place(epoch, 0)
        await self.catch_up()

    monkeypatch.setattr(Core, "seal", seal)


def _eager_removal(monkeypatch: pytest.MonkeyPatch) -> None:
    remove = rotation._remove_journals

    async def remove_more(self: Core, keep: int) -> None:
        await remove(self, self.place.epoch)

    monkeypatch.setattr(rotation, "_remove_journals", remove_more)


def _no_carrying(monkeypatch: pytest.MonkeyPatch) -> None:
    async def carry(self: Core, epoch: int) -> None:
        return None

    monkeypatch.setattr(rotation, "_carry_deletes", carry)


def _no_previous(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("session_store.index.rebuild.PREVIOUS", "sessions.json.none")


@pytest.mark.parametrize(
    "without",
    [
        without_synced_answers,
        without_the_index_precondition,
        _no_look_at_what_stands,
        _unsealed_tails,
        _no_seal,
        _eager_removal,
        _no_carrying,
        _no_previous,
    ],
)
def test_without_the_rule_some_schedule_fails(
    without: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    without(monkeypatch)

    def try_many() -> None:
        for seed in range(1500):
            simulate(seed)

    with pytest.raises((AssertionError, SessionStoreError)):
        try_many()


def fill_until_rotated(index: JournalIndex, files: InMemoryFileSystem, prefix: str) -> None:
    before = [name for name in names(files) if name.endswith(".jsonl")]
    for number in range(1000):
        run(index.register(f"{prefix}{number}", f"{prefix}:{number}", meta(f"{prefix}{number}")))
        if [name for name in names(files) if name.endswith(".jsonl")] != before:
            return
    raise AssertionError("it never rotates")


def test_a_journal_that_outgrew_its_snapshot_is_followed_by_another() -> None:
    files = memory()
    index, other = opened(files), opened(files)

    for turn in range(6):
        fill_until_rotated(index, files, f"t{turn}")

    journals = [name for name in names(files) if name.endswith(".jsonl")]
    assert len(journals) <= 3
    assert "sessions.json.prev" in names(files)
    assert (
        set(run(other.all_ids())) == set(run(index.all_ids())) == set(run(opened(files).all_ids()))
    )


def test_snapshots_cost_a_few_times_what_the_journal_costs() -> None:
    files = Measuring()
    index = opened(files)

    for number in range(2000):
        run(index.register(f"s{number}", f"k{number}", meta(f"s{number}", number)))

    assert files.written < 6 * files.appended


@pytest.mark.parametrize("step", range(1, 9))
def test_a_rotation_that_ends_after_any_step_is_gone_on_with(step: int) -> None:
    files = Dying()
    index = opened(files)
    fill_until_rotated(index, files, "a")
    known = set(run(index.all_ids()))
    files.changes_left = None
    for number in range(1000):
        session_id = f"b{number}"
        if run(files.stat(index._core.place.path)).size > rotation.ROTATE_BYTES * 2:
            files.changes_left = step
        try:
            run(index.register(session_id, None, meta(session_id)))
        except _DiedError:
            break
        known.add(session_id)
    files.changes_left = None

    after = opened(files)
    assert known <= set(run(after.all_ids()))
    fill_until_rotated(after, files, "c")
    assert known <= set(run(opened(files).all_ids()))
    run(files.write("sessions.json", b""))
    assert known <= set(run(opened(files).all_ids()))


def test_a_snapshot_that_cannot_be_written_only_lags() -> None:
    files = Dying()
    index = opened(files)
    files.refuse = "sessions.json"

    for number in range(30):
        run(index.register(f"s{number}", None, meta(f"s{number}")))

    files.refuse = ""
    assert len(run(opened(files).all_ids())) == 30


def test_a_delete_that_nobody_finished_is_finished_by_the_rotations() -> None:
    files = memory()
    index = opened(files)
    run(index.register("gone", None, meta("gone")))
    run(files.write("gone/messages.jsonl", b"{}\n"))
    run(index.delete("gone"))

    for turn in range(4):
        fill_until_rotated(index, files, f"t{turn}")

    assert "gone/" not in names(files)
    run(files.write("sessions.json", b""))
    assert not run(opened(files).has("gone"))


class Deleting(InMemoryFileSystem):
    """Notes what is deleted, in its order."""

    def __init__(self) -> None:
        super().__init__()
        self.deleted: list[str] = []

    async def delete(self, path: str, *, if_version: IfVersion = ANY) -> None:
        self.deleted.append(path)
        await super().delete(path, if_version=if_version)

    async def delete_tree(self, path: str) -> None:
        self.deleted.append(path)
        await super().delete_tree(path)


def test_a_folder_found_empty_is_deleted_durably_before_the_line_that_says_so_goes() -> None:
    files = Deleting()
    index = opened(files)
    run(index.register("gone", None, meta("gone")))
    # Whoever emptied the folder died before its names were off the disk.
    run(index.delete("gone"))

    for turn in "abc":
        fill_until_rotated(index, files, turn)

    assert "sessions.1.jsonl" in files.deleted
    assert "gone" in files.deleted[: files.deleted.index("sessions.1.jsonl")]


def test_a_journal_that_stands_in_the_way_is_stepped_over() -> None:
    files = memory()
    index = opened(files)
    stranger = records.JournalRecord(op="open", epoch=2, format=1, after="seal")
    ghost = records.JournalRecord(op="register", session_id="ghost", metadata=Raw(b"{}"))
    run(files.write("sessions.2.jsonl", records.encode(stranger, ghost)))

    fill_until_rotated(index, files, "a")

    assert "sessions.3.jsonl" in names(files)
    assert not run(index.has("ghost"))
    assert set(run(opened(files).all_ids())) == set(run(index.all_ids()))


def test_a_journal_with_only_its_header_is_used() -> None:
    files = memory()
    index = opened(files)
    stranger = records.JournalRecord(op="open", epoch=2, format=1, after="seal")
    run(files.write("sessions.2.jsonl", records.encode(stranger)))

    made = 0
    while "sessions.json.prev" not in names(files):
        run(index.register(f"s{made}", None, meta(f"s{made}")))
        made += 1

    assert run(files.stat("sessions.2.jsonl")).size > len(records.encode(stranger))
    assert "sessions.3.jsonl" not in names(files)
    assert len(run(opened(files).all_ids())) == made


@pytest.mark.parametrize("path", ["sessions.json", "sessions.json.prev"])
@pytest.mark.parametrize("safe", [True, False])
def test_a_slow_rotation_never_replaces_what_is_newer(
    path: str, safe: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = Overtaken()
    slow, fast = opened(files), opened(files)
    fill_until_rotated(fast, files, "a")
    run(slow.refresh())

    def overtake() -> None:
        for turn in range(4):
            fill_until_rotated(fast, files, f"f{turn}")

    files.path, files.overtake, files.safe = path, overtake, safe
    fill_until_rotated(slow, files, "s")
    known = set(run(fast.all_ids()))
    if path == "sessions.json.prev":
        run(files.write("sessions.json", b"broken"))

    index = opened(files)

    lost = known - set(run(index.all_ids()))
    errors = [found for found in run(index.findings()) if found.severity == "error"]
    # An older sessions.json in the place of a newer one is found out by `.prev`, and put aside.
    aside = [name for name in names(files) if name.startswith("sessions.json.damaged-")]
    wrong = errors + (aside if path == "sessions.json" else [])
    assert files.overtake is None
    assert (not lost and not wrong) == safe


def test_a_rotation_overtaken_while_it_looks_leaves_the_previous_snapshot_as_new_as_it_is() -> None:
    files = Overtaken()
    slow, fast = opened(files), opened(files)
    fill_until_rotated(fast, files, "a")

    def overtake() -> None:
        for turn in range(4):
            fill_until_rotated(fast, files, f"f{turn}")

    files.looked_at, files.overtake = "sessions.json.prev", overtake
    fill_until_rotated(slow, files, "s")
    known = set(run(fast.all_ids()))
    run(files.write("sessions.json", b"broken"))

    assert files.overtake is None
    assert known <= set(run(opened(files).all_ids()))
    assert codes(opened(files)) == set()


def test_a_journal_removed_while_it_is_opened_is_not_taken_for_lost() -> None:
    files = Overtaken()
    fast = opened(files)
    fill_until_rotated(fast, files, "a")

    def overtake() -> None:
        for turn in range(4):
            fill_until_rotated(fast, files, f"f{turn}")

    files.looked_at, files.overtake = fast._core.place.path, overtake
    late = opened(files)

    assert files.overtake is None
    assert set(run(late.all_ids())) == set(run(fast.all_ids()))
    assert codes(late) == set()


class Overtaken(InMemoryFileSystem):
    """Lets others go ahead right before one write or look, whose precondition may be left out."""

    path = ""
    looked_at = ""
    overtake: Any = None
    safe = True

    async def write(self, path: str, data: bytes, **options: Any) -> Any:
        if path == self.path and self._step_aside():
            options = options if self.safe else {}
        return await super().write(path, data, **options)

    async def stat(self, path: str) -> FileStats:
        if path == self.looked_at:
            self._step_aside()
        return await super().stat(path)

    def _step_aside(self) -> bool:
        overtake, self.overtake = self.overtake, None
        if overtake is None:
            return False
        overtake()
        return True


def test_no_snapshot_is_ahead_of_what_is_durable_of_its_journal() -> None:
    files = Measuring()
    index = opened(files, save_delay_ms=0)
    run(index.register("s", None, meta("s")))

    for number in range(100):
        run(index.note_append("s", number, None))
        if not number % 7:
            run(index.flush(snapshot=True))

    assert files.snapshots > 14
    assert files.ahead == []


def test_a_rotation_makes_durable_what_others_noted_meanwhile() -> None:
    files = Measuring()
    index, other = opened(files), opened(files, save_delay_ms=0)
    run(index.register("s", None, meta("s")))

    def overtake() -> None:
        run(other.note_append("s", 5, None))

    files.looked_at, files.overtake = "sessions.2.jsonl", overtake
    fill_until_rotated(index, files, "a")

    assert files.overtake is None
    assert files.ahead == []


def test_a_seal_is_made_durable_before_what_stands_behind_it() -> None:
    files = memory()
    committed: list[str] = []

    async def commit(path: str) -> None:
        committed.append(path)

    writer, reader = opened(files), opened(files, commit=commit)
    fill_until_rotated(writer, files, "a")
    run(writer.register("last", None, meta("last")))

    assert run(reader.has("last"))

    assert committed == ["sessions.1.jsonl", "sessions.2.jsonl"]


class MadeMeanwhile(InMemoryFileSystem):
    """Another makes the index, and rotates, just before this one makes its journal."""

    meanwhile = True

    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        if self.meanwhile and path == "sessions.1.jsonl":
            self.meanwhile = False
            await super().write(path, data)
            try:
                return await super().write(path, data, if_version=if_version, durable=durable)
            finally:
                await self.delete(path)
        return await super().write(path, data, if_version=if_version, durable=durable)


def test_who_makes_an_index_that_others_have_made_and_rotated_begins_anew() -> None:
    files = MadeMeanwhile()

    index = opened(files)

    assert not files.meanwhile
    assert run(index.register("s", "k", meta("s"))) == "s"


class Vanishing(InMemoryFileSystem):
    """A journal that cannot be written to, and is gone at some look at it."""

    def __init__(self, gone_at: int) -> None:
        super().__init__()
        self.full = False
        self.refused = 0
        self.looks = 0
        self.gone_at = gone_at

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        if self.full:
            self.refused += 1
            if self.refused == 2:  # so that it looks again
                raise ConflictError(path, expected=0, actual=1)
            raise StorageFullError(path, "no space left")
        return await super().append(path, data, if_size=if_size)

    async def stat(self, path: str) -> FileStats:
        self.looks += self.full and path == "sessions.1.jsonl"
        if self.looks == self.gone_at:
            raise NotFoundError(path)
        return await super().stat(path)

    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        if self.looks == self.gone_at and path == "sessions.1.jsonl":
            raise UnavailableError(path, "not now")
        return await super().read(path, start, end)


@pytest.mark.parametrize("gone_at", [1, 2])
def test_nothing_is_answered_from_an_index_whose_opening_anew_failed(gone_at: int) -> None:
    files = Vanishing(gone_at)
    index = opened(files, save_delay_ms=0)
    run(index.register("s", None, meta("s")))
    files.full = True
    run(index.note_append("s", 5, None))
    files.looks = 0

    with suppress(UnavailableError):
        assert run(index.has("s"))

    assert files.looks >= gone_at
    files.looks = 9
    assert run(index.has("s"))


def test_a_session_made_again_is_not_deleted_by_a_rotation() -> None:
    files = memory()
    index = opened(files)
    run(index.register("again", None, meta("again")))
    run(index.delete("again"))
    run(index.flush(snapshot=True))
    # This one has never heard of the delete: the snapshot does not tell of it.
    run(opened(files).register("again", None, meta("again")))
    run(files.write("again/messages.jsonl", b"{}\n"))

    for turn in range(4):
        fill_until_rotated(index, files, f"t{turn}")

    assert run(index.has("again"))
    assert not run(index.is_deleted("again"))
    assert run(files.exists("again/messages.jsonl"))


def test_a_sealed_journal_whose_successor_is_empty_loses_nothing() -> None:
    files = memory()
    index = opened(files)
    run(index.register("s", None, meta("s")))
    run(files.write("sessions.2.jsonl", b""))
    run(files.append("sessions.1.jsonl", records.encode(records.JournalRecord(op="seal", next=2))))

    run(index.register("new", None, meta("new")))

    assert run(files.read("sessions.2.jsonl")) == b""
    assert set(run(opened(files).all_ids())) == {"s", "new"}


def test_lines_longer_than_what_is_read_at_once_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    files = memory()
    index = opened(files)
    for number in range(5):
        metadata = meta(f"s{number}", metadata={"long": "x" * 100 * number})
        run(index.register(f"s{number}", None, metadata))
    monkeypatch.setattr(core, "CHUNK_BYTES", 16)

    assert len(run(opened(files).all_ids())) == 5


class _DiedError(BaseException):
    pass


class Dying(InMemoryFileSystem):
    """Dies after some changes, or refuses to write one path."""

    changes_left: int | None = None
    refuse = ""

    def _count(self) -> None:
        if self.changes_left is not None:
            if not self.changes_left:
                raise _DiedError
            self.changes_left -= 1

    async def write(self, path: str, data: bytes, **options: Any) -> Any:
        self._count()
        if path == self.refuse:
            raise StorageFullError(path, "full")
        return await super().write(path, data, **options)

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        self._count()
        return await super().append(path, data, if_size=if_size)

    async def delete(self, path: str, **options: Any) -> None:
        self._count()
        await super().delete(path, **options)


class Measuring(Overtaken):
    """Counts bytes, and remembers snapshots that say more than was synced."""

    def __init__(self) -> None:
        super().__init__()
        self.written = self.appended = self.snapshots = 0
        self.ahead: list[str] = []
        self.synced: dict[str, int] = {}

    async def write(self, path: str, data: bytes, **options: Any) -> Any:
        self.written += len(data)
        stats = await super().write(path, data, **options)
        self.synced[path] = stats.size
        if path == "sessions.json":
            self.snapshots += 1
            mark = json.loads(data)["journal"]
            if self.synced[f"sessions.{mark['epoch']}.jsonl"] < mark["size"]:
                self.ahead.append(data.decode())
        return stats

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        self.appended += len(data)
        return await super().append(path, data, if_size=if_size)

    async def sync(self, path: str) -> None:
        await super().sync(path)
        self.synced[path] = (await self.stat(path)).size


@pytest.mark.parametrize(
    ("begun", "after", "named"),
    [("sessions.1.jsonl", "", "write sessions.json"), ("sessions.2.jsonl", "seal", "seal")],
)
def test_a_journal_that_another_began_is_durable_before_anything_names_it(
    begun: str, after: str, named: str
) -> None:
    calls: list[str] = []

    class Watched(InMemoryFileSystem):
        async def list(self, path: str, *, after: str = "", limit: int = 1000) -> Page:
            return Page([])  # looked at before the other began

        async def sync(self, path: str) -> None:
            calls.append(f"sync {path}")
            await super().sync(path)

        async def write(
            self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
        ) -> FileStats:
            calls.append(f"write {path}")
            return await super().write(path, data, if_version=if_version, durable=durable)

        async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
            calls.append("seal" if b'"op":"seal"' in data else "append")
            return await super().append(path, data, if_size=if_size)

    files = Watched()
    if after:
        opened(files)
    header = records.JournalRecord(op="open", epoch=int(begun[9]), format=1, after=after)
    run(files.write(begun, records.encode(header)))
    calls.clear()

    index = opened(files)
    for number in range(30):
        run(index.register(f"s{number}", None, meta(f"s{number}")))

    assert calls.index(f"sync {begun}") < calls.index(named)
