import asyncio
import os
import signal
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from session_store.errors import ClosedError
from session_store.event_loop import AsyncRuntime
from session_store.files import RealFileSystem
from session_store.files.descriptors import Descriptors
from session_store.files.tree import Tree
from session_store.files.watching import LONGEST_SECONDS, SHORTEST_SECONDS, Watching, pause_after
from session_store.runtime import BlockingRuntime, Event, run

PATIENCE_SECONDS = 20.0


class Clock(AsyncRuntime):
    """Time that passes by waiting for it."""

    def __init__(self) -> None:
        super().__init__()
        self.seconds = 0.0
        self.pauses: list[float] = []
        self.then: Callable[[], object] = lambda: None
        self.asleep: asyncio.Event | None = None

    def now_ms(self) -> int:
        return int(self.seconds * 1000)

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.pauses.append(seconds)
        self.seconds += seconds + 0.000_1  # nobody wakes up too early
        self.then()
        await (asyncio.sleep(0) if self.asleep is None else self.asleep.wait())


class Looks(Tree):
    """A tree that counts how often it is looked at."""

    def __init__(self, root: Path) -> None:
        super().__init__(str(root), Descriptors())
        self.looks = 0
        self.broken = False

    def status(self, path: str) -> os.stat_result | None:
        self.looks += 1
        if self.broken:
            raise PermissionError
        return super().status(path)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def tree(tmp_path: Path) -> Looks:
    return Looks(tmp_path)


@pytest.fixture
def watching(tree: Looks, clock: Clock) -> Watching:
    return Watching(tree, clock, lambda: False)


def quiet(folder: Path, name: str) -> str:
    path = folder / name
    path.write_bytes(b"1")
    os.utime(path, (-100, -100))
    return name


def test_a_file_is_looked_at_often_while_it_changes_and_less_the_longer_it_is_quiet() -> None:
    assert pause_after(0) == pause_after(-5) == SHORTEST_SECONDS
    assert pause_after(1e9) == LONGEST_SECONDS
    for quiet_seconds in (0.05, 0.3, 1.0, 1.9):
        assert quiet_seconds / 64 < pause_after(quiet_seconds) <= quiet_seconds / 16


def test_a_hundred_who_wait_wake_up_as_seldom_as_one(
    tmp_path: Path, tree: Looks, clock: Clock, watching: Watching
) -> None:
    names = [quiet(tmp_path, f"{number}") for number in range(100)]

    async def main() -> None:
        await asyncio.gather(*(watching.changed(name, 1, 64.0) for name in names))

    asyncio.run(main())

    assert clock.seconds >= 64
    assert len(clock.pauses) <= 1000 + 2 * 100
    assert tree.looks <= 100 * 1010


def test_a_change_is_told_to_who_waits_for_it_and_to_nobody_else(
    tmp_path: Path, clock: Clock, watching: Watching
) -> None:
    names = [quiet(tmp_path, f"{number}") for number in range(5)]
    told: list[str] = []

    async def wait(name: str) -> None:
        await watching.changed(name, 1, 1000)
        told.append(name)

    def change() -> None:
        if len(clock.pauses) % 10 == 0 and names[len(told) :]:
            (tmp_path / names[len(told)]).write_bytes(b"12")

    clock.then = change

    async def main() -> None:
        await asyncio.gather(*map(wait, names))

    asyncio.run(main())

    assert told == names
    assert clock.seconds < 1000


@pytest.mark.parametrize("cancelled", [0, 1, 2])
def test_when_one_is_cancelled_the_others_are_still_told(
    tmp_path: Path, watching: Watching, cancelled: int
) -> None:
    names = [quiet(tmp_path, f"{number}") for number in range(3)]

    async def main() -> None:
        tasks = [asyncio.create_task(watching.changed(name, 1, 1e9)) for name in names]
        for _ in range(5):
            await asyncio.sleep(0)
        tasks.pop(cancelled).cancel()
        for _ in range(5):
            await asyncio.sleep(0)
        for name in names:
            (tmp_path / name).unlink()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(*tasks)

    asyncio.run(main())


def test_who_comes_is_answered_though_the_one_who_looks_is_asleep(
    tmp_path: Path, clock: Clock, watching: Watching
) -> None:
    quiet(tmp_path, "asleep")
    quiet(tmp_path, "changed")

    async def main() -> None:
        async with asyncio.timeout(PATIENCE_SECONDS):
            clock.asleep = asyncio.Event()
            looker = asyncio.create_task(watching.changed("asleep", 1, 1e9))
            while not clock.pauses:
                await asyncio.sleep(0)
            await watching.changed("changed", 0, 1e9)
            clock.asleep.set()
            clock.asleep = None
            (tmp_path / "asleep").unlink()
            await looker

    asyncio.run(main())


def test_a_thread_that_is_told_just_before_it_rests_does_not_rest(tree: Looks) -> None:
    class Crossing(BlockingRuntime):
        async def sleep(self, seconds: float) -> None:
            watching._looker = None  # another has come, and looks

        def event(self) -> Event:
            for waiter in watching._waiting:
                waiter.over = True
                waiter.wake()
            return super().event()

    watching = Watching(tree, Crossing(), lambda: False)
    waiting = threading.Thread(target=lambda: run(watching.changed("log", 0, 1e9)), daemon=True)

    waiting.start()
    waiting.join(PATIENCE_SECONDS)

    assert not waiting.is_alive()


def test_what_cannot_be_looked_at_is_left_to_the_caller(tree: Looks, watching: Watching) -> None:
    tree.broken = True

    asyncio.run(asyncio.wait_for(watching.changed("log", 0, 1e9), PATIENCE_SECONDS))


def test_who_waits_returns_when_the_files_are_closed(tmp_path: Path) -> None:
    async def main() -> None:
        files = RealFileSystem(tmp_path, runtime=AsyncRuntime())
        waits = [asyncio.ensure_future(files.changed(name, 0, 1e9)) for name in "abc"]
        await asyncio.sleep(0)
        await files.close()
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asyncio.gather(*waits)
        with pytest.raises(ClosedError):
            files.changed("a", 0, 1e9)

    asyncio.run(main())


def test_threads_are_told_each_of_its_own(tmp_path: Path) -> None:
    files = RealFileSystem(tmp_path)
    names = [f"{number}" for number in range(12)]
    told: list[str] = []

    async def wait(name: str) -> None:
        for size in range(5):
            await files.changed(name, size, PATIENCE_SECONDS)
        told.append(name)

    async def write(name: str) -> None:
        for _ in range(5):
            await files.append(name, b"x")

    threads = [threading.Thread(target=lambda n=name: run(wait(n)), daemon=True) for name in names]
    for thread in threads:
        thread.start()
    for name in names:
        run(write(name))
    for thread in threads:
        thread.join(PATIENCE_SECONDS)

    assert sorted(told) == sorted(names)


def test_a_child_looks_for_itself(tmp_path: Path) -> None:
    files = RealFileSystem(tmp_path)
    asleep = threading.Thread(target=lambda: run(_changed(files, "a")), daemon=True)
    asleep.start()

    with files._shared.watching(files._runtime)._guard:  # as if the thread was just in there
        child = os.fork()
        if not child:
            signal.alarm(int(PATIENCE_SECONDS))
            run(files.append("b", b"x"))
            run(_changed(files, "b"))
            os._exit(0)
    _, status = os.waitpid(child, 0)
    run(files.append("a", b"x"))
    asleep.join(PATIENCE_SECONDS)

    assert status == 0
    assert not asleep.is_alive()


async def _changed(files: RealFileSystem, path: str) -> None:
    await files.changed(path, 0, PATIENCE_SECONDS)
