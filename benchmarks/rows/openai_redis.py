"""openai-agents: `RedisSession`."""

from pathlib import Path
from typing import Any, ClassVar

import redis.asyncio
from agents.extensions.memory import RedisSession

from benchmarks.kit.chat import serve_chat
from benchmarks.kit.messages import Turn


class Row:
    """One session object a session, over one client."""

    promise: ClassVar[str] = "power"

    def __init__(self, folder: Path, url: str) -> None:
        self._client: Any = redis.asyncio.Redis.from_url(url)
        self._prefix = f"agents:{folder.parent.name}"
        self._sessions: dict[str, Any] = {}

    async def open(self) -> None:
        pass

    async def close(self) -> None:
        await self._client.aclose()

    def _get(self, session: str) -> Any:
        if session not in self._sessions:
            self._sessions[session] = RedisSession(
                session, redis_client=self._client, key_prefix=self._prefix
            )
        return self._sessions[session]

    def native(self, turn: Turn) -> dict[str, Any]:
        if turn.kind == "tool_call":
            call = {"type": "function_call", "call_id": turn.call, "name": "look_up"}
            return {**call, "arguments": turn.text}
        if turn.kind == "tool_result":
            return {"type": "function_call_output", "call_id": turn.call, "output": turn.text}
        return {"role": turn.kind, "content": turn.text}

    async def append(self, session: str, message: dict[str, Any]) -> None:
        await self._get(session).add_items([message])

    async def append_many(self, session: str, messages: list[dict[str, Any]]) -> None:
        await self._get(session).add_items(messages)

    async def read(self, session: str) -> list[dict[str, Any]]:
        return list(await self._get(session).get_items())

    async def last(self, session: str, count: int) -> list[dict[str, Any]]:
        return list(await self._get(session).get_items(limit=count))

    def text(self, message: dict[str, Any]) -> str:
        return str(message.get("content") or message.get("output") or message["arguments"])


if __name__ == "__main__":
    serve_chat(Row)
