"""TinyDB: a document a message, in one JSON file."""

from pathlib import Path
from typing import Any, ClassVar

from tinydb import TinyDB, where

from benchmarks.kit.chat import serve_chat
from benchmarks.kit.messages import Turn


class Row:
    """`TinyDB.insert`; the whole file is written again at each."""

    promise: ClassVar[str] = "process"

    def __init__(self, folder: Path) -> None:
        self._db = TinyDB(folder / "db.json")

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        self._db.close()

    def native(self, turn: Turn) -> dict[str, Any]:
        return {"role": turn.kind, "content": turn.text, "call": turn.call}

    async def append(self, session: str, message: dict[str, Any]) -> None:
        self._db.insert({**message, "session": session})

    async def append_many(self, session: str, messages: list[dict[str, Any]]) -> None:
        self._db.insert_multiple({**message, "session": session} for message in messages)

    async def read(self, session: str) -> list[dict[str, Any]]:
        return list(self._db.search(where("session") == session))

    async def last(self, session: str, count: int) -> list[dict[str, Any]]:
        return (await self.read(session))[-count:]

    def text(self, message: dict[str, Any]) -> str:
        return str(message["content"])


if __name__ == "__main__":
    serve_chat(Row)
