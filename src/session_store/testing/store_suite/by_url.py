"""The suites on what a URL names: collected by `python -m session_store.testing`.

All happens below one fresh folder, or, on an engine, in a store of each test's own beside the
one at the URL; so what is there stays as it is.
"""

from collections.abc import Iterator
from functools import partial
from secrets import token_hex
from typing import Final, NamedTuple

import pytest

from session_store.files.filesystem import FileSystem
from session_store.files.urls import open_files, room_of
from session_store.testing.engine_suite import EngineSuite, Opens
from session_store.testing.filesystem_suite import FileSystemSuite
from session_store.testing.index_suite import SessionIndexSuite

from .below import below
from .suite import StoreSuite


class Place(NamedTuple):
    """What a URL names, and the name of what is ours there."""

    url: str
    name: str

    def open(self) -> FileSystem:
        """Return the files of a folder of ours."""
        return below(open_files(self.url), self.name, owned=True)


PLACE: Final = pytest.StashKey[Place]()


@pytest.fixture
def place(pytestconfig: pytest.Config) -> Place:
    """Return where the tests are to be made."""
    return pytestconfig.stash[PLACE]


class InFolder(EngineSuite):
    """Fixtures of the suites: all of them in one folder."""

    @pytest.fixture
    def files(self, place: Place) -> Iterator[FileSystem]:
        """Yield the files of the folder."""
        files = place.open()
        yield files
        self.drive(files.close())

    @pytest.fixture
    def reopen(self, place: Place, files: FileSystem) -> Opens | None:
        """Return what opens the engine again, unless each object has files of its own."""
        return None if files.traits.scope == "process" else partial(Place.open, place)


class OnEngine(EngineSuite):
    """Fixtures of the suites: a store for each test."""

    index_in_files = False

    @pytest.fixture
    def url(self, place: Place) -> Iterator[str]:
        """Yield where nothing is, and remove afterwards what is there then."""
        room = room_of(place.url)
        assert room is not None
        url: str = room.place_in(place.url, f"{place.name}-{token_hex(4)}")
        yield url
        self.drive(room.erase(url))


class TestFiles(InFolder, FileSystemSuite):
    """What a file system has to keep."""


class TestIndex(InFolder, SessionIndexSuite):
    """What an index has to keep."""


class TestStore(InFolder, StoreSuite):
    """What a store has to keep."""


class TestEngineFiles(OnEngine, FileSystemSuite):
    """What a file system has to keep."""


class TestEngineIndex(OnEngine, SessionIndexSuite):
    """What an index has to keep."""


class TestEngineStore(OnEngine, StoreSuite):
    """What a store has to keep."""


IN_FOLDER: Final = (TestFiles, TestIndex, TestStore)
ON_ENGINE: Final = (TestEngineFiles, TestEngineIndex, TestEngineStore)


def suites_of(url: str) -> tuple[type[EngineSuite], ...]:
    """Return the suites for what a URL names, in the order of the table."""
    return IN_FOLDER if room_of(url) is None else ON_ENGINE
