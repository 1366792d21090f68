"""apsw itself: a row a message, the content as JSON."""

from pathlib import Path
from typing import Any, ClassVar

import apsw
import msgspec

from benchmarks.kit.chat import serve_chat
from benchmarks.kit.messages import Turn
from benchmarks.ours.message import message_of, text_of
from session_store import Message

INSERT = "insert into messages (session, line) values (?, ?)"
SELECT = "select line from messages where session = ? order by number"


class Row:
    """WAL, synchronous FULL, one insert a message; decoded into the store's own message."""

    promise: ClassVar[str] = "power"

    def __init__(self, folder: Path) -> None:
        self._db = apsw.Connection(str(folder / "chat.db"))
        self._db.set_busy_timeout(60_000)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")
        self._db.execute(
            "create table if not exists messages"
            " (number integer primary key, session text not null, line blob not null)"
        )
        self._db.execute("create index if not exists by_session on messages (session, number)")
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(Message).decode

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        self._db.close()

    def native(self, turn: Turn) -> Message:
        return message_of(turn)

    async def append(self, session: str, message: Message) -> None:
        self._db.execute(INSERT, (session, self._encode(message)))

    async def append_many(self, session: str, messages: list[Message]) -> None:
        with self._db:
            self._db.executemany(INSERT, [(session, self._encode(one)) for one in messages])

    async def read(self, session: str) -> list[Message]:
        rows: Any = self._db.execute(SELECT, (session,)).fetchall()
        return [self._decode(line) for (line,) in rows]

    async def last(self, session: str, count: int) -> list[Message]:
        rows: Any = self._db.execute(f"{SELECT} desc limit ?", (session, count)).fetchall()
        return [self._decode(line) for (line,) in reversed(rows)]

    def text(self, message: Message) -> str:
        return text_of(message)


if __name__ == "__main__":
    serve_chat(Row)
