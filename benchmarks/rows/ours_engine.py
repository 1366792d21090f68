"""This store on an engine: the async face, at a place of its own on the URL that it is given."""

from importlib import import_module
from pathlib import Path

from benchmarks.kit.chat import serve_chat
from benchmarks.rows.ours import Ours
from session_store import SessionStore
from session_store.files.urls import ENGINES


class OnEngine(Ours):
    """`SessionStore.open(url)`."""

    def __init__(self, folder: Path, url: str, durability: str = "fsync") -> None:
        super().__init__(folder)
        room = import_module(f"session_store.engines.{ENGINES[url.partition(':')[0]]}")
        name = folder.parent.name.rpartition("-")[2]
        self._store = SessionStore.open(room.place_in(url, name), durability=durability)


if __name__ == "__main__":
    serve_chat(OnEngine)
