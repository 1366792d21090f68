"""The fixtures that an author writes, for the engines that both suites are run on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar
from zlib import crc32

import pytest
from filesystem_simulated import Simulated
from filesystem_sound import Handle, Suspending

from session_store.files import FileSystem, InMemoryFileSystem
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
