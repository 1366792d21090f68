"""Waiting in an asyncio event loop: other tasks run meanwhile, and what blocks has threads.

A file of its own, so that who uses the blocking face does not wait for asyncio to be loaded.
"""

import asyncio
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine, Iterator
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, Final, Generic, TypeVar, TypeVarTuple

from session_store.errors import ClosedError
from session_store.runtime import Chance, Event, Mutex, iterate, on_fork

THREADS_MAX: Final = 32
IDLE_SECONDS: Final = 5.0
"""How long a thread without work stays."""

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
_Job = tuple[asyncio.Future[Any], Callable[..., Any], tuple[Any, ...]]


class AsyncRuntime(Chance):
    """For an asyncio event loop: waiting lets other tasks run."""

    blocking = False

    def __init__(self) -> None:
        self._crew: _Crew | None = None

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def mutex(self) -> Mutex:
        return _TaskMutex()

    def event(self) -> Event:
        return asyncio.Event()

    async def offload(self, call: Callable[[*Ts], T], *args: *Ts) -> T:
        loop = asyncio.get_running_loop()
        if self._crew is None or self._crew.loop is not loop:
            self._crew = _Crew(loop)
        result: T = await self._crew.take(call, args)
        return result


class _TaskMutex(asyncio.Lock):
    def enter_now(self) -> bool:
        # No other task runs during a plain call, so there is nothing to take.
        return not self.locked()

    try_enter = enter_now

    def leave(self) -> None:
        pass


class _Crew:
    """Threads for what blocks, and one way back into the loop for all that is done by then.

    Measured with 64 tasks that each write and `fdatasync` a file of their own, on two cores:
    19,000/s; with an executor of as many threads, where each call wakes the loop, 11,600/s;
    with `asyncio.to_thread`, which has six threads there, 5,000/s.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self._given: list[_Job] = []
        self._jobs: SimpleQueue[_Job] = SimpleQueue()
        self._done: deque[tuple[asyncio.Future[Any], Any, BaseException | None]] = deque()
        self._announced = False
        self._under_way = 0
        self._threads = 0
        self._guard = threading.Lock()

    def take(self, call: Callable[..., Any], args: tuple[Any, ...]) -> asyncio.Future[Any]:
        """Have `call(*args)` made by a thread; it is made also if the future is cancelled."""
        future = self.loop.create_future()
        if not self._given:
            # When the tasks that can go on have done so: while threads run, each system call of
            # theirs would have to win the interpreter's lock back. 20 % less CPU in all.
            self.loop.call_soon(self._begin)
        self._given.append((future, call, args))
        return future

    def _begin(self) -> None:
        given, self._given = self._given, []
        for future, call, args in given:
            with self._guard:
                try:
                    if self._threads <= self._under_way and self._threads < THREADS_MAX:
                        self._hire()
                except RuntimeError as error:  # the system gives no more threads
                    if not self._threads:
                        _tell(future, None, error)
                        continue
                self._under_way += 1
                self._jobs.put((future, call, args))

    def _hire(self) -> None:
        threading.Thread(target=self._work, name="session-store", daemon=True).start()
        self._threads += 1

    def _work(self) -> None:
        while job := self._next():
            future, call, args = job
            result, failure = None, None
            try:
                result = call(*args)
            except BaseException as error:
                failure = error
            self._done.append((future, result, failure))
            # Let go at once: what was given may be an open file.
            del job, future, call, args, result, failure
            # Once for all that are done before the loop gets to it: waking it takes longest.
            if not self._announced:
                self._announced = True
                with suppress(RuntimeError):  # the loop is closed, and nobody waits
                    self.loop.call_soon_threadsafe(self._deliver)

    def _next(self) -> _Job | None:
        while True:
            try:
                return self._jobs.get(timeout=IDLE_SECONDS)
            except Empty:
                with self._guard:
                    if self._jobs.empty():
                        self._threads -= 1
                        return None

    def _deliver(self) -> None:
        self._announced = False  # first: what is done from here on announces itself
        while self._done:
            future, result, failure = self._done.popleft()
            self._under_way -= 1
            _tell(future, result, failure)


def _tell(future: asyncio.Future[Any], result: Any, failure: BaseException | None) -> None:
    if future.done():
        return  # who asked was cancelled
    if failure is None:
        future.set_result(result)
    else:
        future.set_exception(failure)


class LoopThread:
    """Drives coroutines that suspend from ordinary threads: in an event loop with its own thread.

    It is started by the first call, and again in a child after a fork.
    """

    def __init__(self) -> None:
        self.runtime = AsyncRuntime()
        self.after_fork()
        on_fork(self)

    def after_fork(self) -> None:
        """Leave loop and thread to the parent, in a child."""
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None
        self._ending: set[asyncio.Task[None]] = set()
        self._guard = threading.Lock()

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return what the coroutine returns; the thread that asks waits.

        Raises `ClosedError` if `stop` ended it.
        """
        if threading.current_thread() is self._thread:
            coroutine.close()
            raise RuntimeError("a function given to a store cannot call that store and wait for it")
        call = _Call(coroutine)
        try:
            with self._guard:
                # Under the guard: so it begins before a `stop` that comes now, which then ends it.
                call.give_to(self._started())
            call.wait()
        except BaseException:
            # Of the thread that waits, such as KeyboardInterrupt: nobody asks for it any more.
            call.leave()
            raise
        return call.result()

    def iterate(self, generator: AsyncGenerator[T, None]) -> Iterator[T]:
        """Yield what the generator yields."""
        return iterate(generator, self.run, self._end)

    def _end(self, closing: Coroutine[Any, Any, None]) -> None:
        loop = self._loop
        if loop is not None and threading.current_thread() is self._thread:
            # Nobody holds the iterator any more, and it is here that this was found out.
            task = loop.create_task(closing)
            self._ending.add(task)
            task.add_done_callback(self._ending.discard)
        else:
            self.run(closing)

    def stop(self) -> None:
        """End the thread, and the loop with what still waits in it."""
        with self._guard:
            loop, thread, self._loop, self._thread = self._loop, self._thread, None, None
        if loop is not None and thread is not None:
            loop.call_soon_threadsafe(loop.stop)
            thread.join()

    def _started(self) -> asyncio.AbstractEventLoop:
        if self._loop is None:
            loop = asyncio.new_event_loop()
            thread = threading.Thread(
                target=_serve, args=(loop,), name="session-store", daemon=True
            )
            try:
                thread.start()
            except RuntimeError:  # the system has no room for one more
                loop.close()
                raise
            # Last: a loop whose thread the system refused would be waited for in vain.
            self._loop, self._thread = loop, thread
        return self._loop


class _Call(Generic[T]):
    """A coroutine in the loop, for which a thread waits.

    By a bare lock: a future that both sides share costs 15 µs more, of 50 there and back.
    """

    def __init__(self, coroutine: Coroutine[Any, Any, T]) -> None:
        self._coroutine = coroutine
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[T] | None = None
        self._under_way = threading.Lock()
        self._under_way.acquire()

    def give_to(self, loop: asyncio.AbstractEventLoop) -> None:
        """Have the loop do it."""
        self._loop = loop
        loop.call_soon_threadsafe(self._begin, loop)

    def wait(self) -> None:
        """Return when it has ended."""
        self._under_way.acquire()

    def result(self) -> T:
        """Return what it returned, once it has ended."""
        assert self._task is not None
        if self._task.cancelled():
            raise ClosedError
        return self._task.result()

    def leave(self) -> None:
        """End it, if it has begun and has not ended."""
        if self._loop is None:
            self._coroutine.close()
            return
        with suppress(RuntimeError):  # the loop is closed, and all that was in it
            self._loop.call_soon_threadsafe(self._cancel)

    def _begin(self, loop: asyncio.AbstractEventLoop) -> None:
        self._task = loop.create_task(self._coroutine)
        self._task.add_done_callback(self._end)

    def _end(self, _task: "asyncio.Task[T]") -> None:
        self._under_way.release()

    def _cancel(self) -> None:
        if self._task is not None:
            self._task.cancel()


def _serve(loop: asyncio.AbstractEventLoop) -> None:
    with asyncio.Runner(loop_factory=lambda: loop) as runner:
        runner.get_loop().run_forever()


__all__ = ["AsyncRuntime", "LoopThread"]
