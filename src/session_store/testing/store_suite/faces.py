"""The two faces of a store made to look like one another.

A test is written once, as calls that block; `driven` lets it run on the async face. What races is
written once, as coroutines; `awaited` lets it run on the blocking face.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Iterator
from contextlib import AbstractAsyncContextManager, AbstractContextManager, asynccontextmanager
from functools import partial
from types import TracebackType
from typing import Any, Final, cast

from session_store.runtime import run
from session_store.store.aio import SessionStore as AsyncStore
from session_store.store.session import Session as AsyncSession
from session_store.sync import Session, SessionStore

from .patience import PATIENCE_SECONDS


def driven(store: AsyncStore, runner: asyncio.Runner) -> SessionStore:
    """Return an async store whose calls block: each is driven to its end by `runner`."""
    return cast("SessionStore", _Driven(store, runner))


def awaited(store: SessionStore) -> AsyncStore:
    """Return a blocking store whose calls are coroutines, which never suspend."""
    return cast("AsyncStore", _Awaited(store))


class _Driven:
    def __init__(self, thing: Any, runner: asyncio.Runner) -> None:
        self._thing = thing
        self._runner = runner

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._thing, name)
        return partial(self._call, value) if callable(value) else self._shown(value)

    def _call(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        answer = function(*args, **kwargs)
        if isinstance(answer, Coroutine):
            return self._shown(self._runner.run(answer))
        if isinstance(answer, AsyncGenerator):
            return self._each(answer)
        if isinstance(answer, AbstractAsyncContextManager):
            return _Held(answer, self._runner)
        return answer

    def _shown(self, answer: Any) -> Any:
        own = isinstance(answer, AsyncSession | AsyncStore)
        return _Driven(answer, self._runner) if own else answer

    def _each(self, generator: AsyncGenerator[Any, None]) -> Iterator[Any]:
        # Not closed here: whoever drops it may do so while the event loop runs, which sees to it.
        while True:
            try:
                yield self._runner.run(_next(generator))
            except StopAsyncIteration:
                return


async def _next(generator: AsyncGenerator[Any, None]) -> Any:
    async with asyncio.timeout(PATIENCE_SECONDS):
        return await generator.__anext__()


class _Held(AbstractContextManager[None]):
    def __init__(self, held: AbstractAsyncContextManager[None], runner: asyncio.Runner) -> None:
        self._held = held
        self._runner = runner

    def __enter__(self) -> None:
        self._runner.run(self._enter())

    async def _enter(self) -> None:
        await self._held.__aenter__()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._runner.run(self._exit(kind, error, trace))

    async def _exit(self, *told: Any) -> None:
        await self._held.__aexit__(*told)


class _Awaited:
    def __init__(self, thing: Any) -> None:
        self._thing = thing

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._thing, name)
        kind: Callable[..., Any] = _KINDS.get(name, _answer)
        return partial(kind, value) if callable(value) else value


async def _answer(function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    answer = function(*args, **kwargs)
    return _Awaited(answer) if isinstance(answer, Session) else answer


async def _each(
    function: Callable[..., Iterator[Any]], *args: Any, **kwargs: Any
) -> AsyncIterator[Any]:
    for item in function(*args, **kwargs):
        yield item


@asynccontextmanager
async def _hold(
    function: Callable[..., AbstractContextManager[None]], *args: Any, **kwargs: Any
) -> AsyncIterator[None]:
    with function(*args, **kwargs):
        yield


async def _with_lock(
    function: Callable[..., Any],
    session_id: str,
    owner_id: str | None,
    body: Callable[[], Coroutine[Any, Any, Any]],
    **kwargs: Any,
) -> Any:
    return function(session_id, owner_id, lambda: run(body()), **kwargs)


_KINDS: Final[dict[str, Callable[..., Any]]] = {
    "lock": _hold,
    "stream_messages": _each,
    "subscribe": _each,
    "with_lock": _with_lock,
}
