"""LlamaIndex: `SQLAlchemyChatStore` over SQLite."""

from pathlib import Path
from typing import ClassVar

from llama_index.core.llms import ChatMessage
from llama_index.core.storage.chat_store.sql import SQLAlchemyChatStore

from benchmarks.kit.chat import serve_chat
from benchmarks.kit.messages import Turn


class Row:
    """A row a message; a rollback journal, synchronous FULL."""

    promise: ClassVar[str] = "power"

    def __init__(self, folder: Path) -> None:
        uri = f"sqlite+aiosqlite:///{folder / 'chat.db'}"
        self._store = SQLAlchemyChatStore(table_name="messages", async_database_uri=uri)

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        engine = self._store._async_engine
        if engine is not None:
            await engine.dispose()

    def native(self, turn: Turn) -> ChatMessage:
        if turn.kind == "tool_call":
            call = {"id": turn.call, "name": "look_up", "arguments": turn.text}
            return ChatMessage(role="assistant", additional_kwargs={"tool_calls": [call]})
        if turn.kind == "tool_result":
            more = {"tool_call_id": turn.call}
            return ChatMessage(role="tool", content=turn.text, additional_kwargs=more)
        return ChatMessage(role=turn.kind, content=turn.text)

    async def append(self, session: str, message: ChatMessage) -> None:
        await self._store.add_message(session, message)

    async def append_many(self, session: str, messages: list[ChatMessage]) -> None:
        await self._store.add_messages(session, messages)

    async def read(self, session: str) -> list[ChatMessage]:
        return await self._store.get_messages(session)

    async def last(self, session: str, count: int) -> list[ChatMessage]:
        # Its limit counts from the oldest; the number is asked for first.
        number = await self._store.count_messages(session)
        return await self._store.get_messages(session, limit=count, offset=number - count)

    def text(self, message: ChatMessage) -> str:
        calls = message.additional_kwargs.get("tool_calls")
        return str(calls[0]["arguments"] if calls else message.content)


if __name__ == "__main__":
    serve_chat(Row)
