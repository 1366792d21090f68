"""Both suites on the engine of a URL: collected by `python -m session_store.testing`.

All happens below one fresh folder, so what else is there stays as it is.
"""

from collections.abc import Iterator
from functools import partial
from typing import Final, NamedTuple

import pytest

from session_store.files.filesystem import FileSystem
from session_store.files.urls import open_files
from session_store.testing.engine_suite import EngineSuite, Opens
from session_store.testing.filesystem_suite import FileSystemSuite

from .below import below
from .suite import StoreSuite


class Place(NamedTuple):
    """Which engine, and the folder on it that is ours."""

    url: str
    folder: str

    def open(self) -> FileSystem:
        """Return the engine from our folder on."""
        return below(open_files(self.url), self.folder, owned=True)


PLACE: Final = pytest.StashKey[Place]()


@pytest.fixture
def place(pytestconfig: pytest.Config) -> Place:
    """Return where the tests are to be made."""
    return pytestconfig.stash[PLACE]


class OnPlace(EngineSuite):
    """Fixtures of both suites: the engine at the place."""

    @pytest.fixture
    def files(self, place: Place) -> Iterator[FileSystem]:
        """Yield the engine."""
        files = place.open()
        yield files
        self.drive(files.close())

    @pytest.fixture
    def reopen(self, place: Place, files: FileSystem) -> Opens | None:
        """Return what opens the engine again, unless each object has files of its own."""
        return None if files.traits.scope == "process" else partial(Place.open, place)


class TestFiles(OnPlace, FileSystemSuite):
    """What a file system has to keep."""


class TestStore(OnPlace, StoreSuite):
    """What a store on it has to keep."""
