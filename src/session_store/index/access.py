"""How a change gets into the journal while others write to it too: read on, decide, append."""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from session_store.errors import (
    ClosedError,
    ConflictError,
    FileSystemError,
    SessionStoreError,
    UnavailableError,
)

from .core import Core, StaleError
from .loading import load
from .rebuild import recover
from .records import SNAPSHOT, JournalRecord
from .rotation import must_rotate, outgrown, rotate, save
from .state import IndexState

T = TypeVar("T")

Decision = tuple[T, list[JournalRecord]]

FEWEST_TRIES: Final = 4
RELOAD_SECONDS: Final = 0.001


class Access:
    """Reads and changes through `core`, again and again until nobody comes in between.

    Every wait ends in `UnavailableError` after the time that `core` gives. Used under a mutex.
    """

    def __init__(self, core: Core) -> None:
        self._core = core
        self.closed = False

    async def catch_up(self) -> None:
        """Take in what others wrote; open the index if it is not open."""
        if self.closed:
            raise ClosedError
        core = self._core
        deadline = self._core.runtime.monotonic() + core.io_timeout
        tries = 0
        while True:
            try:
                if core.base is None:
                    await load(core)
                if core.base is not None:
                    await core.catch_up()
                    return
            except StaleError:
                core.base = None
            tries += 1
            # A large index may take longer to read, to make again, and to read once more.
            if tries >= FEWEST_TRIES and self._core.runtime.monotonic() > deadline:
                raise UnavailableError(SNAPSHOT, "it is replaced without a pause")
            await self._core.runtime.sleep(RELOAD_SECONDS)

    async def write(self, decide: Callable[[IndexState], Decision[T]]) -> T:
        """Return what `decide` answers when its records stand right behind what it has seen."""
        decision = self._at_hand(decide)

        async def attempt() -> tuple[T] | None:
            nonlocal decision
            now, decision = decision, None
            if now is None:
                await self.catch_up()
                now = decide(self._core.state)
            answer, records = now
            if records:
                if await self._moved_on():
                    return None
                await self._core.append(*records)
            return (answer,)

        return await self._repeat(attempt)

    def _at_hand(self, decide: Callable[[IndexState], Decision[T]]) -> Decision[T] | None:
        """Return what `decide` changes by what was read before, None if that needs a look first.

        A change does not: its append fails if anything was added since (and 6 µs are saved).
        """
        if self.closed or self._core.base is None:
            return None
        try:
            answer, records = decide(self._core.state)
        except SessionStoreError:
            return None
        return (answer, records) if records else None

    async def save(self) -> None:
        """Write a snapshot of everything there is now, if it is small."""

        async def attempt() -> tuple[None]:
            await self.catch_up()
            await save(self._core)
            return (None,)

        await self._repeat(attempt)

    async def recover(self) -> None:
        """Take in the folders the index has lost."""

        async def attempt() -> tuple[None] | None:
            await self.catch_up()
            if await self._moved_on():
                return None
            await recover(self._core)
            return (None,)

        await self._repeat(attempt)

    async def _moved_on(self) -> bool:
        """Rotate where that is due; return whether anything changed: then decide anew."""
        core = self._core
        if core.base is not None and core.base.damaged and core.unwritten is not None:
            core.base = None
            await self.catch_up()
            if core.base is not None and core.base.damaged:
                raise core.unwritten
            return True
        if core.base is None:
            raise StaleError
        if must_rotate(core.base, core.broken):
            await rotate(core)
            return True
        if not outgrown(core.base, core.place):
            return False
        place = core.place
        try:
            await rotate(core)
        except ConflictError:
            raise
        except FileSystemError:
            # The journal is the truth; a snapshot that cannot be written only lags.
            return core.place is not place
        return True

    async def _repeat(self, attempt: Callable[[], Awaitable[tuple[T] | None]]) -> T:
        """Return what `attempt` gives, once others leave it the time to succeed (A1)."""
        deadline = self._core.runtime.monotonic() + self._core.io_timeout
        late = False
        while True:
            try:
                result = await attempt()
                if result is not None:
                    return result[0]
            except ConflictError:
                pass
            except StaleError:
                self._core.base = None
            if late:
                raise UnavailableError(self._core.place.path, "others write without a pause")
            # One more try: the time may have passed while this process was stopped.
            late = self._core.runtime.monotonic() > deadline
            await self._core.runtime.sleep(0)
