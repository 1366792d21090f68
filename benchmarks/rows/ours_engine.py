"""This store on an engine: the async face, at a place of its own on the URL that it is given."""

from pathlib import Path

from benchmarks.kit.chat import serve_chat
from benchmarks.rows.ours import Ours
from session_store import SessionStore
from session_store.files.urls import room_of


class OnEngine(Ours):
    """`SessionStore.open(url)`."""

    def __init__(self, folder: Path, url: str, durability: str = "fsync") -> None:
        super().__init__(folder)
        room = room_of(url)
        assert room is not None
        name = folder.parent.name.rpartition("-")[2]
        self._store = SessionStore.open(room.place_in(url, name), durability=durability)


if __name__ == "__main__":
    serve_chat(OnEngine)
