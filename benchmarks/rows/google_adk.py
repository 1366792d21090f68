"""Google ADK: `SqliteSessionService`."""

from pathlib import Path
from typing import Any, ClassVar

from google.adk.events import Event
from google.adk.sessions import Session
from google.adk.sessions.base_session_service import GetSessionConfig
from google.adk.sessions.sqlite_session_service import SqliteSessionService
from google.genai import types

from benchmarks.kit.chat import serve_chat
from benchmarks.kit.messages import Turn


class Row:
    """One event a message; a rollback journal, synchronous FULL."""

    promise: ClassVar[str] = "power"

    def __init__(self, folder: Path) -> None:
        self._service = SqliteSessionService(str(folder / "adk.db"))
        self._sessions: dict[str, Session] = {}

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        pass

    def native(self, turn: Turn) -> Event:
        if turn.kind == "tool_call":
            call = types.FunctionCall(id=turn.call, name="look_up", args={"query": turn.text})
            part, author = types.Part(function_call=call), "agent"
        elif turn.kind == "tool_result":
            result = types.FunctionResponse(
                id=turn.call, name="look_up", response={"result": turn.text}
            )
            part, author = types.Part(function_response=result), "agent"
        else:
            part = types.Part(text=turn.text)
            author = "user" if turn.kind == "user" else "agent"
        role = "user" if author == "user" else "model"
        return Event(author=author, content=types.Content(role=role, parts=[part]))

    async def _get(self, session: str, recent: int | None = None) -> Session:
        config = GetSessionConfig(num_recent_events=recent)
        found = await self._service.get_session(
            app_name="app", user_id="user", session_id=session, config=config
        )
        return found or await self._service.create_session(
            app_name="app", user_id="user", session_id=session
        )

    async def append(self, session: str, message: Event) -> None:
        held = self._sessions.get(session)
        if held is None:
            held = self._sessions[session] = await self._get(session, recent=1)
        # What is stored gets a new id and the time of now: the same event may come again.
        fresh = {"id": Event.new_id(), "timestamp": Event().timestamp}
        await self._service.append_event(held, message.model_copy(update=fresh))

    async def read(self, session: str) -> list[Event]:
        return (await self._get(session)).events

    async def last(self, session: str, count: int) -> list[Event]:
        return (await self._get(session, recent=count)).events

    def text(self, message: Event) -> str:
        part: Any = message.content.parts[0] if message.content and message.content.parts else None
        if part.function_call:
            return str(part.function_call.args["query"])
        if part.function_response:
            return str(part.function_response.response["result"])
        return str(part.text)


if __name__ == "__main__":
    serve_chat(Row)
