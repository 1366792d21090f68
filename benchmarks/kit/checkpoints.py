"""What LangGraph's savers have in common: a checkpoint a message, as a graph with a list has."""

from typing import Any, ClassVar

from langchain_core.messages import AIMessage, AnyMessage, HumanMessage, ToolMessage
from langgraph.checkpoint.base import empty_checkpoint
from langgraph.checkpoint.base.id import uuid6

from .messages import Turn


class Checkpoints:
    """A dialogue kept by a saver; each checkpoint holds the whole list."""

    promise: ClassVar[str] = "power"

    def __init__(self, connection: Any, saver: Any) -> None:
        self._connection = connection
        self._saver = saver
        self._states: dict[str, tuple[dict[str, Any], list[AnyMessage]]] = {}

    async def open(self) -> None:
        self._saver.setup()

    async def close(self) -> None:
        self._connection.close()

    def native(self, turn: Turn) -> AnyMessage:
        if turn.kind == "tool_call":
            call = {"name": "look_up", "args": {"query": turn.text}, "id": turn.call}
            return AIMessage(content="", tool_calls=[call])
        if turn.kind == "tool_result":
            return ToolMessage(content=turn.text, tool_call_id=turn.call)
        kind = HumanMessage if turn.kind == "user" else AIMessage
        return kind(content=turn.text)

    def thread(self, session: str) -> str:
        """Return the name of a thread."""
        return session

    def _load(self, session: str) -> tuple[dict[str, Any], list[AnyMessage]]:
        config = {"configurable": {"thread_id": self.thread(session), "checkpoint_ns": ""}}
        found = self._saver.get_tuple(config)
        if found is None:
            return config, []
        return dict(found.config), list(found.checkpoint["channel_values"]["messages"])

    async def append(self, session: str, message: AnyMessage) -> None:
        await self.append_many(session, [message])

    async def append_many(self, session: str, messages: list[AnyMessage]) -> None:
        config, held = self._states.get(session) or self._load(session)
        held = held + messages
        checkpoint = empty_checkpoint()
        checkpoint["id"] = str(uuid6(clock_seq=len(held)))
        checkpoint["channel_values"] = {"messages": held}
        checkpoint["channel_versions"] = {"messages": len(held)}
        metadata = {"source": "loop", "step": len(held), "parents": {}}
        after = self._saver.put(config, checkpoint, metadata, {"messages": len(held)})
        self._states[session] = (dict(after), held)

    async def read(self, session: str) -> list[AnyMessage]:
        return self._load(session)[1]

    async def last(self, session: str, count: int) -> list[AnyMessage]:
        return self._load(session)[1][-count:]

    def text(self, message: AnyMessage) -> str:
        calls = getattr(message, "tool_calls", None)
        return str(calls[0]["args"]["query"] if calls else message.content)
