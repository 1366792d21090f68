"""redis-py itself, making the round trips that this store makes: its scripts, and no store."""

from pathlib import Path
from typing import Any, ClassVar

import msgspec
import redis.asyncio

from benchmarks.kit.chat import serve_chat
from benchmarks.kit.messages import Turn
from benchmarks.ours.message import message_of, text_of
from session_store import Message
from session_store.engines.redis import scripts
from session_store.engines.redis.client import evaluate
from session_store.engines.redis.names import Names

NAME = "messages.jsonl"


class Row:
    """One client; the scripts are sent once."""

    promise: ClassVar[str] = "power"

    def __init__(self, folder: Path, url: str) -> None:
        self._client: Any = redis.asyncio.Redis.from_url(url)
        self._names = Names(f"same-{folder.parent.name}")
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(Message).decode_lines
        self._sizes: dict[str, str] = {}

    async def open(self) -> None:
        await self._client.ping()

    async def close(self) -> None:
        await self._client.aclose()

    def native(self, turn: Turn) -> Message:
        return message_of(turn)

    async def append(self, session: str, message: Message) -> None:
        await self.append_many(session, [message])

    async def append_many(self, session: str, messages: list[Message]) -> None:
        lines = b"".join(self._encode(one) + b"\n" for one in messages)
        path = f"{session}/{NAME}"
        values = path, lines, self._sizes.get(session, ""), "0123456789abcdef", "1"
        pair = self._names.pair(path)
        answer = await evaluate(self._client, scripts.APPEND, pair, *values, self._names.channel)
        self._sizes[session] = str(answer[2])

    async def _bytes(self, session: str, start: int, end: int) -> tuple[int, bytes]:
        path = f"{session}/{NAME}"
        pair = self._names.pair(path)
        answer = await evaluate(self._client, scripts.READ, pair, path, start, end, "")
        return answer[2], answer[3]

    async def read(self, session: str) -> list[Message]:
        return list(self._decode((await self._bytes(session, 0, 1 << 26))[1]))

    async def last(self, session: str, count: int) -> list[Message]:
        size, _ = await self._bytes(session, 0, 1)
        _, data = await self._bytes(session, max(0, size - (1 << 16)), size)
        return list(self._decode(b"\n".join(data.split(b"\n")[-count - 1 : -1])))

    def text(self, message: Message) -> str:
        return text_of(message)


if __name__ == "__main__":
    serve_chat(Row)
