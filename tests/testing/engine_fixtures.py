"""The fixtures that an author writes, for the engines that both suites are run on."""

import asyncio
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any, ClassVar
from zlib import crc32

import pytest
from filesystem_simulated import Simulated
from filesystem_sound import Handle, Suspending

from session_store.files import FileSystem, InMemoryFileSystem, RealFileSystem
from session_store.files.filesystem import Traits
from session_store.testing.simulation import World


class OnMemory:
    @pytest.fixture
    def files(self) -> FileSystem:
        return InMemoryFileSystem()


class OnRealFiles:
    """All that an author has to say may be a URL."""

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"file:{tmp_path}/root"


class OnSharedAndSuspending:
    """One client for all tests: it belongs to an event loop, and every handle closes alone."""

    client: ClassVar[Suspending]

    def __init_subclass__(cls) -> None:
        super().__init_subclass__()
        cls.client = Suspending()

    @pytest.fixture
    def files(self) -> FileSystem:
        return self.client

    @pytest.fixture
    def reopen(self) -> Callable[[], Any]:
        return lambda: Handle(self.client)


class OnSimulated:
    @pytest.fixture
    def files(self, request: pytest.FixtureRequest) -> FileSystem:
        # The name of the test is its seed.
        return Simulated(World(crc32(request.node.name.encode())))

    @pytest.fixture
    def reopen(self, files: Simulated) -> Callable[[], FileSystem]:
        return lambda: Simulated(files.world)

    @pytest.fixture
    def crash(self, files: Simulated) -> Callable[[], FileSystem]:
        return files.after_power_cut


class NeedsALoop:
    """Real files whose every call suspends: a client that is for event loops only."""

    def __init__(self, root: str) -> None:
        self._files = RealFileSystem(root)

    @property
    def traits(self) -> Traits:
        facts = self._files.traits
        return Traits(scope=facts.scope, durable=facts.durable, blocking=False)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or name not in vars(FileSystem):
            raise AttributeError(name)
        call = getattr(self._files, name)

        async def later(*args: Any, **kwargs: Any) -> Any:
            await asyncio.sleep(0)
            return await call(*args, **kwargs)

        return later


class OnSuspendingFiles:
    """Each handle may be used in an event loop of its own."""

    @pytest.fixture
    def files(self, tmp_path: Path) -> Any:
        return NeedsALoop(f"{tmp_path}/root")

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Callable[[], Any]:
        return partial(NeedsALoop, f"{tmp_path}/root")
