"""How long one change is tried, and how long it pauses between two tries.

A service that is asked for too much says so, and is helped by who waits; of several who change one
object at once each gets his turn sooner if they do not all come at the same time.
"""

from asyncio import sleep
from random import uniform
from typing import Final

from session_store.runtime import Chance

FIRST_SECONDS: Final = 0.02
LONGEST_SECONDS: Final = 1.0


class Patience:
    """What one change has left of its time."""

    def __init__(self, chance: Chance, seconds: float) -> None:
        self._chance = chance
        self._deadline = chance.monotonic() + seconds
        self._longest = 0.0

    @property
    def is_over(self) -> bool:
        """Whether it was tried long enough."""
        return self._chance.monotonic() > self._deadline

    async def pause(self) -> None:
        """Wait before the next try: not after the first that failed, and then longer and longer."""
        left = max(self._deadline - self._chance.monotonic(), 0)
        await sleep(min(uniform(0, self._longest), left))  # noqa: S311 -- no secret
        self._longest = min(max(2 * self._longest, FIRST_SECONDS), LONGEST_SECONDS)
