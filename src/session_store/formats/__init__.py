"""Dialogues in the formats that model providers take, and back.

Pure translations: list in, list out. What a format says and a message does not is kept under
the message's `metadata`, so that a dialogue that was imported is exported unchanged.
"""

from .anthropic import AnthropicConversation, from_anthropic, to_anthropic
from .openai import from_openai, to_openai

__all__ = [
    "AnthropicConversation",
    "from_anthropic",
    "from_openai",
    "to_anthropic",
    "to_openai",
]
