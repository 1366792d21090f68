"""`python -m benchmarks.engine_sessions`: an engine with few and with a million sessions.

Every measured thing is done by a process of its own that has just begun, so that what it needs
of time and memory does not depend on what was there before. The sessions are made through the
store, by 64 tasks at once.
"""

import argparse
import asyncio
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, Final

from session_store import SessionStore
from session_store.errors import ConfigError
from session_store.index.paging import to_cursor

from .engines import ENGINES, served
from .harness.bench import Bench
from .harness.report import machine
from .harness.scale import FULL

TASKS: Final = 64
REPETITIONS: Final = 5
ASKED: Final = 200
PAGE: Final = 50
COLUMNS: Final = (
    "sessions",
    "made, /s",
    "open, ms",
    "known key, ms",
    "new key, ms",
    "page of 50 by update, ms",
    "by creation, from the middle, ms",
    "by prefix of the key, ms",
    "peak of the process, MB",
)


async def fill(url: str, count: int, start: int) -> None:
    """Make sessions, numbered from `start` on."""
    numbers = iter(range(start, count))

    async def make(store: SessionStore) -> None:
        for number in numbers:
            await store.resolve(f"user:{number}")

    async with SessionStore.open(url) as store, asyncio.TaskGroup() as group:
        for _ in range(TASKS):
            group.create_task(make(store))


async def probe(url: str, count: int, middle: str, mark: str) -> dict[str, Any]:
    """Return how long what a program asks takes, ms, and the memory that it needed, bytes."""
    began = time.perf_counter()
    async with SessionStore.open(url) as store:
        found: dict[str, Any] = {"open": (time.perf_counter() - began) * 1e3}
        keys = [f"user:{number * count // ASKED}" for number in range(ASKED)]
        found["known"] = await _median([lambda key=key: store.resolve(key) for key in keys])
        found["new"] = await _median(
            [lambda n=n: store.resolve(f"{mark}:{n}") for n in range(ASKED // 10)]
        )
        pages = [lambda: store.list_sessions(limit=PAGE)] * 5
        found["updated"] = await _median_unless_refused(pages)
        found["created"] = await _median(
            [lambda: store.list_sessions(sort="created", after=middle, limit=PAGE)] * 5
        )
        where = {"key_prefix": f"user:{count - 1}"}
        by_prefix = [lambda: store.list_sessions(where=where)] * 5
        found["prefix"] = await _median_unless_refused(by_prefix)
        page = await store.list_sessions(sort="created", after=middle, limit=PAGE)
        assert len(page.sessions) == PAGE
        for key in keys[:20]:
            assert await store.has_key(key)
    found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    return found


async def _median(calls: Sequence[Callable[[], Awaitable[object]]]) -> float:
    took: list[float] = []
    for call in calls:
        began = time.perf_counter()
        await call()
        took.append((time.perf_counter() - began) * 1e3)
    return statistics.median(took)


async def _median_unless_refused(calls: Sequence[Callable[[], Awaitable[object]]]) -> float | None:
    """Return None where the engine does not sort so many sessions by update."""
    try:
        return await _median(calls)
    except ConfigError:
        return None


async def middle_of(url: str, count: int) -> str:
    """Return the cursor of a page by creation that begins in the middle."""
    async with SessionStore.open(url) as store:
        session_id = await store.resolve(f"user:{count // 2}")
        found = await store.get_metadata(session_id)
        assert found is not None
        return to_cursor("created", (found.created_at, session_id))


def main() -> int:
    """Measure what was asked for, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engine_sessions")
    parser.add_argument("--engine", nargs="+", default=list(ENGINES), choices=list(ENGINES))
    parser.add_argument("--sessions", nargs="+", type=int, default=[1_000, 1_000_000])
    parser.add_argument("--out", type=Path, help="a folder for engine-sessions.md")
    parser.add_argument("--probe", help=argparse.SUPPRESS)
    given = parser.parse_args()
    if given.probe:
        print(json.dumps(asyncio.run(probe(**json.loads(given.probe)))))
        return 0
    from servers.seaweed import ENVIRONMENT

    # Its keys are for the server of these rows alone.
    os.environ.update(ENVIRONMENT)
    with Bench(FULL, None) as bench:
        lines = ["# Engines with many sessions", "", *machine(bench), ""]
        for name in given.engine:
            lines += _table(name, given.sessions)
    text = "\n".join(lines).rstrip() + "\n"
    sys.stdout.write(text)
    if given.out is not None:
        (given.out / "engine-sessions.md").write_text(text, "utf-8")
    return 0


def _table(name: str, amounts: list[int]) -> list[str]:
    engine = ENGINES[name]
    lines = [f"## {engine.title}", "", f"| {' | '.join(COLUMNS)} |", "|--:" * len(COLUMNS) + "|"]
    with tempfile.TemporaryDirectory() as at, served(engine, Path(at)) as settings:
        url = settings["ours"]["url"]
        there = 0
        for count in amounts:
            began = time.perf_counter()
            asyncio.run(fill(url, count, there))
            rate = (count - there) / (time.perf_counter() - began)
            there = count
            middle = asyncio.run(middle_of(url, count))
            found = [
                _in_a_process(url=url, count=count, middle=middle, mark=f"new {count} {number}")
                for number in range(REPETITIONS)
            ]
            cells = [_shown([one[key] for one in found]) for key in found[0] if key != "peak"]
            peak = max(one["peak"] for one in found) / 1e6
            line = f"| {count:,} | {rate:,.0f} | {' | '.join(cells)} | {peak:.0f} |"
            sys.stderr.write(f"{engine.title}: {line}\n")
            lines.append(line)
    return [*lines, ""]


def _shown(values: list[float | None]) -> str:
    took = [value for value in values if value is not None]
    if not took:
        return "refused"
    return f"{statistics.median(took):.2f} ({min(took):.2f}-{max(took):.2f})"


def _in_a_process(**asked: Any) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.engine_sessions", "--probe", json.dumps(asked)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)  # noqa: S603 -- ours
    if done.returncode:
        raise RuntimeError(done.stderr)
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


if __name__ == "__main__":
    sys.exit(main())
