"""Seeds played in two processes at once, until enough was done."""

import json
import os
import selectors
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from disk_campaign import Tally, say
from disk_children import Child, Numbers

LANES = 2
SAY_EVERY = 10
PATIENCE_SECONDS = 300


@dataclass(slots=True)
class Played:
    """What became of one seed: what is wrong, and how often what was met."""

    violations: list[str] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)


def play_all(
    tally: Tally, play: Callable[[int], Played], *, first: int, amount: int, unit: str
) -> None:
    """Play seeds from `first` on until `amount` of what is counted as `unit` is reached.

    Whatever happens, the lanes have ended when this returns.
    """
    last, spoken = first - 1, 0
    for seed, played in _answers(tally, play, first, amount, unit):
        last = max(last, seed)
        tally.counts.update(played.counts)
        tally.amount = tally.counts[unit]
        tally.seeds = f"{first}-{last}"
        if played.violations:
            tally.violated(str(seed), *played.violations)
        if tally.amount * SAY_EVERY // amount > spoken:
            spoken = tally.amount * SAY_EVERY // amount
            say(f"{tally.amount} of {amount} {tally.unit}, {tally.violations} violations")


def _answers(
    tally: Tally, play: Callable[[int], Played], first: int, amount: int, unit: str
) -> Iterator[tuple[int, Played]]:
    stop = Numbers(1)
    lanes: list[Child] = []
    with selectors.DefaultSelector() as answers:
        try:
            for number in range(LANES):
                reading, writing = os.pipe()
                lanes.append(Child(lambda n=number, w=writing: _lane(play, first + n, stop, w)))
                os.close(writing)
                answers.register(os.fdopen(reading), selectors.EVENT_READ)
            while answers.get_map():
                for key, _ in answers.select():
                    line: Any = key.fileobj.readline()  # type: ignore[union-attr]
                    if not line:
                        answers.unregister(key.fileobj)
                        key.fileobj.close()  # type: ignore[union-attr]
                        continue
                    seed, violations, counts = json.loads(line)
                    yield seed, Played(violations, Counter(counts))
                    stop[0] = tally.counts[unit] >= amount
        finally:
            stop[0] = 1
            for lane in lanes:
                if lane.wait():
                    tally.violated("?", f"a lane ended with {lane.status}")
            for key in list(answers.get_map().values()):
                key.fileobj.close()  # type: ignore[union-attr]


def _lane(play: Callable[[int], Played], seed: int, stop: Numbers, writing: int) -> None:
    with os.fdopen(writing, "w") as pipe:
        while not stop[0]:
            # What hangs is a violation too, and ends: with the lane, all that it has forked.
            signal.alarm(PATIENCE_SECONDS)
            played = play(seed)
            print(json.dumps([seed, played.violations, played.counts]), file=pipe, flush=True)
            seed += LANES
