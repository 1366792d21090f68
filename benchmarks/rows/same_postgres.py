"""asyncpg itself, making the round trips that this store makes: its statements, and no store."""

from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

import asyncpg
import msgspec

from benchmarks.kit.chat import serve_chat
from benchmarks.kit.messages import Turn
from benchmarks.ours.message import message_of, text_of
from benchmarks.ours.place import place_of
from session_store import Message, SessionStore
from session_store.engines.postgres import statements
from session_store.engines.postgres.schema import Schema

NAME = "messages.jsonl"


class Row:
    """One connection, prepared statements; the schema is made by the store before."""

    promise: ClassVar[str] = "power"

    def __init__(self, folder: Path, url: str) -> None:
        self._url = url
        self._place = place_of(folder, url)
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(Message).decode_lines
        self._sizes: dict[str, int] = {}

    async def open(self) -> None:
        async with SessionStore.open(self._place) as store:
            await store.has_key("none")
        name = dict(parse_qsl(urlsplit(self._place).query))["schema"]
        sql = Schema(name, may_lose=False).sql
        self._connection: Any = await asyncpg.connect(self._url)
        self._append = await self._connection.prepare(sql(statements.APPEND))
        self._read = await self._connection.prepare(sql(statements.READ))

    async def close(self) -> None:
        await self._connection.close()

    def native(self, turn: Turn) -> Message:
        return message_of(turn)

    async def append(self, session: str, message: Message) -> None:
        await self.append_many(session, [message])

    async def append_many(self, session: str, messages: list[Message]) -> None:
        lines = b"".join(self._encode(one) + b"\n" for one in messages)
        [row] = await self._append.fetch(session, NAME, lines, self._sizes.get(session))
        self._sizes[session] = row[1]

    async def read(self, session: str) -> list[Message]:
        rows = await self._read.fetch(session, NAME, 0, 1 << 26)
        return list(self._decode(b"".join(data for _, data in rows)))

    async def last(self, session: str, count: int) -> list[Message]:
        [size, *_] = (await self._read.fetch(session, NAME, 0, 1))[0]
        rows = await self._read.fetch(session, NAME, max(0, size - (1 << 16)), size)
        lines = b"".join(data for _, data in rows).split(b"\n")[-count - 1 : -1]
        return list(self._decode(b"\n".join(lines)))

    def text(self, message: Message) -> str:
        return text_of(message)


if __name__ == "__main__":
    serve_chat(Row)
