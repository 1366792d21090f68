"""Agno: `SqliteDb`, a run of one message each."""

from pathlib import Path
from typing import Any, ClassVar
from uuid import uuid4

from agno.db.sqlite import SqliteDb
from agno.models.message import Message
from agno.run.agent import RunOutput
from agno.session import AgentSession

from benchmarks.kit.chat import serve_chat
from benchmarks.kit.messages import Turn


class Row:
    """The unit is the run: a session, and a row a run; WAL, synchronous FULL."""

    promise: ClassVar[str] = "power"

    def __init__(self, folder: Path) -> None:
        self._db = SqliteDb(db_file=str(folder / "agno.db"))
        self._next: dict[str, int] = {}

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        self._db.close()

    def native(self, turn: Turn) -> Message:
        if turn.kind == "tool_call":
            function = {"name": "look_up", "arguments": turn.text}
            call = {"id": turn.call, "type": "function", "function": function}
            return Message(role="assistant", tool_calls=[call])
        if turn.kind == "tool_result":
            return Message(role="tool", tool_call_id=turn.call, content=turn.text)
        return Message(role=turn.kind, content=turn.text)

    async def append(self, session: str, message: Message) -> None:
        number = self._next.get(session)
        if number is None:
            self._db.upsert_session(AgentSession(session_id=session, agent_id="agent"))
            found = self._db.get_runs(session_id=session, limit=1, deserialize=False)
            number = found[1]
        run = RunOutput(run_id=str(uuid4()), agent_id="agent", session_id=session)
        run.messages = [message]
        self._db.upsert_run(run, session, run_index=number)
        self._next[session] = number + 1

    def _messages(self, runs: Any) -> list[Message]:
        return [message for run in runs for message in run.messages or []]

    async def read(self, session: str) -> list[Message]:
        return self._messages(self._db.get_runs(session_id=session))

    async def last(self, session: str, count: int) -> list[Message]:
        found = self._db.get_runs(
            session_id=session, limit=count, sort_by="run_index", sort_order="desc"
        )
        return self._messages(reversed(list(found)))

    def text(self, message: Message) -> str:
        if message.tool_calls:
            return str(message.tool_calls[0]["function"]["arguments"])
        return str(message.content)


if __name__ == "__main__":
    serve_chat(Row)
