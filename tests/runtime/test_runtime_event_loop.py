import asyncio
import threading
from collections.abc import Callable

import pytest

from session_store import event_loop
from session_store.event_loop import THREADS_MAX, AsyncRuntime


def crew() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "session-store"]


def test_what_blocks_is_done_by_many_at_once_and_each_gets_its_own_answer() -> None:
    runtime = AsyncRuntime()
    together = threading.Barrier(THREADS_MAX)

    def work(number: int) -> int:
        together.wait(10)
        return number

    async def main() -> list[int]:
        return await asyncio.gather(*(runtime.offload(work, n) for n in range(3 * THREADS_MAX)))

    answers = asyncio.run(main())

    assert answers == list(range(3 * THREADS_MAX))


def test_the_loop_goes_on_meanwhile() -> None:
    runtime = AsyncRuntime()
    release = threading.Event()

    async def main() -> bool:
        waiting = asyncio.create_task(runtime.offload(release.wait, 10))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not waiting.done()
        release.set()
        return await waiting

    assert asyncio.run(main())


def test_an_error_comes_to_who_asked() -> None:
    runtime = AsyncRuntime()

    async def main() -> None:
        with pytest.raises(ZeroDivisionError):
            await runtime.offload(divmod, 1, 0)
        assert await runtime.offload(divmod, 7, 2) == (3, 1)

    asyncio.run(main())


def test_a_call_is_made_to_its_end_though_who_asked_was_cancelled() -> None:
    runtime = AsyncRuntime()
    begun, release, ended = threading.Event(), threading.Event(), threading.Event()
    upset: list[object] = []

    def work() -> None:
        begun.set()
        release.wait(10)
        ended.set()

    async def main() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: upset.append(context))
        asked = asyncio.create_task(runtime.offload(work))
        while not begun.is_set():
            await asyncio.sleep(0)
        asked.cancel()
        other = asyncio.create_task(runtime.offload(len, "four"))
        release.set()
        assert await other == 4
        assert asked.cancelled()
        assert await asyncio.to_thread(ended.wait, 10)
        assert await runtime.offload(len, "four") == 4

    asyncio.run(main())

    assert not upset


def test_threads_without_work_leave_and_others_come_when_there_is_some(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(event_loop, "IDLE_SECONDS", 0.001)
    runtime = AsyncRuntime()
    others = crew()

    async def main() -> None:
        for number in range(20):
            assert await runtime.offload(abs, -number) == number
            for thread in set(crew()) - set(others):
                await asyncio.to_thread(thread.join, 10)
                assert not thread.is_alive()

    asyncio.run(main())


def test_a_closed_loop_is_no_error_for_the_thread_that_comes_too_late() -> None:
    runtime = AsyncRuntime()
    release = threading.Event()
    failed: list[object] = []

    async def main() -> None:
        asked = asyncio.create_task(runtime.offload(release.wait, 10))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        asked.cancel()

    before = threading.excepthook
    threading.excepthook = failed.append
    try:
        asyncio.run(main())
        release.set()
        assert asyncio.run(runtime.offload(len, "four")) == 4
    finally:
        threading.excepthook = before

    assert not failed


def test_a_system_without_threads_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    runtime = AsyncRuntime()

    def refuse(_: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    async def main(call: Callable[..., int]) -> int:
        return await runtime.offload(call, "four")

    with monkeypatch.context() as patched:
        patched.setattr(threading.Thread, "start", refuse)
        with pytest.raises(RuntimeError, match="new thread"):
            asyncio.run(main(len))

    assert asyncio.run(main(len)) == 4
