"""This store, the async face."""

from pathlib import Path
from typing import ClassVar

from benchmarks.kit.chat import serve_chat
from benchmarks.kit.messages import Turn
from benchmarks.ours import batches, index, subscribe, together, tree
from benchmarks.ours.message import message_of, text_of
from session_store import Message, SessionStore


class Ours:
    """`session_store.SessionStore`."""

    promise: ClassVar[str] = "as set"

    def __init__(self, folder: Path, durability: str = "fsync") -> None:
        self._store = SessionStore.open(folder, durability=durability)
        self._ids: dict[str, str] = {}

    async def open(self) -> None:
        await self._store.init()

    async def close(self) -> None:
        await self._store.close()

    def native(self, turn: Turn) -> Message:
        return message_of(turn)

    async def _id(self, session: str) -> str:
        if session not in self._ids:
            self._ids[session] = await self._store.resolve(session)
        return self._ids[session]

    async def append(self, session: str, message: Message) -> None:
        await self._store.append(self._ids.get(session) or await self._id(session), message)

    async def append_many(self, session: str, messages: list[Message]) -> None:
        await self._store.append_many(await self._id(session), messages)

    async def read(self, session: str) -> list[Message]:
        return await self._store.get_messages(await self._id(session))

    async def last(self, session: str, count: int) -> list[Message]:
        return await self._store.get_linear_history(await self._id(session), limit=count)

    def text(self, message: Message) -> str:
        return text_of(message)


if __name__ == "__main__":
    special = (batches, index, subscribe, together, tree)
    serve_chat(Ours, **{name: job for room in special for name, job in room.WORKLOADS.items()})
