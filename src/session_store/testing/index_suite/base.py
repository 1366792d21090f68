"""What the topics stand on: an index on a fresh root, each call an ordinary one."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from secrets import token_hex
from typing import Any, ClassVar, TypeAlias

import pytest

from session_store.event_loop import AsyncRuntime
from session_store.files.filesystem import FileSystem
from session_store.index.journal import JournalIndex
from session_store.index.manager import OwnIndex, SessionIndexManager
from session_store.model.records import SessionMetadata
from session_store.runtime import BlockingRuntime, Runtime, run
from session_store.testing.children import PROCESSES, can_travel
from session_store.testing.engine_suite import EngineSuite, Opens
from session_store.testing.store_suite.below import below
from session_store.testing.store_suite.patience import in_tasks

LOG = "messages.jsonl"

Work: TypeAlias = Callable[[SessionIndexManager], Coroutine[Any, Any, Any]]
"""What one caller does; a function of a module, or a `partial` of one, so that it can travel."""


def open_index(files: FileSystem) -> SessionIndexManager:
    """Return the index of these files: their own, or the journal."""
    runtime: Runtime = BlockingRuntime() if files.traits.blocking else AsyncRuntime()

    async def recount(session_id: str) -> SessionMetadata | None:
        line = await files.read(f"{session_id}/{LOG}")
        return about(session_id, metadata={"key": line.decode().strip()})

    if isinstance(files, OwnIndex):
        return files.session_index(runtime, recount=recount, save_delay_ms=0)
    return JournalIndex(files, runtime, commit=files.sync, recount=recount, save_delay_ms=0)


def about(session_id: str, time: float = 1_000, **fields: Any) -> SessionMetadata:
    """Return metadata of a session that was made at `time`."""
    return SessionMetadata(session_id=session_id, created_at=time, updated_at=time, **fields)


def new_id() -> str:
    """Return an id that nobody else has."""
    return f"s-{token_hex(8)}"


class Index:
    """An index whose calls are ordinary ones, and the files beside it."""

    def __init__(self, files: FileSystem, runner: asyncio.Runner) -> None:
        self.files = files
        self.index = open_index(files)
        self.drive = run if files.traits.blocking else runner.run

    def __getattr__(self, name: str) -> Callable[..., Any]:
        call = getattr(self.index, name)
        return lambda *args, **kwargs: self.drive(call(*args, **kwargs))

    def file(self, name: str, *args: Any, **kwargs: Any) -> Any:
        """Return what a verb of the file system returns."""
        return self.drive(getattr(self.files, name)(*args, **kwargs))

    def make(self, key: str | None = None, time: float = 1_000, **fields: Any) -> str:
        """Return the id of a session that was made for `key`."""
        session_id = new_id()
        made: str = self.register(session_id, key, about(session_id, time, **fields))
        return made


class Suite(EngineSuite):
    """Each test has an index without sessions."""

    index_in_files: ClassVar[bool] = True
    """See `StoreSuite`: false if the engine has an index of its own, and a place for each test."""

    @pytest.fixture
    def folder(self) -> str:
        """Return the folder that is the root of this test."""
        return f"index-{token_hex(6)}" if self.index_in_files else ""

    @pytest.fixture
    def index(self, files: FileSystem, folder: str) -> Iterator[Index]:
        """Yield an index that is open."""
        index = Index(below(files, folder), self._runner)
        index.load()
        yield index
        index.close()
        if folder:
            self.drive(files.delete_tree(folder))

    @pytest.fixture
    def other(self, files: FileSystem, folder: str, reopen: Opens | None) -> Iterator[Index]:
        """Yield another index on the same files, which has not been asked yet."""
        again = files if reopen is None else reopen()
        other = Index(below(again, folder, owned=reopen is not None), self._runner)
        yield other
        other.close()
        other.file("close")

    @pytest.fixture(params=["together", "processes"])
    def race(
        self, request: pytest.FixtureRequest, index: Index, folder: str, reopen: Opens | None
    ) -> Callable[[list[Work]], list[Any]]:
        """Return what lets several callers work at once, each with an index of its own."""
        if request.param == "processes":
            if index.files.traits.scope == "process":
                pytest.skip("traits.scope is process")
            if reopen is None or not can_travel(reopen):
                pytest.skip("needs a fixture `reopen` that can be pickled")
            return lambda works: self._children.run(
                reopen, [partial(in_child, folder=folder, work=work) for work in works[:PROCESSES]]
            )
        if index.files.traits.blocking:
            pytest.skip("traits.blocking is true: its callers are processes")
        return lambda works: self._runner.run(
            in_tasks([work(open_index(index.files)) for work in works])
        )


async def in_child(files: FileSystem, folder: str, work: Work) -> Any:
    """Return what `work` returns for an index in a folder of `files`."""
    index = open_index(below(files, folder))
    await index.load()
    try:
        return await work(index)
    finally:
        await index.close()
