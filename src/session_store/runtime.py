"""Time, waiting and chance: all that the engine takes from its surroundings.

The engine is plain `async def` and waits only for its file system and for a
`Runtime`. With `BlockingRuntime` nothing ever suspends, so `run` can drive the same
coroutines in one step; `event_loop.AsyncRuntime` is the same for asyncio. A test hands in its
own, with a clock and ids that a seed decides.
"""

import os
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol, TypeVar, TypeVarTuple, runtime_checkable
from weakref import WeakSet

import uuid_utils

T = TypeVar("T")
Ts = TypeVarTuple("Ts")


class Mutex(AbstractAsyncContextManager[Any], Protocol):
    """A lock for `async with`; and for plain calls, which never suspend."""

    def enter_now(self) -> bool:
        """Take the lock for a plain call that ends in `leave`; False if that would suspend.

        A thread waits until it is free.
        """
        ...

    def try_enter(self) -> bool:
        """Take the lock as `enter_now` does, and only if it is free."""
        ...

    def leave(self) -> None:
        """Give back what was taken by a plain call."""
        ...


class Event(Protocol):
    """Something that happens once, and that many may wait for."""

    def set(self) -> None:
        """Let go all who wait, in the order in which they came."""
        ...

    def wait(self) -> Awaitable[object]:
        """Return once it is set."""
        ...


class Runtime(Protocol):
    """What the engine may wait for and ask."""

    @property
    def blocking(self) -> bool:
        """Whether nothing here ever suspends (it blocks the thread instead)."""
        ...

    def now_ms(self) -> int:
        """Return the wall clock, in milliseconds since 1970."""
        ...

    def monotonic(self) -> float:
        """Return a clock that never goes back, in seconds."""
        ...

    def new_id(self) -> str:
        """Return an id that nobody else has: a UUIDv7 as text."""
        ...

    def token(self) -> str:
        """Return 16 hexadecimal digits of chance."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Let at least `seconds` pass; others run meanwhile."""
        ...

    def mutex(self) -> Mutex:
        """Return a new lock for `async with`, fair, not reentrant."""
        ...

    def event(self) -> Event:
        """Return a new event that is not set."""
        ...

    async def offload(self, call: Callable[[*Ts], T], *args: *Ts) -> T:
        """Return `call(*args)`, made where its blocking harms nobody."""
        ...


class Chance:
    """The clocks and the dice that both faces share."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    monotonic = staticmethod(time.monotonic)

    def new_id(self) -> str:
        return str(uuid_utils.uuid7())

    def token(self) -> str:
        return os.urandom(8).hex()


class BlockingRuntime(Chance):
    """For ordinary threads: waiting blocks the thread that waits."""

    blocking = True

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    def mutex(self) -> Mutex:
        return _ThreadMutex()

    def event(self) -> Event:
        return _ThreadEvent()

    async def offload(self, call: Callable[[*Ts], T], *args: *Ts) -> T:
        return call(*args)


class _ThreadMutex:
    __slots__ = ("_lock", "enter_now", "leave")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.enter_now = self._lock.acquire
        self.leave = self._lock.release

    def try_enter(self) -> bool:
        return self._lock.acquire(False)

    async def __aenter__(self) -> None:
        self._lock.acquire()

    async def __aexit__(self, *_: object) -> None:
        self._lock.release()


class _ThreadEvent:
    __slots__ = ("_event", "set")

    def __init__(self) -> None:
        self._event = threading.Event()
        self.set = self._event.set

    async def wait(self) -> None:
        self._event.wait()


def run(coroutine: Coroutine[Any, Any, T]) -> T:
    """Drive a coroutine that never suspends, and return its result.

    Fails loudly if it does suspend: then something below it is not blocking.
    """
    try:
        coroutine.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    coroutine.close()
    raise RuntimeError("a blocking call suspended: its file system needs an event loop")


def iterate(
    generator: AsyncGenerator[T, None],
    drive: Callable[[Coroutine[Any, Any, Any]], Any] = run,
    end: Callable[[Coroutine[Any, Any, Any]], Any] = run,
) -> Iterator[T]:
    """Yield what an async generator yields, each step driven by `drive`, and its end by `end`."""
    try:
        while True:
            try:
                item: T = drive(_next(generator))
            except StopAsyncIteration:
                return
            yield item
    finally:
        end(_close(generator))


async def _next(generator: AsyncGenerator[T, None]) -> T:
    return await generator.__anext__()


async def _close(generator: AsyncGenerator[Any, None]) -> None:
    await generator.aclose()


class Driver(Protocol):
    """How ordinary calls get the results of coroutines."""

    @property
    def runtime(self) -> Runtime:
        """What the coroutines wait by."""
        ...

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Return what the coroutine returns."""
        ...

    def iterate(self, generator: AsyncGenerator[T, None]) -> Iterator[T]:
        """Yield what the generator yields."""
        ...

    def stop(self) -> None:
        """Let go of what drives; a later call may start it again."""
        ...


class InPlace:
    """Drives coroutines that never suspend, in the thread that asks."""

    def __init__(self) -> None:
        self.runtime: Runtime = BlockingRuntime()

    run = staticmethod(run)
    iterate = staticmethod(iterate)

    def stop(self) -> None:
        pass


class GroupCommit:
    """Callers that want the same thing at the same time share one call.

    `run(key, call)` returns after a `call` for `key` that began after `run` was asked. While
    one call is under way all who arrive wait for the next, which serves them all.
    Cancelling one of them cancels nobody else's.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._current: dict[str, _Group] = {}
        self._next: dict[str, _Group] = {}
        self._guard = threading.Lock()

    async def run(self, key: str, call: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Return when a `call` that began after this one was asked has succeeded."""
        served = False
        while not served:
            group, leads, before = self._join(key)
            if leads:
                await self._lead(key, group, before, call)
            elif before is not None:
                await before.wait()
            served = group.served

    def _join(self, key: str) -> tuple["_Group", bool, Event | None]:
        """Return the caller's group, whether it leads it, and what it waits for before."""
        with self._guard:
            group, current = self._next.get(key), self._current.get(key)
            if group is not None:
                return group, False, self._over(group)
            group = _Group()
            if current is None:
                self._current[key] = group
                return group, True, None
            self._next[key] = group
            return group, True, self._over(current)

    async def _lead(
        self,
        key: str,
        group: "_Group",
        before: Event | None,
        call: Callable[[], Coroutine[Any, Any, None]],
    ) -> None:
        """Make the call for all in `group`, once what is `before` it is over."""
        try:
            if before is not None:
                await before.wait()
                with self._guard:
                    self._current[key] = self._next.pop(key)
            await call()
            group.served = True
        finally:
            # Not served, through failure or cancelling: the others form a group of their own.
            with self._guard:
                for groups in (self._current, self._next):
                    if groups.get(key) is group:
                        del groups[key]
            if group.over is not None:
                group.over.set()

    def _over(self, group: "_Group") -> Event:
        if group.over is None:
            group.over = self._runtime.event()
        return group.over


class _Group:
    """Those who share a call; `over` is made when somebody waits for it."""

    __slots__ = ("over", "served")

    def __init__(self) -> None:
        self.over: Event | None = None
        self.served = False


@runtime_checkable
class Forked(Protocol):
    """Something that must change when its process is forked."""

    def after_fork(self) -> None:
        """Give up, in the child, what belongs to the parent."""
        ...


@runtime_checkable
class Resting(Forked, Protocol):
    """Something that must be at rest while its process is forked."""

    def before_fork(self) -> None:
        """Come to rest, and stay so until the fork is over; no longer than a second or two."""
        ...

    def after_fork_in_parent(self) -> None:
        """Go on."""
        ...


_forked: "WeakSet[Forked]" = WeakSet()
_at_rest = threading.local()
"""Those that the thread which forks has brought to rest."""


def on_fork(thing: Forked) -> None:
    """Call `thing.after_fork()` in every child that is forked from now on."""
    _forked.add(thing)


def _after_fork() -> None:
    for thing in list(_forked):
        thing.after_fork()


def _before_fork() -> None:
    _at_rest.things = [thing for thing in list(_forked) if isinstance(thing, Resting)]
    for thing in _at_rest.things:
        thing.before_fork()


def _after_fork_in_parent() -> None:
    for thing in _at_rest.things:
        thing.after_fork_in_parent()
    _at_rest.things = []


os.register_at_fork(
    before=_before_fork, after_in_parent=_after_fork_in_parent, after_in_child=_after_fork
)

__all__ = [
    "BlockingRuntime",
    "Chance",
    "Event",
    "Forked",
    "GroupCommit",
    "Resting",
    "Runtime",
    "iterate",
    "on_fork",
    "run",
]
