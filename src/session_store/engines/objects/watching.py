"""Telling when a file changes, by looking at it: each look is a request that is paid for."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from session_store.runtime import Chance

from .known import Known

SHORTEST_SECONDS: Final = 0.05
LONGEST_SECONDS: Final = 1.0
PATIENCE: Final = 10


async def watch(
    look: Callable[[], Awaitable[Known]], size: int, seconds: float, chance: Chance
) -> None:
    """Return once the file differs from `size` bytes, or after so many seconds."""
    deadline = chance.monotonic() + seconds
    while True:
        known = await look()
        left = deadline - chance.monotonic()
        if known.size != size or left <= 0:
            return
        changed_at = known.head.mtime if known.head else 0
        pause = pause_after((chance.now_ms() - changed_at) / 1000)
        await asyncio.sleep(min(pause, left))


def pause_after(quiet_seconds: float) -> float:
    """Return for how long not to look at a file that has not changed for so long.

    A tenth of that time: who waits for what comes at any time waits a tenth longer.
    """
    return min(max(quiet_seconds / PATIENCE, SHORTEST_SECONDS), LONGEST_SECONDS)
