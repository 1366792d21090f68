"""The suite of the seam, run on every file system of ours and on sound ones of odd kinds."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

import pytest
from filesystem_simulated import Simulated
from filesystem_sound import Bound, Disk, Flat, Handle, Suspending, Watching

from session_store.event_loop import AsyncRuntime
from session_store.files import FileSystem, InMemoryFileSystem, RealFileSystem
from session_store.runtime import run
from session_store.testing.faults import FaultyFileSystem
from session_store.testing.filesystem_suite import FileSystemSuite
from session_store.testing.simulation import World


class TestInMemory(FileSystemSuite):
    @pytest.fixture
    def files(self) -> FileSystem:
        return InMemoryFileSystem()


class TestReal(FileSystemSuite):
    @pytest.fixture
    def files(self, tmp_path: Path) -> Iterator[FileSystem]:
        files = RealFileSystem(tmp_path / "root")
        yield files
        run(files.close())

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Callable[[], FileSystem]:
        return partial(RealFileSystem, tmp_path / "root")


class TestRealInAnEventLoop(FileSystemSuite):
    @pytest.fixture
    def files(self, tmp_path: Path) -> Iterator[FileSystem]:
        files = RealFileSystem(tmp_path / "root", runtime=AsyncRuntime())
        yield files
        self.drive(files.close())

    @pytest.fixture
    def reopen(self, tmp_path: Path) -> Callable[[], FileSystem]:
        return lambda: RealFileSystem(tmp_path / "root", runtime=AsyncRuntime())


class TestWrappedForFaults(FileSystemSuite):
    """As long as none is asked for, the wrapper is as good as what it wraps."""

    @pytest.fixture
    def files(self) -> FileSystem:
        return FaultyFileSystem(Bound())


class WatchingAndBound(Watching, Bound):
    """Both of what is optional."""


class TestAllThatIsOptional(FileSystemSuite):
    @pytest.fixture
    def files(self) -> FileSystem:
        return WatchingAndBound()


class TestFlat(FileSystemSuite):
    @pytest.fixture
    def files(self) -> FileSystem:
        return Flat()


class TestDisk(FileSystemSuite):
    @pytest.fixture
    def files(self) -> FileSystem:
        return Disk()

    @pytest.fixture
    def crash(self, files: Disk) -> Callable[[], FileSystem]:
        return lambda: run(files.crash())


class TestSharedAndSuspending(FileSystemSuite):
    """One client for all tests: it belongs to an event loop, and every handle closes alone."""

    client = Suspending()

    @pytest.fixture
    def files(self) -> FileSystem:
        return self.client

    @pytest.fixture
    def reopen(self) -> Callable[[], Any]:
        return lambda: Handle(self.client)


class TestSimulated(FileSystemSuite):
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
