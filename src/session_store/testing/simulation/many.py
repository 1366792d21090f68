"""Many seeds, played by one process or by several."""

import multiprocessing
import time
from collections import deque
from collections.abc import Generator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass, field

from .schedule import Outcome, Tally, play

CHUNK_SEEDS = 100


@dataclass(slots=True)
class Report:
    """What became of the seeds from `first` to `last`."""

    first: int
    last: int
    tally: Tally = field(default_factory=Tally)
    broken: dict[int, list[str]] = field(default_factory=dict)
    seconds: float = 0.0

    def take(self, last: int, tally: Tally, broken: dict[int, list[str]]) -> None:
        """Take the figures of more seeds in."""
        self.last = max(self.last, last)
        self.tally.add(tally)
        self.broken |= broken

    def figures(self) -> dict[str, object]:
        """Return the figures as JSON has them; means are those of one schedule."""
        tally = self.tally
        schedules = max(tally.schedules, 1)
        return {
            "schedules": tally.schedules,
            "violations": len(self.broken),
            "seeds": f"{self.first}-{self.last}",
            "seconds": round(self.seconds, 1),
            "per_second": round(tally.schedules / max(self.seconds, 1e-9)),
            "trunks": tally.trunks,
            "not_counted": tally.idle,
            "mean_operations": round(tally.operations / schedules, 2),
            "mean_acknowledged": round(tally.acknowledged / schedules, 2),
            "mean_calls": round(tally.calls / schedules, 1),
            "faults": dict(sorted(tally.faults.items())),
        }


def play_many(schedules: int, seed: int = 1, processes: int = 1) -> Report:
    """Play seeds from `seed` on until at least so many schedules have been played.

    It ends early when a promise was broken.
    """
    report = Report(seed, seed - 1)
    began = time.monotonic()
    chunks = _alone(seed) if processes == 1 else _together(seed, processes)
    for last, tally, broken in chunks:
        report.take(last, tally, broken)
        if report.broken or report.tally.schedules >= schedules:
            break
    chunks.close()
    report.seconds = time.monotonic() - began
    return report


Chunk = tuple[int, Tally, dict[int, list[str]]]


def _play_chunk(seed: int) -> Chunk:
    tally = Tally()
    broken: dict[int, list[str]] = {}
    for number in range(seed, seed + CHUNK_SEEDS):
        outcome: Outcome = play(number)
        tally.add(outcome.tally)
        if outcome.violations:
            broken[number] = outcome.violations
    return seed + CHUNK_SEEDS - 1, tally, broken


def _alone(seed: int) -> Generator[Chunk, None, None]:
    while True:
        yield _play_chunk(seed)
        seed += CHUNK_SEEDS


def _together(seed: int, processes: int) -> Generator[Chunk, None, None]:
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(processes, mp_context=context) as pool:
        try:
            pending: deque[Future[Chunk]] = deque()
            while True:
                while len(pending) < 2 * processes:
                    pending.append(pool.submit(_play_chunk, seed))
                    seed += CHUNK_SEEDS
                # In their order, so that the report names all seeds that were played.
                yield pending.popleft().result()
        finally:
            pool.shutdown(cancel_futures=True)
