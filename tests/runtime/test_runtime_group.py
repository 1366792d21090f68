import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from session_store.event_loop import AsyncRuntime
from session_store.runtime import BlockingRuntime, GroupCommit, run


class Work:
    """A call that takes a while and knows what was asked for before it began."""

    def __init__(self, runtime: AsyncRuntime | BlockingRuntime) -> None:
        self.group = GroupCommit(runtime)
        self.runtime = runtime
        self.asked = 0
        self.covered = 0
        self.calls = 0
        self.failures = 0

    async def call(self) -> None:
        self.calls += 1
        asked = self.asked
        await self.runtime.sleep(0.001)
        if self.failures:
            self.failures -= 1
            raise OSError("the disk")
        self.covered = max(self.covered, asked)

    async def ask(self) -> None:
        self.asked += 1
        mine = self.asked
        await self.group.run("one", self.call)
        assert self.covered >= mine


def test_tasks_that_come_together_share_a_call() -> None:
    async def main() -> int:
        work = Work(AsyncRuntime())
        await asyncio.gather(*(work.ask() for _ in range(64)))
        return work.calls

    # The first goes at once and alone, the others wait for the next.
    assert asyncio.run(main()) == 2


def test_who_was_served_together_goes_on_together() -> None:
    async def main() -> int:
        work = Work(AsyncRuntime())

        async def often() -> None:
            for _ in range(10):
                await work.ask()

        await asyncio.gather(*(often() for _ in range(64)))
        return work.calls

    assert asyncio.run(main()) <= 21


def test_threads_share_calls_and_none_returns_too_early() -> None:
    group = GroupCommit(BlockingRuntime())
    guard = threading.Lock()
    asked = covered = calls = 0

    async def call() -> None:
        nonlocal covered, calls
        with guard:
            seen = asked
            calls += 1
        time.sleep(0.002)
        covered = max(covered, seen)

    def ask(_: int) -> None:
        nonlocal asked
        for _ in range(10):
            with guard:
                asked += 1
                mine = asked
            run(group.run("one", call))
            assert covered >= mine

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(ask, range(16)))

    assert calls < 160


def test_keys_do_not_wait_for_each_other() -> None:
    async def main() -> list[str]:
        group = GroupCommit(AsyncRuntime())
        release = asyncio.Event()
        done: list[str] = []

        async def slow() -> None:
            await release.wait()
            done.append("slow")

        async def quick() -> None:
            done.append("quick")

        first = asyncio.create_task(group.run("a", slow))
        await asyncio.sleep(0)
        await group.run("b", quick)
        release.set()
        await first
        return done

    assert asyncio.run(main()) == ["quick", "slow"]


@pytest.mark.parametrize("failures", [1, 2])
def test_a_failure_is_told_once_and_the_others_try_anew(failures: int) -> None:
    async def main() -> tuple[list[object], int]:
        work = Work(AsyncRuntime())
        work.failures = failures
        asking = (work.ask() for _ in range(5))
        return await asyncio.gather(*asking, return_exceptions=True), work.calls

    answers, calls = asyncio.run(main())

    assert sum(isinstance(answer, OSError) for answer in answers) == failures
    assert answers.count(None) == 5 - failures
    assert calls == 2 * failures


@pytest.mark.parametrize("cancelled", [0, 1, 2])
def test_who_is_cancelled_takes_nobody_along(cancelled: int) -> None:
    async def main() -> list[bool]:
        work = Work(AsyncRuntime())
        tasks = [asyncio.create_task(work.ask()) for _ in range(4)]
        await asyncio.sleep(0)
        tasks[cancelled].cancel()
        await asyncio.wait(tasks)
        for task in tasks:
            assert task.cancelled() or task.exception() is None
        return [task.cancelled() for task in tasks]

    assert asyncio.run(main()) == [number == cancelled for number in range(4)]


def test_nothing_is_kept_of_a_key_that_nobody_waits_for() -> None:
    work = Work(BlockingRuntime())
    work.failures = 1

    with pytest.raises(OSError, match="disk"):
        run(work.ask())
    run(work.ask())

    assert (work.group._current, work.group._next) == ({}, {})
