"""apsw itself, making the transactions that this store makes, on its tables, and no store."""

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import apsw
import msgspec

from benchmarks.kit.chat import serve_chat
from benchmarks.kit.messages import Turn
from benchmarks.ours.message import message_of, text_of
from session_store import Message, SessionStore
from session_store.engines.sqlite.schema import START_BITS

T = TypeVar("T")

NAME = "messages.jsonl"
FIND = "select number, size from file where folder = ? and name = ?"
ADD = "insert into chunk values (?, ?)"
NOTE = "update file set size = ?, changes = changes + 1, mtime_ms = 1 where number = ?"
READ = "select data from chunk where place >= ? and place < ? order by place"


class Row:
    """One connection, synchronous FULL; the tables are made by the store before.

    With `threads` each call is made in a thread, so that an event loop need not stand still
    while the disk writes: as the async face does.
    """

    promise: ClassVar[str] = "power"

    def __init__(self, folder: Path, threads: bool = False) -> None:
        self._path = folder / "chat.db"
        self._threads = threads
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(Message).decode_lines

    async def open(self) -> None:
        async with SessionStore.open(f"sqlite:///{self._path}") as store:
            await store.has_key("none")
        self._db = apsw.Connection(str(self._path))
        self._db.set_busy_timeout(60_000)
        self._db.execute("pragma synchronous = full")

    async def close(self) -> None:
        self._db.close()

    def native(self, turn: Turn) -> Message:
        return message_of(turn)

    async def _do(self, call: Callable[..., T], *values: Any) -> T:
        return await asyncio.to_thread(call, *values) if self._threads else call(*values)

    def _found(self, session: str) -> tuple[int, int]:
        found: Any = self._db.execute(FIND, (session, NAME)).fetchone()
        if found is None:
            self._db.execute(
                "insert into file (folder, name, size, changes, mtime_ms) values (?, ?, 0, 0, 0)",
                (session, NAME),
            )
            return self._db.last_insert_rowid(), 0
        return found[0], found[1]

    def _append(self, session: str, lines: bytes) -> None:
        self._db.execute("begin immediate")
        number, size = self._found(session)
        self._db.execute(ADD, (number << START_BITS | size, lines))
        self._db.execute(NOTE, (size + len(lines), number))
        self._db.execute("commit")

    def _bytes(self, session: str, last: int) -> bytes:
        number, size = self._found(session)
        first = number << START_BITS
        rows: Any = self._db.execute(READ, (first + max(0, size - last), first + size)).fetchall()
        return b"".join(data for (data,) in rows)

    async def append(self, session: str, message: Message) -> None:
        await self.append_many(session, [message])

    async def append_many(self, session: str, messages: list[Message]) -> None:
        lines = b"".join(self._encode(one) + b"\n" for one in messages)
        await self._do(self._append, session, lines)

    async def read(self, session: str) -> list[Message]:
        return list(self._decode(await self._do(self._bytes, session, 1 << 30)))

    async def last(self, session: str, count: int) -> list[Message]:
        return (await self.read(session))[-count:]

    def text(self, message: Message) -> str:
        return text_of(message)


if __name__ == "__main__":
    serve_chat(Row)
