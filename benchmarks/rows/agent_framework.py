"""Microsoft Agent Framework: `FileHistoryProvider`, JSON lines."""

from pathlib import Path
from typing import ClassVar
from uuid import uuid4

from agent_framework import Content, FileHistoryProvider, Message

from benchmarks.kit.chat import serve_chat
from benchmarks.kit.messages import Turn


class Row:
    """Reads the file before each append, to leave out what is there already; never syncs."""

    promise: ClassVar[str] = "process"

    def __init__(self, folder: Path) -> None:
        self._provider = FileHistoryProvider(folder)

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def native(self, turn: Turn) -> Message:
        if turn.kind == "tool_call":
            call = Content.from_function_call(turn.call, "look_up", arguments=turn.text)
            return Message("assistant", [call])
        if turn.kind == "tool_result":
            return Message("tool", [Content.from_function_result(turn.call, result=turn.text)])
        return Message(turn.kind, [turn.text])

    async def append(self, session: str, message: Message) -> None:
        await self.append_many(session, [message])

    async def append_many(self, session: str, messages: list[Message]) -> None:
        # Its own id, or two that say the same would count as one.
        for message in messages:
            message.message_id = uuid4().hex
        await self._provider.save_messages(session, messages)

    async def read(self, session: str) -> list[Message]:
        return await self._provider.get_messages(session)

    async def last(self, session: str, count: int) -> list[Message]:
        return (await self.read(session))[-count:]

    def text(self, message: Message) -> str:
        content = message.contents[0]
        if content.type == "function_call":
            return str(content.arguments)
        if content.type == "function_result":
            return str(content.result)
        return str(content.text)


if __name__ == "__main__":
    serve_chat(Row)
