"""SQLite itself, through apsw: a row a message, the content as JSON; a limit for all the others."""

from pathlib import Path
from typing import Any, ClassVar

import apsw
import msgspec

from benchmarks.kit.chat import serve_chat
from benchmarks.kit.messages import Turn


class Row:
    """WAL; `synchronous` is FULL (each commit is synced) or NORMAL (checkpoints are)."""

    promise: ClassVar[str] = "power with FULL, process with NORMAL"

    def __init__(self, folder: Path, synchronous: str = "FULL") -> None:
        self._db = apsw.Connection(str(folder / "chat.db"))
        self._db.set_busy_timeout(60_000)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute(f"pragma synchronous = {synchronous}")
        self._db.execute(
            "create table if not exists messages"
            " (session text, number integer, data blob, primary key (session, number))"
            " without rowid"
        )
        self._encode = msgspec.json.Encoder().encode

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        self._db.close()

    def native(self, turn: Turn) -> dict[str, str]:
        return {"role": turn.kind, "content": turn.text, "call": turn.call}

    async def append(self, session: str, message: dict[str, str]) -> None:
        self._db.execute(
            "insert into messages values (?1,"
            " (select coalesce(max(number), 0) + 1 from messages where session = ?1), ?2)",
            (session, self._encode(message)),
        )

    async def append_many(self, session: str, messages: list[dict[str, str]]) -> None:
        with self._db:
            for message in messages:
                await self.append(session, message)

    async def read(self, session: str) -> list[dict[str, Any]]:
        query = "select data from messages where session = ? order by number"
        return [msgspec.json.decode(data) for (data,) in self._db.execute(query, (session,))]

    async def last(self, session: str, count: int) -> list[dict[str, Any]]:
        query = "select data from messages where session = ? order by number desc limit ?"
        found = list(self._db.execute(query, (session, count)))
        return [msgspec.json.decode(data) for (data,) in reversed(found)]

    def text(self, message: dict[str, Any]) -> str:
        return str(message["content"])


if __name__ == "__main__":
    serve_chat(Row)
