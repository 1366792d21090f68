"""What every topic of the suite stands on: the fixtures that its tests ask for."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from secrets import token_hex
from typing import ClassVar

import pytest

from session_store.errors import SessionStoreError
from session_store.event_loop import AsyncRuntime
from session_store.files.filesystem import Bindable, FileSystem
from session_store.testing.engine_suite import EngineSuite, Opens

from .folder import Folder
from .racing import WAYS, Race, Refused, race_by


class Suite(EngineSuite):
    """Each test has a folder of its own, and as many ways to it as its engine allows."""

    _closed: ClassVar[FileSystem | None] = None

    @pytest.fixture
    def folder(self, files: FileSystem) -> Iterator[Folder]:
        """Yield a folder of this test's own, and remove it afterwards."""
        if files is self._closed:
            pytest.fail("a test closed `files`, and it is shared: write the fixture `reopen` too")
        folder = Folder(files, f"suite-{token_hex(6)}", self._runner)
        yield folder
        # What cannot be removed is what other tests are about.
        with suppress(SessionStoreError):
            folder.do(files.delete_tree(folder.name))

    @pytest.fixture
    def other(self, folder: Folder, reopen: Opens | None) -> Iterator[Folder]:
        """Yield the same folder through a second handle."""
        if reopen is None:
            pytest.skip("needs the fixture `reopen`")
        other = folder.on(reopen())
        yield other
        other.close()

    @pytest.fixture
    def closable(self, folder: Folder, reopen: Opens | None) -> Folder:
        """Return the folder through a handle that this test may close."""
        if reopen is not None:
            return folder.on(reopen())
        type(self)._closed = folder.files
        return folder

    @pytest.fixture
    def power_cut(self, folder: Folder, cut: Opens) -> Iterator[Callable[[], Folder]]:
        """Yield what cuts the power, and returns the folder as it comes up afterwards."""
        up: list[Folder] = []

        def survivor_of_cut() -> Folder:
            up.append(folder.on(cut()))
            return up[-1]

        yield survivor_of_cut
        for survivor in up:
            survivor.close()

    @pytest.fixture
    def loose(self, folder: Folder) -> Folder:
        """Return the folder, driven by the event loop, where calls can be told apart."""
        if not folder.files.traits.blocking:
            return folder
        if not isinstance(folder.files, Bindable):
            pytest.skip("traits.blocking is true, and it cannot be bound to an event loop")
        return folder.on(folder.files.bind(AsyncRuntime()))

    @pytest.fixture(params=WAYS)
    def race(
        self, request: pytest.FixtureRequest, folder: Folder, reopen: Opens | None
    ) -> Iterator[Race]:
        """Yield what runs several callers at once: threads, tasks, handles or processes."""
        try:
            race = race_by(request.param, folder.files, reopen, self._runner, self._children)
        except Refused as reason:
            pytest.skip(str(reason))
        yield race
        race.close()
