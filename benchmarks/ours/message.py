"""A turn of the dialogue as our message, and its text."""

from benchmarks.kit.messages import Turn
from session_store import Message, ToolCall, ToolResult


def message_of(turn: Turn) -> Message:
    """Return the turn as our message."""
    if turn.kind == "tool_call":
        call = ToolCall(id=turn.call, name="look_up", arguments={"query": turn.text})
        return Message(type="tool_call", role="assistant", tool_calls=[call])
    if turn.kind == "tool_result":
        result = ToolResult(tool_call_id=turn.call, result=turn.text)
        return Message(type="tool_result", role="tool", tool_result=result)
    return Message(type=turn.kind, role=turn.kind, content=turn.text)


def text_of(message: Message) -> str:
    """Return the text of our message."""
    if message.tool_calls:
        return str(message.tool_calls[0].arguments["query"])
    if message.tool_result is not None:
        return str(message.tool_result.result)
    return str(message.content)
