"""The simulation as a product: the same seed tells the same story, and the disk is mean."""

import json
from random import Random

import pytest

from session_store.errors import UnavailableError
from session_store.files.filesystem import ABSENT, ANY
from session_store.model.config import StoreConfig
from session_store.runtime import run
from session_store.store.engine import Engine
from session_store.store.writer import Writer
from session_store.testing.simulation import (
    FAULTS,
    STARTS,
    Case,
    Disk,
    Fresh,
    Tally,
    Wish,
    World,
    play,
    play_many,
    start_of,
    tell,
)
from session_store.testing.simulation.__main__ import main
from session_store.testing.simulation.truth import Deed
from session_store.testing.simulation.verdict import judge_logs

CUTS = 400


def lives(disk: Disk, path: str) -> set[bytes | None]:
    """Return what many power cuts leave at `path`, None for no file."""
    left = (disk.cut_power(Random(seed))[0].files.get(path) for seed in range(CUTS))
    return {None if inode is None else inode.data for inode in left}


class TestDisk:
    def test_what_was_synced_survives(self) -> None:
        disk = Disk()
        disk.append("s/log", b"one\n", None)
        disk.sync_data("s/log")
        disk.sync_folder("s")

        assert lives(disk, "s/log") == {b"one\n"}

    def test_a_new_name_is_lost_until_its_folder_is_synced(self) -> None:
        disk = Disk()
        disk.append("s/log", b"one\n", None)
        disk.sync_data("s/log")

        assert lives(disk, "s/log") == {b"one\n", None}

    def test_bytes_that_were_not_synced_are_cut_anywhere_or_become_nuls(self) -> None:
        disk = Disk({"log": b"one\n"})
        disk.append("log", b"two\n", None)

        left = lives(disk, "log")

        assert {b"one\n" + b"two\n"[:size] for size in range(5)} <= left
        assert {b"one\n" + bytes(4), b"one\n" + b"t" + bytes(3)} <= left
        assert all(data is not None and data.startswith(b"one\n") for data in left)

    def test_sectors_come_to_the_disk_in_any_order(self) -> None:
        disk = Disk({"log": b"1" * 512})
        disk.append("log", b"2" * 512 + b"3" * 512, None)

        assert b"1" * 512 + bytes(512) + b"3" * 512 in lives(disk, "log")

    def test_a_rename_without_a_folder_sync_leaves_the_old_file_or_the_new(self) -> None:
        disk = Disk({"index": b"old"})
        disk.replace("index", b"new", ANY, synced=True)

        assert lives(disk, "index") == {b"old", b"new"}

    def test_a_rename_without_any_sync_may_leave_what_cannot_be_read(self) -> None:
        disk = Disk({"index": b"old"})
        disk.replace("index", b"new", ANY, synced=False)

        left = lives(disk, "index")

        assert {b"old", b"new", b"", bytes(3)} <= left

    def test_a_deleted_file_comes_back_until_its_folder_is_synced(self) -> None:
        disk = Disk({"s/log": b"one"})
        disk.delete("s/log")

        before = lives(disk, "s/log")
        disk.sync_folder("s")

        assert before == {b"one", None}
        assert lives(disk, "s/log") == {None}

    def test_a_failed_fsync_drops_what_the_cache_still_shows(self) -> None:
        disk = Disk({"log": b"one\n"})
        disk.append("log", b"two\n", None)
        disk.drop_pages("log")
        disk.sync_data("log")

        assert disk.data("log") == b"one\ntwo\n"
        assert lives(disk, "log") == {b"one\n" + bytes(4)}

    def test_of_two_creators_one_wins(self) -> None:
        disk = Disk()
        disk.replace("index", b"one", ABSENT, synced=True)

        with pytest.raises(FileExistsError):
            disk.replace("index", b"two", ABSENT, synced=True)


class TestProcess:
    def test_nothing_more_is_written_to_a_file_whose_fsync_failed(self) -> None:
        world = World(0)
        process = Fresh(world)
        run(process.append("log", b"one\n"))
        world.ambush = "fsync_fails"

        with pytest.raises(UnavailableError):
            run(process.sync("log"))
        with pytest.raises(UnavailableError):
            run(process.append("log", b"two\n"))

    def test_a_store_lives_on_it(self) -> None:
        process = Fresh(World(0))
        store = Engine(process, StoreConfig(), process)

        session = run(store.resolve("k"))
        run(store.append(session, {"type": "user", "content": "hello"}))

        assert [message.content for message in run(store.get_messages(session))] == ["hello"]


class TestVerdict:
    @pytest.mark.parametrize("done_by", ["nobody", "a power cut"])
    def test_damage_is_excused_only_where_a_power_cut_has_done_it(self, done_by: str) -> None:
        world = World(0, Disk({"s/messages.jsonl": b"broken\n"}))
        if done_by == "a power cut":
            world.disk.hole("s/messages.jsonl", 2, 4)
        case = Case(world, [Deed("p0", "read", "s")], "fsync", since=1)

        told = list(judge_logs(case))

        assert bool(told) == (done_by == "nobody")


class TestSchedules:
    @pytest.mark.parametrize("seed", [1, 2, 3])
    def test_the_same_seed_tells_the_same_story(self, seed: int) -> None:
        stories = [list(tell(seed, Wish(long=True))) for _ in range(2)]

        assert stories[0] == stories[1]
        assert stories[0][-1] == f"schedule {seed}: no promise was broken"
        assert any("append" in line for line in stories[0])

    def test_listening_changes_nothing(self) -> None:
        quiet = play(11)
        told = list(tell(11))

        assert [line for line in told if "**" in line] == [
            line for line in quiet.story if "**" in line
        ]

    @pytest.mark.parametrize("make", STARTS, ids=lambda make: make.__name__)
    def test_every_start_is_made_of_bytes_alone(self, make: object) -> None:
        start = start_of(make)  # type: ignore[arg-type]

        assert start_of(make) is start  # type: ignore[arg-type]
        assert bool(start.files) == (make is not STARTS[0])

    @pytest.mark.parametrize("fault", sorted(set(FAULTS)))
    def test_every_fault_strikes_behind_something_acknowledged(self, fault: str) -> None:
        tally = Tally()
        for seed in range(40):
            tally.add(play(seed, Wish(fault=fault)).tally)

        assert tally.faults[fault] >= 10
        assert tally.acknowledged >= tally.schedules

    def test_a_range_of_seeds_is_played_alike_by_one_process_and_by_two(self) -> None:
        alone, together = play_many(600, 5), play_many(600, 5, processes=2)

        assert alone.tally == together.tally
        assert (alone.first, alone.last) == (together.first, together.last)

    def test_a_broken_store_is_named_with_its_seed_and_its_story(
        self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
    ) -> None:
        for make in STARTS:
            start_of(make)

        async def later(*_: object) -> None:
            return None

        monkeypatch.setattr(Writer, "commit", later)

        failed = main(["--schedules", "200"])
        printed = capsys.readouterr().out.splitlines()
        seed = printed[0].removeprefix("seed ").partition(":")[0]
        told = main([seed])
        story = capsys.readouterr().out.splitlines()

        assert (failed, told) == (1, 1)
        assert f"python -m session_store.testing.simulation {seed}" in printed[1]
        assert json.loads(printed[-1])["violations"] > 0
        assert "acknowledged, and lost" in story[-1]
        assert any("the power is cut" in line or "what if" in line for line in story)
