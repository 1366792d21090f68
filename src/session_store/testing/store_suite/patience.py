"""Waiting for what may never come: a store that is broken shall fail a test, not hang it."""

import asyncio
import threading
from collections.abc import Callable, Coroutine, Iterator, Sequence
from itertools import islice
from typing import Any, Final, TypeVar

from session_store.testing.filesystem_suite.racing import switching_often

T = TypeVar("T")

# Not how fast an answer must be: how long we wait before we say that none comes.
PATIENCE_SECONDS: Final = 30


def first(items: Iterator[T], count: int) -> list[T]:
    """Return the next `count` items; raises what the iterator raises."""
    [taken] = in_threads([lambda: list(islice(items, count))])
    return taken


def in_threads(calls: Sequence[Callable[[], T]]) -> list[T]:
    """Return what the calls returned, each made in a thread of its own; they start together."""
    start = threading.Barrier(len(calls))
    answers: dict[int, T] = {}
    errors: list[BaseException] = []

    def make(place: int) -> None:
        start.wait(PATIENCE_SECONDS)
        try:
            answers[place] = calls[place]()
        except BaseException as error:
            errors.append(error)

    # Daemons: a call that never returns must not keep the test run from ending.
    threads = [
        threading.Thread(target=make, args=[place], daemon=True) for place in range(len(calls))
    ]
    with switching_often():
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(PATIENCE_SECONDS)
    if errors:
        raise errors[0]
    assert len(answers) == len(calls), "a call does not return"
    return [answers[place] for place in range(len(calls))]


async def in_tasks(calls: Sequence[Coroutine[Any, Any, T]]) -> list[T]:
    """Return what the calls returned, each awaited in a task of its own."""
    async with asyncio.timeout(PATIENCE_SECONDS):
        answers = await asyncio.gather(*calls, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers  # type: ignore[return-value]
