"""What the fault tests share: a store through a proxy, writers that keep trying, and the judge."""

import asyncio
import os
import subprocess
import sys
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

from session_store import Message, SessionStore, SessionStoreError

WORKER: Final = Path(__file__).parents[1] / "store" / "worker.py"
SECONDS: Final = 60


@asynccontextmanager
async def opened(url: str, **config: Any) -> AsyncGenerator[SessionStore, None]:
    """Give a store that is closed in the end, also where its server is gone."""
    store = SessionStore.open(url, **{"io_timeout_ms": 5_000, **config})
    try:
        yield store
    finally:
        try:
            await store.close()
        except SessionStoreError:
            pass


def message(name: str) -> dict[str, Any]:
    """Return a message that can be sent again: it has an id."""
    return {"id": name, "type": "user", "role": "user", "content": f"words of {name}"}


async def persist(call: Callable[[], Awaitable[Any]]) -> Any:
    """Return what the call returns, made again as long as its error says that this may help."""
    async with asyncio.timeout(SECONDS):
        while True:
            try:
                return await call()
            except SessionStoreError as error:
                if not error.retryable:
                    raise
                await asyncio.sleep(0.02)


async def write_some(url: str, session_id: str, names: list[str], into: list[str]) -> None:
    """Append a message for each name, each until it is acknowledged; `into` takes these."""
    async with opened(url, io_timeout_ms=1_000) as store:
        for name in names:
            await persist(lambda name=name: store.append(session_id, message(name)))
            into.append(name)


async def judge(url: str, session_id: str, acknowledged: list[str]) -> list[Message]:
    """Fail unless a fresh store finds each once, with what was said, and nothing wrong."""
    async with opened(url) as store:
        messages = await store.get_messages(session_id)
        names = [one.id for one in messages]
        report = await store.check()
    lost = [name for name in acknowledged if name not in set(names)]
    assert not lost, f"acknowledged and lost: {lost}"
    assert len(set(names)) == len(names), "a message stands twice"
    assert all(one.content == f"words of {one.id}" for one in messages), "words of another"
    assert not [one for one in report.findings if one.severity != "info"], report.findings
    return messages


def worker(task: str, url: str, *arguments: object) -> subprocess.Popen[str]:
    """Start a process that works on the store at a URL; see `tests/store/worker.py`."""
    return subprocess.Popen(
        [sys.executable, str(WORKER), task, url, *map(str, arguments)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ},
    )


def said(process: subprocess.Popen[str]) -> str:
    """Return the next line of a worker."""
    assert process.stdout is not None
    return process.stdout.readline().strip()
