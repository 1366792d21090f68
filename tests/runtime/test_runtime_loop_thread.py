"""Threads that wait for coroutines: each gets its own answer, and nobody waits for ever."""

import asyncio
import gc
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from session_store.errors import ClosedError
from session_store.event_loop import LoopThread


@pytest.fixture
def loops() -> Iterator[LoopThread]:
    loops = LoopThread()
    yield loops
    loops.stop()


async def later(value: Any) -> Any:
    await asyncio.sleep(0)
    return value


def test_each_thread_gets_its_own_answer(loops: LoopThread) -> None:
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda number: loops.run(later(number)), range(400)))

    assert answers == list(range(400))


def test_an_error_comes_to_who_asked(loops: LoopThread) -> None:
    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        loops.run(fail())

    assert loops.run(later(7)) == 7


def test_a_call_from_within_is_refused_instead_of_waiting_for_itself(loops: LoopThread) -> None:
    async def call() -> None:
        loops.run(later(1))

    with pytest.raises(RuntimeError, match="cannot call that store"):
        loops.run(call())


def test_what_waits_when_it_is_stopped_is_told_that_it_is_closed(loops: LoopThread) -> None:
    begun = threading.Event()

    async def forever() -> None:
        begun.set()
        await asyncio.Event().wait()

    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(loops.run, forever())
        assert begun.wait(10)

        loops.stop()

        with pytest.raises(ClosedError):
            waiting.result(10)


def test_whoever_asks_while_it_is_stopped_is_answered_or_told(loops: LoopThread) -> None:
    def ask(number: int) -> Any:
        try:
            return loops.run(later(number))
        except ClosedError:
            return None

    with ThreadPoolExecutor(4) as pool:
        asked = [pool.submit(ask, number) for number in range(400)]
        for _ in range(20):
            loops.stop()
        answers = [one.result(10) for one in asked]

    assert all(answer in (None, number) for number, answer in enumerate(answers))


def test_a_thread_that_is_interrupted_leaves_no_call_behind(loops: LoopThread) -> None:
    ended = threading.Event()
    before = signal.signal(signal.SIGINT, signal.default_int_handler)

    async def interrupt_who_waits() -> None:
        os.kill(os.getpid(), signal.SIGINT)
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    try:
        with pytest.raises(KeyboardInterrupt):
            loops.run(interrupt_who_waits())
    finally:
        signal.signal(signal.SIGINT, before)

    assert ended.wait(10)
    assert loops.run(later(7)) == 7


def test_a_thread_that_the_system_refuses_is_told_and_asked_for_again(
    loops: LoopThread, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            loops.run(later(7))
        gc.collect()  # a loop that was left open, or a call that was never begun, is told now

    assert loops.run(later(7)) == 7
