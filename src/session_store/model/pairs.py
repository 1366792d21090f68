"""Which messages belong together: a call of tools and the answers to it.

Providers refuse a dialogue with one but not the other, so whatever selects messages selects
these whole. Calls and answers are found in our own fields, and in content blocks of the
types `tool_use` and `tool_result`.
"""

from collections.abc import Sequence
from typing import Any

from .records import Message, ToolCall, ToolResult


class Exchange:
    """Messages that stand or fall together: by their places, in order.

    Mostly one message. `waiting` are the calls without an answer; `orphaned` says that
    something in it answers a call that is not there.
    """

    def __init__(self, place: int) -> None:
        self.places = [place]
        self.waiting: set[str] = set()
        self.orphaned = False

    def is_whole(self, count: int) -> bool:
        """Return whether a model may see this, among `count` messages.

        A call without all of its answers may stand only at the very end, where they are
        still to come.
        """
        if self.orphaned:
            return False
        return not self.waiting or len(self.places) == count - self.places[0]


def exchanges(messages: Sequence[Message]) -> list[Exchange]:
    """Return every message in exactly one exchange, in the order in which they begin.

    An answer belongs to the latest call of its id before it: some models use ids again.
    """
    found: list[Exchange] = []
    latest: dict[str, Exchange] = {}
    merged: dict[Exchange, Exchange] = {}
    for place, message in enumerate(messages):
        calls, answers = called(message), answered(message)
        if not calls and not answers:
            found.append(Exchange(place))
            continue
        exchange: Exchange | None = None
        orphaned = False
        for call_id in answers:
            other = latest.get(call_id)
            while other in merged:
                other = merged[other]
            if other is None:
                orphaned = orphaned or call_id not in calls
                continue
            other.waiting.discard(call_id)
            if exchange is None:
                exchange = other
            elif other is not exchange:
                exchange = _merge(exchange, other, merged)
        if exchange is None:
            exchange = Exchange(place)
            found.append(exchange)
        else:
            exchange.places.append(place)
        exchange.orphaned = exchange.orphaned or orphaned
        for call_id in calls:
            latest[call_id] = exchange
            exchange.waiting.add(call_id)
        exchange.waiting.difference_update(set(calls).intersection(answers))
    return [exchange for exchange in found if exchange not in merged]


def called(message: Message) -> list[str]:
    """Return the ids of the calls that `message` makes."""
    ids = _blocks(message, "tool_use", "id")
    # Lines that others wrote may hold anything here.
    calls: Any = message.tool_calls
    if isinstance(calls, list):
        ids += [call.id for call in calls if isinstance(call, ToolCall)]
    return ids


def answered(message: Message) -> list[str]:
    """Return the ids of the calls that `message` answers."""
    ids = _blocks(message, "tool_result", "tool_use_id")
    result: Any = message.tool_result
    if isinstance(result, ToolResult):
        ids.append(result.tool_call_id)
    return ids


def _blocks(message: Message, kind: str, name: str) -> list[str]:
    content: Any = message.content
    if not isinstance(content, list):
        return []
    return [
        block[name]
        for block in content
        if isinstance(block, dict)
        and block.get("type") == kind
        and isinstance(block.get(name), str)
    ]


def _merge(one: Exchange, other: Exchange, merged: dict[Exchange, Exchange]) -> Exchange:
    if other.places[0] < one.places[0]:
        one, other = other, one
    one.places = sorted(one.places + other.places)
    one.waiting |= other.waiting
    one.orphaned = one.orphaned or other.orphaned
    merged[other] = one
    return one
