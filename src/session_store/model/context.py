"""What of a dialogue a model is sent: after resets and compactions, within a budget.

Never a call of a tool without its answers, nor an answer without its call: providers refuse
such a dialogue, and go on refusing it for ever.
"""

from collections.abc import Callable, Sequence
from typing import Any, Final, TypeAlias

import msgspec

from .config import check_budget
from .pairs import Exchange, exchanges
from .records import Message
from .reset import after_marker

TokenCounter: TypeAlias = Callable[[Message], int]
"""Says how many tokens one message costs."""

CHARACTERS_PER_TOKEN: Final = 4
"""What `estimate_tokens` assumes; about right for English text."""


def select_context(
    path: Sequence[Message],
    *,
    kept: Sequence[Message] = (),
    max_tokens: int | None = None,
    max_messages: int | None = None,
    token_counter: TokenCounter | None = None,
) -> list[Message]:
    """Return the messages of `path`, which runs from its root, that a model is to see.

    It starts behind the last reset marker, with the `kept` messages that this marker took
    along, or with the last compaction message, its summary, and the system messages before
    it. An answer whose call is missing is left out, and so is a call that was given up: one
    that lacks answers though other messages follow.

    A budget is spent on the system messages and the summary first, which are kept even if
    they exceed it, then on the newest messages: as many as fit without a gap, a call and
    its answers together. If not even the newest fit, none of these is returned. Without a
    `token_counter` tokens are those of `estimate_tokens`. `ConfigError` for a budget below 1.
    """
    check_budget("max_tokens", max_tokens)
    check_budget("max_messages", max_messages)
    start = after_marker(path)
    history = [*kept, *path[start:]]
    head, body = _behind_compaction(history)
    always = [_is_system(message) for message in body]
    candidates = [
        exchange
        for exchange in exchanges(body)
        if exchange.is_whole(len(body)) and not always[exchange.places[0]]
    ]
    budget = _Budget(max_tokens, max_messages, token_counter or estimate_tokens)
    for message in [*head, *_where(body, always)]:
        budget.fits([message])
    for exchange in sorted(candidates, key=_newest, reverse=True):
        if not budget.fits([body[place] for place in exchange.places]):
            break
        for place in exchange.places:
            always[place] = True
    return [*head, *_where(body, always)]


def estimate_tokens(message: Message) -> int:
    """Return about how many tokens `message` costs: four characters of its JSON each.

    Pictures inside the message count like text and so for far more than models take; hand
    in a `token_counter` of your own if there are many.
    """
    said = message.content
    length = len(said) if isinstance(said, str) else _json_length(said)
    length += _json_length(message.tool_calls) + _json_length(message.tool_result)
    return -(-length // CHARACTERS_PER_TOKEN)


class _Budget:
    def __init__(
        self,
        max_tokens: int | None,
        max_messages: int | None,
        token_counter: TokenCounter,
    ) -> None:
        self._tokens = max_tokens
        self._messages = max_messages
        self._count = token_counter

    def fits(self, messages: list[Message]) -> bool:
        """Spend what `messages` cost; return whether that much was there."""
        enough = True
        if self._messages is not None:
            self._messages -= len(messages)
            enough = self._messages >= 0
        if self._tokens is not None and enough:
            self._tokens -= sum(map(self._count, messages))
            enough = self._tokens >= 0
        return enough


def _behind_compaction(history: list[Message]) -> tuple[list[Message], list[Message]]:
    for place in range(len(history) - 1, -1, -1):
        if history[place].type == "compaction":
            systems = [message for message in history[:place] if _is_system(message)]
            return [*systems, history[place]], history[place + 1 :]
    return [], history


def _is_system(message: Message) -> bool:
    return message.type == "system"


def _newest(exchange: Exchange) -> int:
    return exchange.places[-1]


def _where(messages: list[Message], chosen: list[bool]) -> list[Message]:
    return [message for message, is_in in zip(messages, chosen, strict=True) if is_in]


def _json_length(value: Any) -> int:
    return 0 if value is None else len(msgspec.json.encode(value).decode())
