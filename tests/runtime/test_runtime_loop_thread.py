"""Ordinary threads drive coroutines that suspend."""

import asyncio
import os
import signal
import threading
from collections.abc import AsyncGenerator, Iterator

import pytest

from session_store.event_loop import LoopThread


@pytest.fixture
def driver() -> Iterator[LoopThread]:
    driver = LoopThread()
    yield driver
    driver.stop()


async def later(answer: int) -> int:
    await asyncio.sleep(0)
    return answer


async def count(ended: list[str]) -> AsyncGenerator[int, None]:
    try:
        for number in range(3):
            yield await later(number)
    finally:
        ended.append("closed")


def test_the_result_and_the_error_of_a_coroutine_come_back(driver: LoopThread) -> None:
    async def fail() -> None:
        await later(1)
        raise LookupError("nothing")

    assert driver.run(later(7)) == 7
    with pytest.raises(LookupError, match="nothing"):
        driver.run(fail())


def test_many_threads_share_one_loop(driver: LoopThread) -> None:
    loops: set[int] = set()

    async def note() -> None:
        loops.add(id(asyncio.get_running_loop()))

    threads = [threading.Thread(target=lambda: driver.run(note())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(loops) == 1


def test_a_generator_is_closed_by_whoever_leaves_it(driver: LoopThread) -> None:
    ended: list[str] = []
    items = driver.iterate(count(ended))

    first = next(items)
    assert not ended
    items.close()  # type: ignore[attr-defined]

    assert first == 0
    assert ended == ["closed"]
    assert list(driver.iterate(count(ended))) == [0, 1, 2]


def test_an_iterator_that_is_dropped_in_the_thread_itself_is_ended_there(
    driver: LoopThread,
) -> None:
    ended: list[str] = []
    held = [driver.iterate(count(ended))]
    next(held[0])

    async def drop() -> None:
        held.clear()

    driver.run(drop())
    driver.run(later(1))

    assert ended == ["closed"]


def test_an_interrupt_cancels_what_was_asked_for(driver: LoopThread) -> None:
    cancelled = threading.Event()

    async def wait() -> None:
        try:
            await asyncio.sleep(0.05)
            os.kill(os.getpid(), signal.SIGINT)  # lands in the main thread, which waits
            await asyncio.sleep(60)
        finally:
            cancelled.set()

    # A shell that runs the tests in the background has it ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            driver.run(wait())
    finally:
        signal.signal(signal.SIGINT, before)

    assert cancelled.wait(10)


def test_a_call_from_inside_is_refused_and_does_not_hang(driver: LoopThread) -> None:
    async def ask() -> int:
        return driver.run(later(1))

    with pytest.raises(RuntimeError, match="cannot call that store"):
        driver.run(ask())


def test_a_child_has_a_thread_of_its_own(driver: LoopThread) -> None:
    driver.run(later(1))

    child = os.fork()
    if not child:
        os._exit(driver.run(later(42)))

    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 42
    assert driver.run(later(2)) == 2


def test_nothing_is_left_behind_when_it_has_been_stopped() -> None:
    before = set(threading.enumerate())
    driver = LoopThread()
    driver.run(later(1))

    driver.stop()

    assert set(threading.enumerate()) == before
