"""This store on an engine: the blocking face, at a place of its own on the URL that it is given."""

from pathlib import Path

from benchmarks.kit.chat import serve_chat
from benchmarks.ours.place import place_of
from benchmarks.rows.ours_blocking import OursBlocking
from session_store.sync import SessionStore


class OnEngine(OursBlocking):
    """`session_store.sync.SessionStore.open(url)`."""

    def __init__(self, folder: Path, url: str, durability: str = "fsync") -> None:
        super().__init__(folder)
        self._store = SessionStore.open(place_of(folder, url), durability=durability)


if __name__ == "__main__":
    serve_chat(OnEngine)
