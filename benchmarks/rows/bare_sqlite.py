"""apsw itself: a row a message, the content as JSON."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import apsw
import msgspec

from benchmarks.kit.chat import serve_chat
from benchmarks.kit.messages import Turn
from benchmarks.ours.message import message_of, text_of
from session_store import Message

T = TypeVar("T")

INSERT = "insert into messages (session, line) values (?, ?)"
SELECT = "select line from messages where session = ? order by number"


class Row:
    """WAL, synchronous FULL, one insert a message; decoded into the store's own message.

    With `threads` each call is made in a thread, so that an event loop need not stand still
    while the disk writes: that is the bare client of whoever awaits.
    """

    promise: ClassVar[str] = "power"

    def __init__(self, folder: Path, threads: bool = False) -> None:
        self._db = apsw.Connection(str(folder / "chat.db"))
        self._db.set_busy_timeout(60_000)
        self._db.execute("pragma journal_mode = wal")
        self._db.execute("pragma synchronous = full")
        self._db.execute(
            "create table if not exists messages"
            " (number integer primary key, session text not null, line blob not null)"
        )
        self._db.execute("create index if not exists by_session on messages (session, number)")
        self._threads = threads
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(Message).decode

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        self._db.close()

    def native(self, turn: Turn) -> Message:
        return message_of(turn)

    async def _do(self, call: Callable[[], T]) -> T:
        return await asyncio.to_thread(call) if self._threads else call()

    async def append(self, session: str, message: Message) -> None:
        line = self._encode(message)
        await self._do(lambda: self._db.execute(INSERT, (session, line)))

    async def append_many(self, session: str, messages: list[Message]) -> None:
        with self._db:
            self._db.executemany(INSERT, [(session, self._encode(one)) for one in messages])

    async def read(self, session: str) -> list[Message]:
        rows: Any = await self._do(lambda: self._db.execute(SELECT, (session,)).fetchall())
        return [self._decode(line) for (line,) in rows]

    async def last(self, session: str, count: int) -> list[Message]:
        query = f"{SELECT} desc limit ?"
        rows: Any = await self._do(lambda: self._db.execute(query, (session, count)).fetchall())
        return [self._decode(line) for (line,) in reversed(rows)]

    def text(self, message: Message) -> str:
        return text_of(message)


if __name__ == "__main__":
    serve_chat(Row)
