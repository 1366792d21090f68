from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from session_store.files import FileSystem, InMemoryFileSystem, RealFileSystem
from session_store.model import StoreConfig
from session_store.sync import Session, SessionStore


@pytest.fixture(params=["folder", "memory"])
def new_files(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[[], FileSystem]:
    """Each call gives another way to the same files, as another process would have it."""
    if request.param == "folder":
        return lambda: RealFileSystem(tmp_path / "sessions")
    shared = InMemoryFileSystem()
    return lambda: shared


@pytest.fixture
def open_store(new_files: Callable[[], FileSystem]) -> Iterator[Callable[..., SessionStore]]:
    """Each call opens another store object on the same files."""
    opened: list[SessionStore] = []

    def open_one(**config: Any) -> SessionStore:
        store = SessionStore(new_files(), StoreConfig(durability="os", **config))
        store.init()
        opened.append(store)
        return store

    yield open_one
    for store in opened:
        # The last of them closes the files that those in memory share.
        if not isinstance(store._engine._files, InMemoryFileSystem):
            store.close()


@pytest.fixture
def store(open_store: Callable[..., SessionStore]) -> SessionStore:
    return open_store()


@pytest.fixture
def chat(store: SessionStore) -> Session:
    return store.session("telegram:123")
