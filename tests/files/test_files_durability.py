"""The policy: what is synced when, for each of the three modes."""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest

from session_store.errors import UnavailableError
from session_store.files import Durability, InMemoryFileSystem
from session_store.runtime import BlockingRuntime, run


class Recording(InMemoryFileSystem):
    """Notes what was synced; paths in `broken` cannot be."""

    def __init__(self) -> None:
        super().__init__()
        self.synced: list[str] = []
        self.broken: set[str] = set()
        self.during: Callable[[str], None] = lambda path: None

    async def sync(self, path: str) -> None:
        await super().sync(path)
        self.during(path)
        if path in self.broken:
            raise UnavailableError(path, "broken")
        self.synced.append(path)


@pytest.fixture
def files() -> Recording:
    files = Recording()
    for name in "abc":
        run(files.append(name, b"1"))
    return files


def test_fsync_syncs_at_once(files: Recording) -> None:
    durability = Durability(files, "fsync", BlockingRuntime())

    run(durability.committed("a"))

    assert files.synced == ["a"]
    run(durability.flush())
    assert files.synced == ["a"]


def test_fsync_tells_what_failed(files: Recording) -> None:
    durability = Durability(files, "fsync", BlockingRuntime())
    files.broken = {"a"}

    with pytest.raises(UnavailableError):
        run(durability.committed("a"))


def test_os_syncs_nothing_until_it_is_flushed(files: Recording) -> None:
    durability = Durability(files, "os", BlockingRuntime())

    run(durability.committed("a"))
    before = list(files.synced)
    run(durability.flush())

    assert before == []
    assert files.synced == ["a"]


def test_interval_syncs_each_file_once_when_told(files: Recording) -> None:
    durability = Durability(files, "interval", BlockingRuntime(), interval_ms=50)
    for path in "abba":
        run(durability.committed(path))
    assert files.synced == []

    run(durability.sync_dirty())
    run(durability.sync_dirty())

    assert files.synced == ["a", "b"]
    assert (durability.mode, durability.interval_ms) == ("interval", 50)


def test_what_fails_stays_dirty_and_the_rest_is_synced(files: Recording) -> None:
    durability = Durability(files, "interval", BlockingRuntime())
    for path in "abc":
        run(durability.committed(path))
    files.broken = {"a", "b"}

    with pytest.raises(UnavailableError) as caught:
        run(durability.sync_dirty())

    assert caught.value.path == "a"
    assert files.synced == ["c"]
    files.broken = set()
    run(durability.sync_dirty())
    assert files.synced == ["c", "a", "b"]


def test_a_deleted_file_owes_nothing(files: Recording) -> None:
    durability = Durability(files, "interval", BlockingRuntime())
    run(durability.committed("a"))
    run(files.delete("a"))

    run(durability.sync_dirty())
    run(files.append("a", b"1"))
    run(durability.sync_dirty())

    assert files.synced == []


def test_what_is_committed_during_a_sync_is_dirty_again(files: Recording) -> None:
    durability = Durability(files, "interval", BlockingRuntime())
    run(durability.committed("a"))
    files.during = lambda path: run(durability.committed(path))
    run(durability.sync_dirty())
    files.during = lambda path: None

    run(durability.sync_dirty())

    assert files.synced == ["a", "a"]


def test_a_flush_waits_for_what_another_has_begun(files: Recording) -> None:
    durability = Durability(files, "interval", BlockingRuntime())
    run(durability.committed("a"))
    begun = threading.Event()
    release = threading.Event()

    def slow(path: str) -> None:
        begun.set()
        assert release.wait(10)

    files.during = slow
    with ThreadPoolExecutor(2) as pool:
        first = pool.submit(lambda: run(durability.sync_dirty()))
        assert begun.wait(10)
        second = pool.submit(lambda: run(durability.flush()))
        with pytest.raises(TimeoutError):
            second.result(timeout=0.02)
        release.set()
        first.result()
        second.result()

    assert files.synced == ["a"]


def test_a_child_owes_nothing_of_its_parent(files: Recording) -> None:
    durability = Durability(files, "interval", BlockingRuntime())
    run(durability.committed("a"))

    durability.after_fork()
    run(durability.sync_dirty())

    assert files.synced == []
