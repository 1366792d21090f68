"""Strands Agents: `FileSessionManager`, a file a message."""

from pathlib import Path
from typing import Any, ClassVar

from strands.session.file_session_manager import FileSessionManager
from strands.types.session import SessionAgent, SessionMessage

from benchmarks.kit.chat import serve_chat
from benchmarks.kit.messages import Turn

AGENT = "agent"


class Row:
    """Written beside and renamed, never synced; who appends counts the messages."""

    promise: ClassVar[str] = "process"

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._managers: dict[str, FileSessionManager] = {}
        self._next: dict[str, int] = {}

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def native(self, turn: Turn) -> dict[str, Any]:
        if turn.kind == "tool_call":
            use = {"toolUseId": turn.call, "name": "look_up", "input": {"query": turn.text}}
            return {"role": "assistant", "content": [{"toolUse": use}]}
        if turn.kind == "tool_result":
            content = [{"text": turn.text}]
            result = {"toolUseId": turn.call, "status": "success", "content": content}
            return {"role": "user", "content": [{"toolResult": result}]}
        return {"role": turn.kind, "content": [{"text": turn.text}]}

    def _get(self, session: str) -> FileSessionManager:
        if session not in self._managers:
            manager = FileSessionManager(session_id=session, storage_dir=str(self._folder))
            if manager.read_agent(session, AGENT) is None:
                agent = SessionAgent(AGENT, state={}, conversation_manager_state={})
                manager.create_agent(session, agent)
            self._managers[session] = manager
            self._next[session] = len(manager.list_messages(session, AGENT))
        return self._managers[session]

    async def append(self, session: str, message: dict[str, Any]) -> None:
        manager = self._get(session)
        number = self._next[session]
        manager.create_message(session, AGENT, SessionMessage.from_message(message, number))
        self._next[session] = number + 1

    async def read(self, session: str) -> list[dict[str, Any]]:
        found = self._opened(session).list_messages(session, AGENT)
        return [one.to_message() for one in found]

    async def last(self, session: str, count: int) -> list[dict[str, Any]]:
        # It counts from the oldest, so who wants the newest must know how many there are.
        manager = self._opened(session)
        folder = self._folder / f"session_{session}" / "agents" / f"agent_{AGENT}" / "messages"
        number = sum(1 for _ in folder.iterdir())
        found = manager.list_messages(session, AGENT, limit=count, offset=number - count)
        return [one.to_message() for one in found]

    def _opened(self, session: str) -> FileSessionManager:
        known = self._managers.get(session)
        return known or FileSessionManager(session_id=session, storage_dir=str(self._folder))

    def text(self, message: dict[str, Any]) -> str:
        block = message["content"][0]
        if "toolUse" in block:
            return str(block["toolUse"]["input"]["query"])
        if "toolResult" in block:
            return str(block["toolResult"]["content"][0]["text"])
        return str(block["text"])


if __name__ == "__main__":
    serve_chat(Row)
