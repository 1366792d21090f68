"""The dialogue that every row stores: the same for all of them, from a fixed seed.

Texts of users and assistants have 50 to 3,000 bytes, short ones being more common, and every
fifth turn calls a tool that answers 2 KB.
"""

import random
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

SEED = 20_260
POOL = 3_000
"""So many different messages there are; a longer dialogue says them again."""

_SYLLABLES = (
    "ka",
    "lo",
    "mi",
    "ter",
    "an",
    "do",
    "ve",
    "su",
    "ri",
    "pal",
    "en",
    "to",
    "gra",
    "sil",
    "bo",
    "ne",
    "fi",
    "ul",
    "ast",
    "or",
    "ché",
    "ñu",
    "grün",
)


class Turn(NamedTuple):
    """One message: `kind` is user, assistant, tool_call or tool_result."""

    kind: str
    text: str
    call: str = ""
    """What ties a tool's result to its call."""


def dialogue(count: int, start: int = 0) -> Iterator[Turn]:
    """Yield `count` messages of the dialogue that never ends, from the one numbered `start`."""
    pool = _pool()
    return (pool[number % POOL] for number in range(start, start + count))


def text_at(number: int) -> str:
    """Return the text of the message of that number."""
    return _pool()[number % POOL].text


@cache
def _pool() -> list[Turn]:
    dice = random.Random(SEED)  # noqa: S311 (not a secret)
    words = ["".join(dice.choices(_SYLLABLES, k=dice.randint(1, 4))) for _ in range(500)]
    turns: list[Turn] = []
    turn = 0
    while len(turns) < POOL:
        turn += 1
        turns.append(Turn("user", _text(dice, words)))
        if turn % 5 == 0:
            call = f"call-{turn}"
            turns.append(Turn("tool_call", _sized(dice, words, 60), call))
            turns.append(Turn("tool_result", _sized(dice, words, 2048), call))
        turns.append(Turn("assistant", _text(dice, words)))
    return turns[:POOL]


def _text(dice: random.Random, words: list[str]) -> str:
    return _sized(dice, words, int(50 * 60 ** dice.random()))


def _sized(dice: random.Random, words: list[str], size: int) -> str:
    text, length = [], 0
    while length < size:
        word = dice.choice(words)
        text.append(word)
        length += len(word.encode()) + 1
    return " ".join(text).encode()[:size].decode("utf-8", "ignore")
