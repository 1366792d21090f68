"""What the plan is written with: columns of the tables, names of lines, and runs."""

from collections.abc import Callable
from typing import Any

from benchmarks.kit.protocol import Answer

from .bench import Bench, Metric
from .peers import OURS, OURS_BLOCKING, Row

RATE = Metric("messages/s", lambda one: one["operations"] / one["seconds"])
SESSIONS = Metric("sessions/s", lambda one: one["operations"] / one["seconds"])
MS = Metric("ms", lambda one: one["seconds"] * 1e3, 3)
WARM = Metric("again, ms", lambda one: one["warm_seconds"] * 1e3, 3)
KIB = Metric("KiB read", lambda one: one["read_bytes"] / 1024)
COST = Metric("µs an append", lambda one: one["seconds"] / one["operations"] * 1e6, 1)

FACES = (OURS, OURS_BLOCKING)

Run = Callable[[Bench, int], Answer]
Params = dict[str, Any]


def fsync_or_os(durability: str) -> dict[str, Any]:
    """Return the settings of our rows and of theirs."""
    return {"settings": {"durability": durability}}


def label(row: Row, more: str = "") -> str:
    """Return the name of a line: the row, how it is set, and what a peer promises."""
    return f"{row.label} · {more or row.promise}" if more or row.promise else row.label


def job(workload: str, **params: Any) -> Callable[[Row], Run]:
    """Return a maker of runs: the row does the workload in a folder that is new."""

    def of(row: Row) -> Run:
        def run(bench: Bench, _repetition: int) -> Answer:
            with bench.scratch() as folder:
                given = {"folder": str(folder / "store"), **params}
                return bench.ask(row, workload, given)

        return run

    return of
