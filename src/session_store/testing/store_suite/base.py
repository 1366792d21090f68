"""What every topic of the suite stands on: the fixtures that its tests ask for."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import ClassVar, Final

import pytest

from session_store.errors import SessionStoreError
from session_store.files.filesystem import FileSystem
from session_store.sync import Session, SessionStore
from session_store.testing.children import can_travel
from session_store.testing.engine_suite import EngineSuite, Opens

from .ground import Face, Ground
from .racing import WAYS, Race, Refused, race_by

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


class Suite(EngineSuite):
    """Each test has a root of its own, and a store on it of either face."""

    index_in_files: ClassVar[bool] = True
    """Whether the index is `sessions.json` and its journal; false if the engine has its own.

    Then `files` or `url` has to be a place without sessions, another for each test.
    """

    @pytest.fixture
    def ground(self, files: FileSystem, reopen: Opens | None) -> Iterator[Ground]:
        """Yield a root of this test's own; afterwards `check` it, and remove it."""
        ground = Ground(files, reopen, self._runner, whole=not self.index_in_files)
        yield ground
        try:
            ground.close()
        finally:
            # What cannot be removed is what other tests are about.
            with suppress(SessionStoreError):
                ground.remove()

    @pytest.fixture(params=["blocking", "async"])
    def face(self, request: pytest.FixtureRequest, files: FileSystem, reopen: Opens | None) -> Face:
        """Return the face of the store: each test of one store is made on both."""
        face: Face = request.param
        # On what suspends that face has an event loop of its own, as another process would have.
        at_home = files.traits.blocking or (reopen is not None and can_travel(reopen))
        if face == "blocking" and not at_home:
            pytest.skip("traits.blocking is false, and `reopen` cannot be pickled")
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
    def power_cut(self, ground: Ground, cut: Opens) -> Callable[[], SessionStore]:
        """Return what cuts the power, and returns the store as it is opened afterwards."""

        def store_after_cut() -> SessionStore:
            ground.crashed(cut())
            ground.tolerated |= CUT_OFF
            return ground.open()

        return store_after_cut

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
