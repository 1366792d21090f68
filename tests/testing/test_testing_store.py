"""The suite of whole stores, run on every engine of ours and on sound ones of odd kinds."""

from collections.abc import Callable
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from filesystem_simulated import Simulated
from filesystem_sound import Flat, Handle, Suspending, Watching

from session_store.files import FileSystem, InMemoryFileSystem
from session_store.testing import StoreSuite
from session_store.testing.faults import FaultyFileSystem
from session_store.testing.simulation import World


class TestInMemory(StoreSuite):
    @pytest.fixture
    def files(self) -> FileSystem:
        return InMemoryFileSystem()


class TestReal(StoreSuite):
    """All that an author has to say may be a URL."""

    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"file:{tmp_path}/root"


class FlatAndWatching(Watching, Flat):
    """No folders, as in object storage, and whoever waits is woken."""


class TestFlatAndWatching(StoreSuite):
    @pytest.fixture
    def files(self) -> FileSystem:
        return FaultyFileSystem(FlatAndWatching())


class TestSharedAndSuspending(StoreSuite):
    """One client for all tests: it belongs to an event loop, and every handle closes alone."""

    client = Suspending()

    @pytest.fixture
    def files(self) -> FileSystem:
        return self.client

    @pytest.fixture
    def reopen(self) -> Callable[[], Any]:
        return lambda: Handle(self.client)


class TestSimulated(StoreSuite):
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
