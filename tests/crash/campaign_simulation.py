"""A million schedules of a simulated machine, each decided by its seed."""

import argparse
import json
import signal
import sys
from types import FrameType

from session_store.testing.simulation import play_many, tell
from session_store.testing.simulation.many import Report

PROCESSES = 2
BATCH = 50_000


def run(amount: int, seed: int, processes: int = PROCESSES) -> Report:
    """Play at least so many schedules, from `seed` on, and say now and then how far it is."""
    whole = Report(seed, seed - 1)
    while whole.tally.schedules < amount and not whole.broken:
        left = min(BATCH, amount - whole.tally.schedules)
        part = play_many(left, whole.last + 1, processes)
        whole.take(part.last, part.tally, part.broken)
        whole.seconds += part.seconds
        print(f"{whole.tally.schedules} of {amount} schedules, {whole.seconds:.0f} s", flush=True)
    return whole


def story(report: Report) -> None:
    """Print the first broken seed and its story."""
    seed = min(report.broken)
    print(f"seed {seed}; again: python -m session_store.testing.simulation {seed}")
    for line in tell(seed):
        print(line)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--amount", type=int, default=1_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--processes", type=int, default=PROCESSES)
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, _end)
    report = run(given.amount, given.seed, given.processes)
    if report.broken:
        story(report)
    figures = report.figures()
    summary = {
        "campaign": "simulation",
        "unit": "schedules",
        "amount": figures.pop("schedules"),
        **figures,
        "skipped": [],
    }
    print(json.dumps(summary))
    return 1 if report.broken else 0


def _end(_number: int, _frame: FrameType | None) -> None:
    # So that the pool of processes is closed on the way out.
    sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())
