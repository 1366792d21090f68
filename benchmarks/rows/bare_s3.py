"""obstore itself: a conditional PUT of one object a message, and GETs of all of them."""

from datetime import timedelta
from pathlib import Path
from typing import Any, ClassVar
from urllib.parse import parse_qsl, urlsplit

import msgspec
import obstore
from obstore.store import S3Store

from benchmarks.kit.chat import serve_chat
from benchmarks.kit.messages import Turn
from benchmarks.ours.message import message_of, text_of
from session_store import Message


class Row:
    """An object a message, made only if it is not there; numbered by this process."""

    promise: ClassVar[str] = "power"

    def __init__(self, folder: Path, url: str) -> None:
        parts = urlsplit(url)
        given = dict(parse_qsl(parts.query))
        self._store = S3Store(
            parts.netloc,
            endpoint=given["endpoint"],
            region=given["region"],
            virtual_hosted_style_request=False,
            client_options={"allow_http": True},
            retry_config={"max_retries": 0, "retry_timeout": timedelta(seconds=20)},
        )
        self._prefix = f"bare/{folder.parent.name}/"
        self._encode = msgspec.json.Encoder().encode
        self._decode = msgspec.json.Decoder(Message).decode_lines
        self._numbers: dict[str, int] = {}

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def native(self, turn: Turn) -> Message:
        return message_of(turn)

    async def append(self, session: str, message: Message) -> None:
        await self.append_many(session, [message])

    async def append_many(self, session: str, messages: list[Message]) -> None:
        number = self._numbers.get(session, 0)
        self._numbers[session] = number + 1
        data = b"".join(self._encode(one) + b"\n" for one in messages)
        path = f"{self._prefix}{session}/{number:09}"
        await obstore.put_async(self._store, path, data, mode="create")

    async def read(self, session: str) -> list[Message]:
        objects: Any = obstore.list(self._store, f"{self._prefix}{session}/", chunk_size=1000)
        paths = sorted([one["path"] async for chunk in objects for one in chunk])
        return [one for path in paths for one in await self._get(path)]

    async def _get(self, path: str) -> list[Message]:
        answer = await obstore.get_async(self._store, path)
        return list(self._decode(bytes(await answer.bytes_async())))

    async def last(self, session: str, count: int) -> list[Message]:
        return (await self.read(session))[-count:]

    def text(self, message: Message) -> str:
        return text_of(message)


if __name__ == "__main__":
    serve_chat(Row)
