"""redis-py itself: APPEND of a line, GETRANGE of all of them."""

from pathlib import Path
from typing import Any, ClassVar

import msgspec
import redis.asyncio

from benchmarks.kit.chat import serve_chat
from benchmarks.kit.messages import Turn
from benchmarks.ours.message import message_of, text_of
from session_store import Message


class Row:
    """One client, a string a session; decoded into the store's own message."""

    promise: ClassVar[str] = "power"

    def __init__(self, folder: Path, url: str) -> None:
        self._client: Any = redis.asyncio.Redis.from_url(url)
        self._prefix = f"bare:{folder.parent.name}:"
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(Message).decode_lines

    async def open(self) -> None:
        await self._client.ping()

    async def close(self) -> None:
        await self._client.aclose()

    def native(self, turn: Turn) -> Message:
        return message_of(turn)

    async def append(self, session: str, message: Message) -> None:
        await self._client.append(self._prefix + session, self._encode(message) + b"\n")

    async def append_many(self, session: str, messages: list[Message]) -> None:
        lines = b"".join(self._encode(one) + b"\n" for one in messages)
        await self._client.append(self._prefix + session, lines)

    async def read(self, session: str) -> list[Message]:
        data = await self._client.getrange(self._prefix + session, 0, -1)
        return list(self._decode(data))

    async def last(self, session: str, count: int) -> list[Message]:
        data = await self._client.getrange(self._prefix + session, -(1 << 16), -1)
        lines = data.split(b"\n")[-count - 1 : -1]
        return list(self._decode(b"\n".join(lines)))

    def text(self, message: Message) -> str:
        return text_of(message)


if __name__ == "__main__":
    serve_chat(Row)
