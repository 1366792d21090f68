"""LangChain: `FileChatMessageHistory`, one JSON file a session."""

from pathlib import Path
from typing import ClassVar

from langchain_community.chat_message_histories import FileChatMessageHistory
from langchain_core.messages import AIMessage, BaseMessage, HumanMessage, ToolMessage

from benchmarks.kit.chat import serve_chat
from benchmarks.kit.messages import Turn


class Row:
    """The whole file is read and written in place at each append; never synced."""

    promise: ClassVar[str] = "nothing while it writes"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def _get(self, session: str) -> FileChatMessageHistory:
        return FileChatMessageHistory(str(self._folder / f"{session}.json"), encoding="utf-8")

    def native(self, turn: Turn) -> BaseMessage:
        if turn.kind == "tool_call":
            call = {"name": "look_up", "args": {"query": turn.text}, "id": turn.call}
            return AIMessage(content="", tool_calls=[call])
        if turn.kind == "tool_result":
            return ToolMessage(content=turn.text, tool_call_id=turn.call)
        kind = HumanMessage if turn.kind == "user" else AIMessage
        return kind(content=turn.text)

    async def append(self, session: str, message: BaseMessage) -> None:
        self._get(session).add_message(message)

    async def read(self, session: str) -> list[BaseMessage]:
        return self._get(session).messages

    async def last(self, session: str, count: int) -> list[BaseMessage]:
        return self._get(session).messages[-count:]

    def text(self, message: BaseMessage) -> str:
        calls = getattr(message, "tool_calls", None)
        return str(calls[0]["args"]["query"] if calls else message.content)


if __name__ == "__main__":
    serve_chat(Row)
