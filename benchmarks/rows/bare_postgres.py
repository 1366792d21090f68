"""asyncpg itself: a row a message, the content as JSON."""

from pathlib import Path
from typing import Any, ClassVar

import asyncpg
import msgspec

from benchmarks.kit.chat import serve_chat
from benchmarks.kit.messages import Turn
from benchmarks.ours.message import message_of, text_of
from session_store import Message

INSERT = "insert into {} (session, line) values ($1, $2)"
SELECT = "select line from {} where session = $1 order by number"


class Row:
    """One connection, one prepared insert a message; decoded into the store's own message."""

    promise: ClassVar[str] = "power"

    def __init__(self, folder: Path, url: str) -> None:
        self._url = url
        self._table = f"bare_{folder.parent.name.replace('-', '_')}"
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(Message).decode

    async def open(self) -> None:
        self._connection: Any = await asyncpg.connect(self._url)
        await self._connection.execute(
            f"create table if not exists {self._table} (session text not null,"
            " number bigint generated always as identity, line bytea not null,"
            " primary key (session, number))"
        )
        self._insert = await self._connection.prepare(INSERT.format(self._table))
        self._select = await self._connection.prepare(SELECT.format(self._table))

    async def close(self) -> None:
        await self._connection.close()

    def native(self, turn: Turn) -> Message:
        return message_of(turn)

    async def append(self, session: str, message: Message) -> None:
        await self._insert.fetch(session, self._encode(message))

    async def append_many(self, session: str, messages: list[Message]) -> None:
        await self._insert.executemany([(session, self._encode(one)) for one in messages])

    async def read(self, session: str) -> list[Message]:
        return [self._decode(row[0]) for row in await self._select.fetch(session)]

    async def last(self, session: str, count: int) -> list[Message]:
        query = SELECT.format(self._table) + " desc limit $2"
        rows = await self._connection.fetch(query, session, count)
        return [self._decode(row[0]) for row in reversed(rows)]

    def text(self, message: Message) -> str:
        return text_of(message)


if __name__ == "__main__":
    serve_chat(Row)
