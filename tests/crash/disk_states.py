"""Every state in which a power cut can leave a disk, taken from what was sent to it.

Writes before a flush that was answered are there. Of those behind it any may be, in any order,
and of one of several sectors any sectors may be.
"""

import os
import random
from collections.abc import Iterator
from dataclasses import replace
from itertools import chain, combinations
from pathlib import Path
from typing import NamedTuple

from disk_fuse import Record

from session_store.testing.history import NEVER, History

SECTOR = 512
ALL_SUBSETS_OF = 5
RANDOM_SUBSETS = 12
TORN = 6


class State(NamedTuple):
    """What is on the disk besides all that was flushed, at a position of its log."""

    position: int
    name: str
    writes: list[Record]
    torn: bool = False


class Epoch(NamedTuple):
    """The writes between two flushes, and the position right before the second."""

    position: int
    writes: list[Record]


def epochs(log: list[list[Record]], start: int) -> Iterator[Epoch]:
    """Yield what lies between the flushes from `start` on; what was before counts as flushed."""
    writes: list[Record] = []
    for position in range(start, len(log)):
        entry = log[position]
        if entry[0].data is None:
            yield Epoch(position, writes)
            writes = []
        else:
            writes += entry
    yield Epoch(len(log), writes)


def states(epoch: Epoch, chance: random.Random) -> Iterator[State]:
    """Yield the states of one epoch: all prefixes, all or many subsets, and torn writes."""
    count = len(epoch.writes)
    prefixes = [tuple(range(length)) for length in range(count + 1)]
    if count <= ALL_SUBSETS_OF:
        sizes = range(count + 1)
        subsets = list(chain.from_iterable(combinations(range(count), size) for size in sizes))
    else:
        subsets = [
            tuple(place for place in range(count) if chance.random() < 0.5)
            for _ in range(RANDOM_SUBSETS)
        ]
    for chosen in dict.fromkeys([*prefixes, *subsets]):
        yield State(epoch.position, f"{list(chosen)} of {count}", _only(epoch, chosen))
    wide = [place for place in range(count) if len(epoch.writes[place].data or b"") > SECTOR]
    for _ in range(TORN if wide else 0):
        place = chance.choice(wide)
        chosen = chance.choice(subsets)
        parts = _tear(epoch.writes[place], chance)
        rest = _only(epoch, tuple(one for one in chosen if one != place))
        name = f"{list(chosen)} of {count}, {place} torn into {[one.offset for one in parts]}"
        yield State(epoch.position, name, rest + parts, torn=True)


def _only(epoch: Epoch, chosen: tuple[int, ...]) -> list[Record]:
    return [epoch.writes[place] for place in chosen]


def _tear(write: Record, chance: random.Random) -> list[Record]:
    data = write.data or b""
    sectors = [
        Record(write.offset + at, data[at : at + SECTOR]) for at in range(0, len(data), SECTOR)
    ]
    kept = chance.randrange(1, 2 ** len(sectors) - 1)
    return [one for place, one in enumerate(sectors) if kept >> place & 1]


def apply(image: Path, writes: list[Record]) -> None:
    """Let these writes reach the image."""
    file = os.open(image, os.O_WRONLY)
    try:
        for offset, data in writes:
            os.pwrite(file, data or b"", offset)
    finally:
        os.close(file)


def known_at(history: History, position: int) -> History:
    """Return the history as it was when the disk had answered so much; its times are positions."""
    cut = History(lambda: NEVER)
    for one in history.operations:
        if one.began >= position + 1:
            continue
        if one.ended >= position + 1:
            one = replace(one, outcome="unknown", ended=NEVER, answer=None)
        cut.operations.append(one)
    return cut
