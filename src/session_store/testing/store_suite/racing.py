"""Several writers at once, and the judge of what they were answered."""

import asyncio
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from typing import Any, Final, TypeAlias

from session_store.files.filesystem import FileSystem
from session_store.model.config import StoreConfig
from session_store.runtime import run
from session_store.store.aio import SessionStore as AsyncStore
from session_store.sync import SessionStore
from session_store.testing.children import PROCESSES, Children, can_travel
from session_store.testing.engine_suite import Opens
from session_store.testing.history import History, check, read_final

from .below import below
from .faces import awaited
from .ground import SETTINGS, Ground
from .patience import in_tasks, in_threads

WAYS: Final = ("threads", "tasks", "stores", "processes")

CALLERS: Final = 4

CONFIG: Final = StoreConfig(**SETTINGS)

Work: TypeAlias = Callable[[AsyncStore], Coroutine[Any, Any, Any]]
"""What one writer does; a function of a module, or a `partial` of one, so that it can travel."""


class Refused(Exception):
    """This engine cannot be raced in this way, and its traits or fixtures say so."""


class Race:
    """Runs as many works at once as there are callers."""

    def __init__(
        self,
        ground: Ground,
        callers: int,
        together: Callable[[Sequence[Work]], list[Any]],
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.callers = callers
        self.close = close
        self._ground = ground
        self._together = together

    def run(self, *works: Work) -> list[Any]:
        """Return what each work returned, in their order; raises what one of them raised."""
        assert len(works) <= self.callers
        return self._together(works)

    def each(self, work: Callable[[int], Work]) -> list[Any]:
        """Return what `work(0)`, `work(1)` … returned, one for each caller."""
        return self.run(*(work(number) for number in range(self.callers)))

    def alone(self, work: Work) -> Any:
        """Return what `work` returns to a store that is opened for it, with nobody beside it."""
        return self._ground.drive(in_store(self._ground.handle(), work))

    def judge(self, *histories: list[str]) -> None:
        """Fail unless a fresh store holds what the callers were answered."""
        wrong = check(History.merged(*histories), self.alone(read_final))
        assert not wrong, "\n".join(wrong)


def race_by(
    way: str, ground: Ground, reopen: Opens | None, runner: asyncio.Runner, children: Children
) -> Race:
    """Return the race of this way, or raise `Refused`."""
    files = ground.raw.files
    blocking = files.traits.blocking
    if way == "threads" and not blocking:
        raise Refused("traits.blocking is false: its callers are tasks")
    if way in {"threads", "tasks"}:
        shared = ground.handle()
        store = open_store(shared, blocking=way == "threads")
        drive = run if way == "threads" else runner.run
        return Race(
            ground,
            CALLERS,
            lambda works: _together([store] * len(works), works, drive),
            lambda: drive(store.close()),
        )
    if way == "stores":
        drive = run if blocking else runner.run
        stores = [open_store(ground.handle(), blocking=blocking) for _ in range(CALLERS)]
        return Race(
            ground,
            CALLERS,
            lambda works: _together(stores, works, drive),
            lambda: _close(stores, drive),
        )
    if files.traits.scope == "process":
        raise Refused("traits.scope is process")
    if reopen is None:
        raise Refused("needs the fixture `reopen`")
    if not can_travel(reopen):
        raise Refused("needs a fixture `reopen` that can be pickled")
    return Race(
        ground,
        PROCESSES,
        lambda works: children.run(
            reopen, [partial(in_child, folder=ground.folder, work=work) for work in works]
        ),
    )


def open_store(files: FileSystem, *, blocking: bool) -> AsyncStore:
    """Return a store for works, of the face that is asked for."""
    return awaited(SessionStore(files, CONFIG)) if blocking else AsyncStore(files, CONFIG)


async def in_store(files: FileSystem, work: Work) -> Any:
    """Return what `work` returns to a store on `files`, and close that store."""
    store = open_store(files, blocking=files.traits.blocking)
    try:
        return await work(store)
    finally:
        await store.close()


async def in_child(files: FileSystem, folder: str, work: Work) -> Any:
    """Return what `work` returns to a store in a folder of `files`."""
    return await in_store(below(files, folder), work)


def _together(
    stores: Sequence[AsyncStore], works: Sequence[Work], drive: Callable[..., Any]
) -> list[Any]:
    calls = [work(store) for store, work in zip(stores, works, strict=False)]
    if drive is run:
        return in_threads([partial(run, call) for call in calls])
    return drive(in_tasks(calls))  # type: ignore[no-any-return]


def _close(stores: list[AsyncStore], drive: Callable[..., Any]) -> None:
    for store in stores:
        drive(store.close())
