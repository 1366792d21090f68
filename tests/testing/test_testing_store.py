"""The suite of whole stores, run on every engine of ours and on sound ones of odd kinds."""

import pytest
from engine_fixtures import (
    OnMemory,
    OnRealFiles,
    OnSharedAndSuspending,
    OnSimulated,
    OnSuspendingFiles,
)
from filesystem_sound import Flat, Watching

from session_store.files import FileSystem
from session_store.testing import StoreSuite
from session_store.testing.faults import FaultyFileSystem


class TestInMemory(OnMemory, StoreSuite):
    pass


class TestReal(OnRealFiles, StoreSuite):
    pass


class TestSharedAndSuspending(OnSharedAndSuspending, StoreSuite):
    pass


class TestOnSuspendingFiles(OnSuspendingFiles, StoreSuite):
    """The blocking face on it has a thread with an event loop."""


class TestSimulated(OnSimulated, StoreSuite):
    pass


class FlatAndWatching(Watching, Flat):
    """No folders, as in object storage, and whoever waits is woken."""


class TestFlatAndWatching(StoreSuite):
    @pytest.fixture
    def files(self) -> FileSystem:
        return FaultyFileSystem(FlatAndWatching())
