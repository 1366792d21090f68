"""This store, the blocking face."""

from pathlib import Path
from typing import ClassVar

from benchmarks.kit.chat import serve_chat
from benchmarks.kit.messages import Turn
from benchmarks.ours import index, memory, threads
from benchmarks.ours.message import message_of, text_of
from session_store import Message
from session_store.sync import SessionStore


class OursBlocking:
    """`session_store.sync.SessionStore`; the verbs are `async` for the harness only."""

    promise: ClassVar[str] = "as set"

    def __init__(self, folder: Path, durability: str = "fsync") -> None:
        self._store = SessionStore.open(folder, durability=durability)
        self._ids: dict[str, str] = {}

    async def open(self) -> None:
        self._store.init()

    async def close(self) -> None:
        self._store.close()

    def native(self, turn: Turn) -> Message:
        return message_of(turn)

    def _id(self, session: str) -> str:
        if session not in self._ids:
            self._ids[session] = self._store.resolve(session)
        return self._ids[session]

    async def append(self, session: str, message: Message) -> None:
        self._store.append(self._ids.get(session) or self._id(session), message)

    async def append_many(self, session: str, messages: list[Message]) -> None:
        self._store.append_many(self._id(session), messages)

    async def read(self, session: str) -> list[Message]:
        return self._store.get_messages(self._id(session))

    async def last(self, session: str, count: int) -> list[Message]:
        return self._store.get_linear_history(self._id(session), limit=count)

    def text(self, message: Message) -> str:
        return text_of(message)


if __name__ == "__main__":
    special = (index, memory, threads)
    serve_chat(
        OursBlocking, **{name: job for room in special for name, job in room.WORKLOADS.items()}
    )
