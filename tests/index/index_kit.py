"""What the tests of the index share: a store's root in memory, and a way to open it."""

import json
from typing import Any

from session_store.files import InMemoryFileSystem
from session_store.files.filesystem import FileSystem
from session_store.index import JournalIndex
from session_store.model.records import SessionMetadata
from session_store.runtime import BlockingRuntime, run

SNAPSHOT = "sessions.json"


def meta(
    session_id: str, created: float = 1, updated: float | None = None, **more: Any
) -> SessionMetadata:
    updated = created if updated is None else updated
    return SessionMetadata(session_id=session_id, created_at=created, updated_at=updated, **more)


class Synced:
    """Stands for the store's durability: remembers what it was asked to make durable."""

    def __init__(self, files: FileSystem) -> None:
        self.paths: list[str] = []
        self._files = files

    async def __call__(self, path: str) -> None:
        self.paths.append(path)
        await self._files.sync(path)


async def recount(session_id: str) -> SessionMetadata | None:
    return meta(session_id, 5)


def opened(files: FileSystem, **options: Any) -> JournalIndex:
    options = {"commit": Synced(files), "recount": recount, **options}
    index = JournalIndex(files, BlockingRuntime(), **options)
    run(index.load())
    return index


def closed(files: FileSystem) -> None:
    """Open and close, so that the snapshot holds everything."""
    index = opened(files)
    run(index.flush(snapshot=True))
    run(index.close())


def filled(files: FileSystem, count: int = 2) -> JournalIndex:
    index = opened(files)
    for number in range(count):
        run(index.register(f"s{number}", f"k{number}", meta(f"s{number}", number)))
    return index


def text(files: FileSystem, path: str) -> str:
    return run(files.read(path)).decode()


def names(files: FileSystem) -> list[str]:
    return run(files.list("")).names


def snapshot(files: FileSystem) -> Any:
    return json.loads(text(files, SNAPSHOT))


def by_the_original(files: FileSystem, change: Any) -> None:
    """Do what the original does: read, change, write with its own layout."""
    index = snapshot(files)
    change(index)
    run(files.write(SNAPSHOT, json.dumps(index, indent=2, ensure_ascii=False).encode()))


def state_of(index: JournalIndex) -> tuple[dict[str, str | None], set[str]]:
    ids = run(index.all_ids())
    return {key: run(index.resolve_key(key)) for key in run(index.all_keys())}, set(ids)


def codes(index: JournalIndex) -> set[str]:
    return {found.code for found in run(index.findings())} - {"snapshot_lags"}


def memory() -> InMemoryFileSystem:
    return InMemoryFileSystem()
