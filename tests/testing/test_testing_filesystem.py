"""The suite of the seam, run on every file system of ours and on sound ones of odd kinds."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from engine_fixtures import OnMemory, OnRealFiles, OnSharedAndSuspending, OnSimulated
from filesystem_sound import Bound, Disk, Flat, Prompt, Watching

from session_store.event_loop import AsyncRuntime
from session_store.files import FileSystem, RealFileSystem
from session_store.runtime import run
from session_store.testing.faults import FaultyFileSystem
from session_store.testing.filesystem_suite import FileSystemSuite


class TestInMemory(OnMemory, FileSystemSuite):
    pass


class TestReal(OnRealFiles, FileSystemSuite):
    pass


class TestSharedAndSuspending(OnSharedAndSuspending, FileSystemSuite):
    pass


class TestSimulated(OnSimulated, FileSystemSuite):
    pass


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


class WatchingBoundAndPrompt(Prompt, Watching, Bound):
    """All that is optional."""


class TestAllThatIsOptional(FileSystemSuite):
    @pytest.fixture
    def files(self) -> FileSystem:
        return WatchingBoundAndPrompt()


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
