"""Telling when files change, to all who wait for it, by one who looks.

A look is one `lstat`, so it sees what any process does, on any file system. What costs is to
wake up for it: a hundred who each looked for themselves took a fifth of a core.
"""

import threading
from collections.abc import Callable
from typing import Final

from session_store.runtime import Event, Runtime

from .tree import Tree

SHORTEST_SECONDS: Final = 0.001
LONGEST_SECONDS: Final = 0.064
PATIENCE: Final = 32
"""A file that has been quiet for so many pauses is looked at half as often."""


class Watching:
    """Looks at files for all who wait by one runtime."""

    def __init__(self, tree: Tree, runtime: Runtime, is_closed: Callable[[], bool]) -> None:
        self._tree = tree
        self._runtime = runtime
        self._is_closed = is_closed
        self._waiting: dict[_Waiter, None] = {}
        self._looker: _Waiter | None = None
        self._guard = threading.Lock()

    async def changed(self, path: str, size: int, seconds: float) -> None:
        """Return once `path` differs from `size` bytes, after `seconds`, or when closed."""
        waiter = _Waiter(path, size, self._runtime.monotonic() + seconds)
        with self._guard:
            self._waiting[waiter] = None
            # The last to come looks for all: its file may change next, and another would sleep.
            self._looker = waiter
        try:
            while not waiter.over:
                if self._looker is waiter:
                    await self._look(waiter)
                else:
                    await self._rest(waiter)
        finally:
            with self._guard:
                del self._waiting[waiter]
                if self._looker is waiter:
                    self._looker = next(iter(self._waiting), None)
                    if self._looker is not None:
                        self._looker.wake()

    async def _look(self, looker: "_Waiter") -> None:
        """Look at what is due, and sleep until the next is."""
        now, closed = self._runtime.monotonic(), self._is_closed()
        soonest = now + LONGEST_SECONDS
        for waiter in list(self._waiting):
            if waiter.due <= now:
                self._look_at(waiter, now)
            if waiter.over or closed:
                waiter.over = True
                waiter.wake()
            soonest = min(soonest, waiter.due)
        if not looker.over:
            await self._runtime.sleep(max(soonest - now, SHORTEST_SECONDS))

    def _look_at(self, waiter: "_Waiter", now: float) -> None:
        try:
            found = self._tree.status(waiter.path)
        except OSError:
            waiter.over = True  # the caller will be told why
            return
        size = 0 if found is None else found.st_size
        waiter.over = size != waiter.size or now >= waiter.deadline
        changed_at = 0 if found is None else found.st_mtime
        pause = pause_after(self._runtime.now_ms() / 1000 - changed_at)
        # All who have the same pause are due at the same time.
        waiter.due = min((now // pause + 1) * pause, waiter.deadline)

    async def _rest(self, waiter: "_Waiter") -> None:
        waiter.woken = woken = self._runtime.event()
        # Not before: what happened in between would have woken nobody.
        if not waiter.over and self._looker is not waiter:
            await woken.wait()


class _Waiter:
    __slots__ = ("deadline", "due", "over", "path", "size", "woken")

    def __init__(self, path: str, size: int, deadline: float) -> None:
        self.path = path
        self.size = size
        self.deadline = deadline
        self.due = 0.0
        self.over = False
        self.woken: Event | None = None

    def wake(self) -> None:
        if self.woken is not None:
            self.woken.set()


def pause_after(quiet_seconds: float) -> float:
    """Return for how long not to look at a file that has not changed for so long."""
    pause = SHORTEST_SECONDS
    while pause < LONGEST_SECONDS and quiet_seconds >= pause * PATIENCE:
        pause *= 2
    return pause
