"""obstore itself, with the round trips that this store makes: a tail is replaced, and no store."""

from pathlib import Path
from typing import Any, ClassVar

import obstore

from benchmarks.kit.chat import serve_chat
from benchmarks.rows.bare_s3 import Row as Bare
from session_store import Message

TAIL_BYTES = 1 << 15


class Row(Bare):
    """One object is replaced under a condition; half of it goes when it is full."""

    promise: ClassVar[str] = "power"

    def __init__(self, folder: Path, url: str) -> None:
        super().__init__(folder, url)
        self._tails: dict[str, bytes] = {}
        self._versions: dict[str, Any] = {}

    async def append(self, session: str, message: Message) -> None:
        tail = self._tails.get(session, b"") + self._encode(message) + b"\n"
        if len(tail) > TAIL_BYTES:
            await super().append_many(session, list(self._decode(tail)))
            tail = b""
        path = f"{self._prefix}{session}.tail"
        there = self._versions.get(session)
        found = await obstore.put_async(self._store, path, tail, mode=there or "create")
        self._tails[session], self._versions[session] = tail, {"e_tag": found["e_tag"]}

    async def read(self, session: str) -> list[Message]:
        closed = await super().read(session)
        try:
            return closed + await self._get(f"{self._prefix}{session}.tail")
        except FileNotFoundError:
            return closed


if __name__ == "__main__":
    serve_chat(Row)
