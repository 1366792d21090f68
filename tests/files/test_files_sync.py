"""What `sync` promises: shared, never too early, names included, and after a failed fsync."""

import asyncio
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from session_store.errors import ConflictError, NotFoundError, UnavailableError
from session_store.event_loop import AsyncRuntime
from session_store.files import RealFileSystem, posix
from session_store.files.logs import Logs
from session_store.runtime import BlockingRuntime, run


def name_of(fd: int) -> str:
    return os.readlink(f"/proc/self/fd/{fd}")


class Disk:
    """Records what was brought to the disk; fails as often as it is told to."""

    def __init__(self) -> None:
        self.synced: list[str] = []
        self.fail_data = 0
        self.fail_files = 0
        self.fail_folders = 0
        self.before_data: Callable[[], object] = lambda: None

    def fdatasync(self, fd: int) -> None:
        self.before_data()
        if self.fail_data:
            self.fail_data -= 1
            raise OSError(5, "Input/output error")
        self.synced.append(name_of(fd))

    def fsync(self, fd: int) -> None:
        if os.path.isdir(name_of(fd)):
            if self.fail_folders:
                self.fail_folders -= 1
                raise OSError(5, "Input/output error")
        elif self.fail_files:
            self.fail_files -= 1
            raise OSError(5, "Input/output error")
        self.synced.append(name_of(fd))


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    disk = Disk()
    monkeypatch.setattr(posix, "fdatasync", disk.fdatasync)
    monkeypatch.setattr(posix, "fsync", disk.fsync)
    return disk


@pytest.fixture
def other(root: Path) -> Iterator[RealFileSystem]:
    """Another process, as far as the file system can tell."""
    other = RealFileSystem(root)
    yield other
    run(other.close())


class TestNames:
    def test_the_first_sync_covers_all_names_and_later_ones_only_bytes(
        self, root: Path, files: RealFileSystem, disk: Disk
    ) -> None:
        run(files.append("a/b/log", b"1"))

        run(files.sync("a/b/log"))

        assert disk.synced == [
            str(root / "a/b/log"),
            str(root / "a/b"),
            str(root / "a"),
            str(root),
            str(root.parent),
        ]

        disk.synced.clear()
        run(files.append("a/b/log", b"2"))
        run(files.sync("a/b/log"))
        assert disk.synced == [str(root / "a/b/log")]

        disk.synced.clear()
        run(files.append("a/log", b"1"))
        run(files.sync("a/log"))
        assert disk.synced == [str(root / "a/log"), str(root / "a"), str(root)]

    def test_every_folder_above_the_root_that_we_made_is_synced(
        self, tmp_path: Path, disk: Disk
    ) -> None:
        files = RealFileSystem(tmp_path / "x" / "y" / "root")

        run(files.write("f", b"1"))

        assert {str(tmp_path), str(tmp_path / "x"), str(tmp_path / "x/y")} <= set(disk.synced)

    def test_a_file_that_came_anew_has_its_name_synced_anew(
        self, root: Path, files: RealFileSystem, other: RealFileSystem, disk: Disk
    ) -> None:
        for remove in (files.delete, other.delete):
            run(files.append("a/log", b"1"))
            run(files.sync("a/log"))
            run(remove("a/log"))
            run(files.append("a/log", b"1"))
            disk.synced.clear()

            run(files.sync("a/log"))

            assert disk.synced == [str(root / "a/log"), str(root / "a"), str(root)]

    def test_a_file_replaced_during_its_sync_is_synced_too(
        self, root: Path, files: RealFileSystem, other: RealFileSystem, disk: Disk
    ) -> None:
        run(files.append("log", b"1"))

        def replaced() -> None:
            disk.before_data = lambda: None
            run(other.write("log", b"1", durable=False))

        disk.before_data = replaced

        run(files.sync("log"))

        assert disk.synced[0] == f"{root / 'log'} (deleted)"
        assert str(root / "log") in disk.synced

    def test_a_durable_write_is_synced_before_and_after_the_rename(
        self, root: Path, files: RealFileSystem, disk: Disk
    ) -> None:
        run(files.mkdir("a"))

        run(files.write("a/f", b"1"))

        draft, *folders = disk.synced
        assert os.path.basename(draft).startswith(".tmp-")
        assert folders[:2] == [str(root / "a"), str(root)]

        disk.synced.clear()
        run(files.write("a/f", b"1", durable=False))
        assert disk.synced == []

    def test_a_delete_is_durable(self, root: Path, files: RealFileSystem, disk: Disk) -> None:
        run(files.append("a/b/log", b"1"))

        run(files.delete("a/b/log"))
        run(files.delete_tree("a"))

        assert disk.synced == [str(root / "a/b"), str(root)]

    def test_a_delete_of_nothing_may_confirm_what_another_just_removed(
        self, root: Path, files: RealFileSystem, disk: Disk
    ) -> None:
        run(files.mkdir("a"))

        run(files.delete("a/log"))
        run(files.delete_tree("a/b"))

        assert disk.synced == [str(root / "a")] * 2


class TestGroupCommit:
    def test_threads_share_syncs_and_none_returns_too_early(
        self, root: Path, files: RealFileSystem, disk: Disk
    ) -> None:
        run(files.append("log", b""))
        run(files.sync("log"))
        disk.synced.clear()
        durable = 0

        def slow_disk() -> None:
            nonlocal durable
            size = (root / "log").stat().st_size
            time.sleep(0.005)
            durable = max(durable, size)

        disk.before_data = slow_disk

        def work(_: int) -> None:
            for _ in range(5):
                size = run(files.append("log", b"x" * 10))
                run(files.sync("log"))
                assert durable >= size

        with ThreadPoolExecutor(16) as pool:
            list(pool.map(work, range(16)))

        assert (root / "log").stat().st_size == 800
        assert 5 <= len(disk.synced) <= 40

    def test_a_slow_sync_does_not_hold_up_the_event_loop(
        self, files: RealFileSystem, disk: Disk
    ) -> None:
        release = threading.Event()
        entered = threading.Event()

        def stuck() -> None:
            entered.set()
            assert release.wait(10)

        async def main() -> int:
            bound = files.bind(AsyncRuntime())
            await bound.append("a/log", b"1")
            disk.before_data = stuck
            sync = asyncio.create_task(bound.sync("a/log"))
            while not entered.is_set():
                await asyncio.sleep(0)
            size = await bound.append("a/log", b"2", if_size=1)
            assert await bound.read("a/log") == b"12"
            await bound.append("b/log", b"1")
            assert not sync.done()
            release.set()
            await sync
            return size

        assert asyncio.run(main()) == 2

    def test_a_taken_flock_does_not_hold_up_the_event_loop(
        self, root: Path, files: RealFileSystem
    ) -> None:
        async def main() -> list[str]:
            bound = files.bind(AsyncRuntime())
            await bound.append("a/log", b"1")
            done: list[str] = []

            async def append(path: str) -> None:
                await bound.append(path, b"2")
                done.append(path)

            descriptor = os.open(root / "a/log", os.O_RDONLY)
            posix.lock(descriptor)
            waiting = asyncio.create_task(append("a/log"))
            await asyncio.sleep(0)
            await append("b/log")
            os.close(descriptor)
            await waiting
            return done

        assert asyncio.run(main()) == ["b/log", "a/log"]

    def test_a_cancelled_caller_cancels_nobody_else(
        self, files: RealFileSystem, disk: Disk
    ) -> None:
        release = threading.Event()
        disk.before_data = lambda: release.wait(10)

        async def main() -> None:
            bound = files.bind(AsyncRuntime())
            await bound.append("log", b"1")
            first = asyncio.create_task(bound.sync("log"))
            second = asyncio.create_task(bound.sync("log"))
            await asyncio.sleep(0.01)
            first.cancel()
            await asyncio.sleep(0)
            release.set()
            await second
            assert first.cancelled()

        asyncio.run(main())

        assert disk.synced


class TestAtOnce:
    """`Direct.sync_now`: what `sync` does, or nothing."""

    def test_bytes_and_names_are_synced_of_a_file_that_is_open(
        self, root: Path, files: RealFileSystem, disk: Disk
    ) -> None:
        run(files.append("log", b"1"))

        assert files.sync_now("log")
        assert not files.sync_now("other")

        assert disk.synced == [str(root / "log"), str(root), str(root.parent)]

    def test_while_another_syncs_nothing_is_done(
        self, root: Path, files: RealFileSystem, disk: Disk
    ) -> None:
        run(files.append("log", b"1"))
        answers: list[bool] = []

        def meanwhile() -> None:
            disk.before_data = lambda: None
            answers.append(files.sync_now("log"))

        disk.before_data = meanwhile

        assert files.sync_now("log")

        assert answers == [False]
        assert disk.synced == [str(root / "log"), str(root), str(root.parent)]

    def test_what_fails_is_saved_into_a_new_inode(
        self, root: Path, files: RealFileSystem, disk: Disk
    ) -> None:
        run(files.append("log", b"one\n"))
        run(files.sync("log"))
        run(files.append("log", b"two\n"))
        inode = (root / "log").stat().st_ino
        disk.fail_data = 1

        assert files.sync_now("log")

        assert (root / "log").stat().st_ino != inode
        assert (root / "log").read_bytes() == b"one\ntwo\n"

    def test_a_copy_that_took_the_path_is_left_to_sync(
        self, root: Path, files: RealFileSystem, disk: Disk
    ) -> None:
        run(files.append("log", b"1"))
        run(files.sync("log"))
        (root / "copy").write_bytes(b"1")
        disk.before_data = lambda: (root / "copy").exists() and (root / "copy").rename(root / "log")

        assert not files.sync_now("log")


class TestFailedSync:
    def test_the_bytes_move_to_a_new_inode_and_all_goes_on(
        self, root: Path, files: RealFileSystem, other: RealFileSystem, disk: Disk
    ) -> None:
        run(files.append("a/log", b"one\n"))
        run(other.append("a/log", b"two\n"))
        inode = (root / "a/log").stat().st_ino
        disk.fail_data = 1

        run(files.sync("a/log"))

        assert (root / "a/log").stat().st_ino != inode
        assert (root / "a/log").read_bytes() == b"one\ntwo\n"
        assert (root / "a/log").stat().st_mode & 0o777 == 0o600
        assert os.listdir(root / "a") == ["log"]
        assert ".tmp-" in disk.synced[0]
        assert disk.synced[1:3] == [str(root / "a"), str(root)]
        assert run(other.append("a/log", b"three\n", if_size=8)) == 14
        run(other.sync("a/log"))
        assert run(files.append("a/log", b"four\n", if_size=14)) == 19
        run(files.sync("a/log"))
        assert run(files.read("a/log")) == b"one\ntwo\nthree\nfour\n"

    def test_what_the_cache_has_lost_is_taken_from_memory(
        self, root: Path, files: RealFileSystem, disk: Disk
    ) -> None:
        run(files.append("log", b"durable\n"))
        run(files.sync("log"))
        run(files.append("log", b"first\n"))
        run(files.append("log", b"second\n"))

        def lose() -> None:
            with open(root / "log", "r+b") as file:
                file.seek(8)
                file.write(bytes(13))

        disk.before_data = lose
        disk.fail_data = 1

        run(files.sync("log"))

        assert (root / "log").read_bytes() == b"durable\nfirst\nsecond\n"

    def test_who_shared_the_failed_sync_is_not_told_all_is_well_too_early(
        self, root: Path, files: RealFileSystem, disk: Disk
    ) -> None:
        """Linux reports an error once for each open file: the second fdatasync says OK."""
        run(files.append("log", b""))
        run(files.sync("log"))
        inode = (root / "log").stat().st_ino
        disk.fail_data = 1
        disk.before_data = lambda: time.sleep(0.005)
        seen: list[int] = []

        def work(view: RealFileSystem) -> None:
            run(view.append("log", b"x"))
            run(view.sync("log"))
            seen.append((root / "log").stat().st_ino)

        # Views do not share a group, yet they share the descriptor.
        views = [files, files.bind(files._runtime), files.bind(BlockingRuntime())]
        with ThreadPoolExecutor(12) as pool:
            list(pool.map(work, views * 4))

        assert inode not in seen
        assert (root / "log").read_bytes() == b"x" * 12

    def test_who_waits_in_another_way_waits_for_the_copy_too(
        self, root: Path, files: RealFileSystem, disk: Disk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run(files.append("log", b"1"))
        disk.fail_data = 1
        copying, release = threading.Event(), threading.Event()
        fsync = disk.fsync

        def stuck(fd: int) -> None:
            copying.set()
            assert release.wait(10)
            fsync(fd)

        monkeypatch.setattr(posix, "fsync", stuck)
        with ThreadPoolExecutor(2) as pool:
            first = pool.submit(lambda: run(files.sync("log")))
            assert copying.wait(10)
            second = pool.submit(lambda: run(files.bind(BlockingRuntime()).sync("log")))
            with pytest.raises(TimeoutError):
                second.result(timeout=0.03)
            release.set()
            first.result()
            second.result()

        assert (root / "log").read_bytes() == b"1"

    def test_a_file_replaced_meanwhile_is_not_overwritten_by_the_copy(
        self, root: Path, files: RealFileSystem, other: RealFileSystem, disk: Disk
    ) -> None:
        run(files.append("log", b"1"))
        disk.fail_data = 1

        def replaced() -> None:
            disk.before_data = lambda: None
            run(other.write("log", b"new"))

        disk.before_data = replaced

        with pytest.raises(UnavailableError, match="replaced"):
            run(files.sync("log"))

        assert (root / "log").read_bytes() == b"new"

    def test_when_the_copy_fails_too_the_file_is_read_only(
        self, root: Path, files: RealFileSystem, other: RealFileSystem, disk: Disk
    ) -> None:
        run(files.append("a/log", b"1"))
        run(files.append("b/log", b"1"))
        disk.fail_data = 1
        disk.fail_files = 1

        with pytest.raises(UnavailableError, match="the disk failed") as caught:
            run(files.sync("a/log"))

        assert str(root) not in str(caught.value)
        assert (root / "a/log").read_bytes() == b"1"
        assert os.listdir(root / "a") == ["log"]
        synced = list(disk.synced)
        for call in (
            lambda: files.append("a/log", b"2"),
            lambda: files.append("a/log", b"2", if_size=1),
            lambda: files.sync("a/log"),
        ):
            with pytest.raises(UnavailableError, match="the disk failed"):
                run(call())
        assert disk.synced == synced
        assert run(files.read("a/log")) == b"1"
        assert run(files.append("b/log", b"2")) == 2
        run(files.sync("b/log"))

        run(other.write("a/log", b"repaired"))
        assert run(files.append("a/log", b"!", if_size=8)) == 9
        # Who appended the lost bytes may not have asked yet; somebody is told, once.
        with pytest.raises(UnavailableError, match="replaced"):
            run(files.sync("a/log"))
        run(files.sync("a/log"))

    def test_a_poisoned_file_stays_so_however_many_others_are_opened(
        self, files: RealFileSystem, disk: Disk
    ) -> None:
        files._shared.logs._max_open = 3
        run(files.append("log", b"1"))
        disk.fail_data = disk.fail_files = 1
        with pytest.raises(UnavailableError):
            run(files.sync("log"))

        for n in range(10):
            run(files.append(f"other{n}", b"1"))

        with pytest.raises(UnavailableError, match="the disk failed"):
            run(files.append("log", b"2"))

    def test_a_folder_that_cannot_be_synced_is_not_asked_again(
        self, files: RealFileSystem, disk: Disk
    ) -> None:
        run(files.append("a/log", b"1"))
        disk.fail_folders = 1

        for _ in range(2):
            with pytest.raises(UnavailableError, match="folder"):
                run(files.sync("a/log"))
        with pytest.raises(UnavailableError, match="folder"):
            run(files.append("a/log", b"1"))

    def test_a_file_deleted_meanwhile_does_not_come_back(
        self, root: Path, files: RealFileSystem, other: RealFileSystem, disk: Disk
    ) -> None:
        run(files.append("a/log", b"1"))
        disk.fail_data = 1
        disk.before_data = lambda: run(other.delete("a/log"))

        with pytest.raises(NotFoundError):
            run(files.sync("a/log"))

        assert os.listdir(root / "a") == []

    def test_another_copy_that_lacks_our_bytes_is_noticed(
        self, root: Path, files: RealFileSystem, disk: Disk
    ) -> None:
        run(files.append("log", b"one\n"))
        run(files.append("log", b"two\n"))
        (root / "copy").write_bytes(b"one\n\0\0\0\0")
        (root / "copy").rename(root / "log")

        with pytest.raises(UnavailableError, match="replaced"):
            run(files.sync("log"))

        run(files.sync("log"))

    def test_another_copy_that_has_our_bytes_is_fine(
        self, root: Path, files: RealFileSystem, other: RealFileSystem, disk: Disk
    ) -> None:
        run(files.append("log", b"one\n"))
        run(other.append("log", b"two\n"))
        disk.fail_data = 1
        run(other.sync("log"))
        disk.synced.clear()

        run(files.sync("log"))

        assert str(root / "log") in disk.synced

    def test_a_copy_that_comes_while_we_sync_and_lacks_our_bytes_is_noticed(
        self, root: Path, files: RealFileSystem, disk: Disk
    ) -> None:
        run(files.append("log", b"one\n"))
        run(files.append("log", b"two\n"))
        (root / "copy").write_bytes(b"one\n\0\0\0\0")

        def replace_once() -> None:
            if (root / "copy").exists():
                (root / "copy").rename(root / "log")

        disk.before_data = replace_once

        with pytest.raises(UnavailableError, match="replaced"):
            run(files.sync("log"))

        run(files.sync("log"))

    def test_appends_wait_for_the_copy_and_go_into_it(
        self, root: Path, files: RealFileSystem, disk: Disk, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run(files.append("log", b"1"))
        disk.fail_data = 1
        copying = threading.Event()
        fsync = disk.fsync

        def slow(fd: int) -> None:
            copying.set()
            time.sleep(0.02)
            fsync(fd)

        monkeypatch.setattr(posix, "fsync", slow)
        syncing = threading.Thread(target=lambda: run(files.sync("log")))
        syncing.start()
        assert copying.wait(10)

        size = run(files.append("log", b"2", if_size=1))

        syncing.join()
        assert size == 2
        assert (root / "log").read_bytes() == b"12"

    def test_a_failed_copy_because_the_log_is_locked_is_bounded(
        self, root: Path, disk: Disk
    ) -> None:
        files = RealFileSystem(root, io_timeout_ms=50)
        run(files.append("log", b"1"))
        disk.fail_data = 1
        held = os.open(root / "log", os.O_RDONLY)
        posix.lock(held)

        with pytest.raises(UnavailableError, match="locked"):
            run(files.sync("log"))
        os.close(held)

        with pytest.raises(UnavailableError, match="the disk failed"):
            run(files.append("log", b"2"))


class TestMemoryOfWhatIsOwed:
    def test_it_is_bounded_and_the_newest_stays(
        self, files: RealFileSystem, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        logs: Logs = files._shared.logs
        logs._max_bytes = 100

        for n in range(30):
            run(files.append(f"log{n % 3}", b"%10d" % n))

        owed = [logs.owed(log) for n in range(3) for log in logs.below(f"log{n}")]
        kept = sorted(int(data) for entries in owed for _, _, data in entries)
        assert len(kept) in (9, 10)
        assert kept == list(range(30))[-len(kept) :]
        run(files.append("log0", b"x" * 500))
        assert [data for _, _, data in logs.owed(logs.below("log0")[0])] == [b"x" * 500]

    def test_it_is_empty_after_a_sync(self, files: RealFileSystem) -> None:
        for _ in range(3):
            run(files.append("log", b"x"))
        logs = files._shared.logs

        run(files.sync("log"))

        assert logs.owed(logs.below("log")[0]) == []
        assert (logs._bytes, len(logs._owing)) == (0, 0)


def test_conflicts_survive_a_failed_sync(files: RealFileSystem, disk: Disk) -> None:
    run(files.append("log", b"1"))
    disk.fail_data = 1
    run(files.sync("log"))

    with pytest.raises(ConflictError) as caught:
        run(files.append("log", b"2", if_size=0))

    assert caught.value.actual == 1
