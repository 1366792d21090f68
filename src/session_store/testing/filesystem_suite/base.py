"""What every topic of the suite stands on: the fixtures that an author writes, and ours."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from secrets import token_hex
from typing import Any, ClassVar, TypeAlias, TypeVar

import pytest

from session_store.errors import SessionStoreError
from session_store.event_loop import AsyncRuntime
from session_store.files.filesystem import Bindable, FileSystem

from .children import Children
from .folder import Folder
from .racing import WAYS, Race, Refused, race_by

T = TypeVar("T")

Opens: TypeAlias = Callable[[], FileSystem]


class Suite:
    """The fixtures; `files` is the one that an author has to write."""

    _runner: ClassVar[asyncio.Runner]
    _children: ClassVar[Children]
    _closed: ClassVar[FileSystem | None]

    @classmethod
    def setup_class(cls) -> None:
        """Make the event loop in which all tests of this class drive what does not block."""
        cls._runner = asyncio.Runner()
        cls._children = Children()
        cls._closed = None

    @classmethod
    def teardown_class(cls) -> None:
        """End the event loop, and the processes that raced."""
        cls._children.close()
        cls._runner.close()

    @classmethod
    def drive(cls, call: Coroutine[Any, Any, T]) -> T:
        """Return what `call` returns, driven in the event loop of this class.

        It is here for fixtures: a client that belongs to a loop is closed in that loop by
        `self.drive(files.close())`.
        """
        return cls._runner.run(call)

    @pytest.fixture
    def files(self) -> Any:
        """Yield the file system under test."""
        pytest.fail("write a fixture `files` that yields your FileSystem")

    @pytest.fixture
    def reopen(self) -> Opens | None:
        """Return what opens another file system on the same files; None if nothing can."""
        return None

    @pytest.fixture
    def crash(self) -> Opens | None:
        """Return what cuts the power, and returns the file system as it comes up afterwards."""
        return None

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
    def power_cut(self, folder: Folder, crash: Opens | None) -> Iterator[Callable[[], Folder]]:
        """Yield what cuts the power, and returns the folder as it comes up afterwards."""
        if not folder.files.traits.durable:
            pytest.skip("traits.durable is false")
        if crash is None:
            pytest.skip("needs the fixture `crash`")
        up: list[Folder] = []

        def cut() -> Folder:
            up.append(folder.on(crash()))
            return up[-1]

        yield cut
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
