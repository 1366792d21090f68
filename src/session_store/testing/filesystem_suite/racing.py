"""Several callers at once: how they are started together, and what became of each."""

import asyncio
import sys
import threading
from collections.abc import Awaitable, Callable, Coroutine, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any, Final, TypeAlias

from session_store.event_loop import AsyncRuntime
from session_store.files.filesystem import Bindable, FileSystem
from session_store.runtime import run
from session_store.testing.children import PROCESSES, Children, can_travel

WAYS: Final = ("threads", "tasks", "handles", "processes")

CALLERS: Final = 4
SWITCH_SECONDS: Final = 0.000_01
TOGETHER_SECONDS: Final = 60

Work: TypeAlias = Callable[[FileSystem], Coroutine[Any, Any, Any]]
"""What one caller does; a function of a module, or a `partial` of one, so that it can travel."""


class Refused(Exception):
    """This engine cannot be raced in this way, and its traits or fixtures say so."""


class Race:
    """Runs as many works at once as there are callers."""

    def __init__(
        self,
        callers: int,
        together: Callable[[Sequence[Work]], list[Any]],
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.callers = callers
        self.close = close
        self._together = together
        self._turn = 0

    def run(self, *works: Work) -> list[Any]:
        """Return what each work returned, in their order; raises what one of them raised."""
        assert len(works) <= self.callers
        self._turn += 1
        if self._turn % 2:
            return self._together(works)
        # Who is started last comes through first: they take turns, lest one always wins.
        return self._together(works[::-1])[::-1]

    def each(self, work: Callable[[int], Work]) -> list[Any]:
        """Return what `work(0)`, `work(1)` … returned, one for each caller."""
        return self.run(*(work(number) for number in range(self.callers)))


def race_by(
    way: str,
    files: FileSystem,
    reopen: Callable[[], FileSystem] | None,
    runner: asyncio.Runner,
    children: Children,
) -> Race:
    """Return the race of this way, or raise `Refused`."""
    if way == "threads":
        if not files.traits.blocking:
            raise Refused("traits.blocking is false: its callers are tasks")
        return Race(CALLERS, lambda works: in_threads([files] * len(works), works))
    if way == "tasks":
        waiting = files
        if files.traits.blocking:
            if not isinstance(files, Bindable):
                raise Refused("traits.blocking is true: its callers are threads")
            waiting = files.bind(AsyncRuntime())
        return Race(CALLERS, lambda works: runner.run(in_tasks([waiting] * len(works), works)))
    if reopen is None:
        raise Refused("needs the fixture `reopen`")
    if way == "handles":
        return _of_handles([reopen() for _ in range(CALLERS)], runner)
    if files.traits.scope == "process":
        raise Refused("traits.scope is process")
    if not can_travel(reopen):
        raise Refused("needs a fixture `reopen` that can be pickled")
    return Race(PROCESSES, lambda works: children.run(reopen, works))


def _of_handles(handles: list[FileSystem], runner: asyncio.Runner) -> Race:
    if handles[0].traits.blocking:
        return Race(CALLERS, lambda works: in_threads(handles, works), lambda: _close(handles, run))
    return Race(
        CALLERS,
        lambda works: runner.run(in_tasks(handles, works)),
        lambda: _close(handles, runner.run),
    )


def _close(handles: list[FileSystem], drive: Callable[[Coroutine[Any, Any, None]], None]) -> None:
    for files in handles:
        drive(files.close())


def in_threads(handles: Sequence[FileSystem], works: Sequence[Work]) -> list[Any]:
    """Return what the works returned, each run in a thread of its own."""
    start = threading.Barrier(len(works))

    def call(files: FileSystem, work: Work) -> Any:
        start.wait(TOGETHER_SECONDS)
        return run(work(files))

    with switching_often(), ThreadPoolExecutor(len(works)) as pool:
        calls = [pool.submit(call, *pair) for pair in zip(handles, works, strict=False)]
    return [done.result() for done in calls]


async def in_tasks(handles: Sequence[FileSystem], works: Sequence[Work]) -> list[Any]:
    """Return what the works returned, each run in a task of its own."""
    calls: list[Awaitable[Any]] = [work(files) for files, work in zip(handles, works, strict=False)]
    done = await asyncio.gather(*calls, return_exceptions=True)
    for result in done:
        if isinstance(result, BaseException):
            raise result
    return list(done)


@contextmanager
def switching_often() -> Iterator[None]:
    """Let threads meet where they would seldom meet."""
    before = sys.getswitchinterval()
    sys.setswitchinterval(SWITCH_SECONDS)
    try:
        yield
    finally:
        sys.setswitchinterval(before)
