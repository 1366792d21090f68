"""What every topic of the suite stands on: the fixtures that an author writes, and ours."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from contextlib import suppress
from functools import partial
from typing import Any, ClassVar, Final, TypeVar

import pytest

from session_store.errors import SessionStoreError
from session_store.files.filesystem import FileSystem
from session_store.files.urls import open_files
from session_store.sync import Session, SessionStore
from session_store.testing.filesystem_suite.children import Children

from .ground import Face, Ground, Opens
from .racing import WAYS, Race, Refused, race_by

T = TypeVar("T")

# What was noted and not answered yet, such as counts, may be there in part; what was answered
# is compared message by message.
CUT_OFF: Final = {
    "damaged_line",
    "log_short",
    "nul_run",
    "pending_batch",
    "sealed_tail",
    "stale_count",
    "torn_batch",
    "torn_tail",
}


class Suite:
    """The fixtures; one of `files` and `url` has to be written."""

    _runner: ClassVar[asyncio.Runner]
    _children: ClassVar[Children]

    @classmethod
    def setup_class(cls) -> None:
        """Make the event loop in which all tests of this class drive what does not block."""
        cls._runner = asyncio.Runner()
        cls._children = Children()

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
    def url(self) -> str | None:
        """Return the URL of the engine under test, unless `files` is written."""
        return None

    @pytest.fixture
    def files(self, url: str | None) -> Iterator[FileSystem]:
        """Yield the file system of the engine under test."""
        if url is None:
            pytest.fail("write a fixture `files` that yields your FileSystem, or `url`")
        files = open_files(url)
        yield files
        self.drive(files.close())

    @pytest.fixture
    def reopen(self, files: FileSystem, url: str | None) -> Opens | None:
        """Return what opens another file system on the same files; None if nothing can."""
        if url is None or files.traits.scope == "process":
            return None
        return partial(open_files, url)

    @pytest.fixture
    def crash(self) -> Opens | None:
        """Return what cuts the power, and returns the file system as it comes up afterwards."""
        return None

    @pytest.fixture
    def ground(self, files: FileSystem, reopen: Opens | None) -> Iterator[Ground]:
        """Yield a root of this test's own; afterwards `check` it, and remove it."""
        ground = Ground(files, reopen, self._runner)
        yield ground
        try:
            ground.close()
        finally:
            # What cannot be removed is what other tests are about.
            with suppress(SessionStoreError):
                ground.remove()

    @pytest.fixture(params=["blocking", "async"])
    def face(self, request: pytest.FixtureRequest, files: FileSystem) -> Face:
        """Return the face of the store: each test of one store is made on both."""
        face: Face = request.param
        if face == "blocking" and not files.traits.blocking:
            pytest.skip("traits.blocking is false: its stores are async")
        return face

    @pytest.fixture
    def store(self, ground: Ground, face: Face) -> SessionStore:
        """Return a store on an empty root."""
        return ground.open(face)

    @pytest.fixture
    def chat(self, store: SessionStore) -> Session:
        """Return a session without messages."""
        return store.session("chat")

    @pytest.fixture
    def other(self, chat: Session, ground: Ground, face: Face) -> Session:
        """Return the session as another store on the same files has it."""
        return ground.open(face).session("chat")

    @pytest.fixture
    def power_cut(
        self, files: FileSystem, ground: Ground, crash: Opens | None
    ) -> Callable[[], SessionStore]:
        """Return what cuts the power, and returns the store as it is opened afterwards."""
        if not files.traits.durable:
            pytest.skip("traits.durable is false")
        if crash is None:
            pytest.skip("needs the fixture `crash`")

        def cut() -> SessionStore:
            ground.crashed(crash())
            ground.tolerated |= CUT_OFF
            return ground.open()

        return cut

    @pytest.fixture(params=WAYS)
    def race(
        self, request: pytest.FixtureRequest, ground: Ground, reopen: Opens | None
    ) -> Iterator[Race]:
        """Yield what runs several writers at once: threads, tasks, stores or processes."""
        try:
            race = race_by(request.param, ground, reopen, self._runner, self._children)
        except Refused as reason:
            pytest.skip(str(reason))
        yield race
        race.close()
