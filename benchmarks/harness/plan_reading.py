"""The plan of C, D, E and G: what reading costs, in time and in memory."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.kit.protocol import Answer

from . import data
from .bench import Bench, Case, Metric
from .cases import FACES, KIB, MS, WARM, Run
from .peers import LIMITS, OURS, OURS_BLOCKING, PEERS, SQLITE, Row
from .scale import Scale


def c_read(scale: Scale) -> Iterator[Case]:
    """Yield C: read all messages, in a fresh process, and again."""

    def ours(row: Row, size: int) -> Run:
        return lambda bench, _: bench.ask(
            row,
            "read",
            {"folder": str(data.sized(bench)), "session": f"n:{size}", "expect": size, **data.OS},
            fresh=True,
        )

    def limit(size: int) -> Run:
        return lambda bench, _: bench.ask(
            LIMITS,
            "decode",
            {"path": data.log(bench, data.sized(bench), f"n:{size}"), "expect": size},
            fresh=True,
        )

    def theirs(row: Row, size: int) -> Run:
        return lambda bench, _: bench.ask(
            row, "read", {**data.peer(bench, row, size), "expect": size}, fresh=True
        )

    for size in scale.read_sizes:
        for row in FACES:
            yield Case("C", f"{row.label} · {size:,}", ours(row, size), (MS, WARM), row)
        yield Case("C", f"limit · read + decode · {size:,}", limit(size), (MS,), LIMITS)
        if "C" in scale.peer_workloads and size == scale.peer_sizes[-1]:
            for row in (SQLITE, *PEERS):
                name = f"{row.label} · {size:,}"
                yield Case("C", name, theirs(row, size), (MS, WARM), row)


def d_last(scale: Scale) -> Iterator[Case]:
    """Yield D: the last 20 messages, in a fresh process, the opening of the store included."""

    def ours(row: Row, size: int) -> Run:
        return lambda bench, _: bench.ask(
            row,
            "last",
            {"folder": str(data.sized(bench)), "session": f"n:{size}", "expect": size, **data.OS},
            fresh=True,
        )

    def theirs(row: Row, size: int) -> Run:
        return lambda bench, _: bench.ask(row, "last", data.peer(bench, row, size), fresh=True)

    for size in scale.sizes:
        for row in FACES:
            yield Case("D", f"{row.label} · {size:,}", ours(row, size), (MS, KIB), row)
    for size in scale.peer_sizes if "D" in scale.peer_workloads else ():
        for row in (SQLITE, *PEERS):
            yield Case("D", f"{row.label} · {size:,}", theirs(row, size), (MS, KIB), row)


def e_tree(scale: Scale) -> Iterator[Case]:
    """Yield E: the history to a leaf of a tree that branches at one message in 50."""
    path = Metric("messages on the path", lambda one: one["path"])

    def ours(size: int) -> Run:
        return lambda bench, _: bench.ask(OURS, "history", data.tree(bench, size), fresh=True)

    def limit(size: int) -> Run:
        def run(bench: Bench, _repetition: int) -> Answer:
            tree = data.tree(bench, size)
            path = data.log(bench, Path(tree["folder"]), tree["session"])
            return bench.ask(LIMITS, "ids", {"path": path, "expect": size}, fresh=True)

        return run

    for size in scale.trees:
        yield Case("E", f"{OURS.label} · {size:,}", ours(size), (MS, WARM, path), OURS)
        yield Case("E", f"limit · id-only scan · {size:,}", limit(size), (MS,), LIMITS)


def g_memory(scale: Scale) -> Iterator[Case]:
    """Yield G: the most memory one thing takes, on the largest session, beyond an idle process."""
    metrics = (
        Metric("MB above idle", lambda one: one["peak_kib"] * 1024 / 1e6, 1),
        Metric("part of the file", lambda one: one["peak_kib"] * 1024 / one["file_bytes"], 2),
    )

    def run(what: str) -> Run:
        def measure(bench: Bench, _repetition: int) -> Answer:
            folder = data.grown(bench) if what == "append" else data.sized(bench)
            size = bench.scale.largest
            given = {"folder": str(folder), "session": f"n:{size}", "what": what, "expect": size}
            return bench.ask(OURS_BLOCKING, "memory", given, fresh=True)

        return measure

    for what in ("append", "last", "stream", "check", "read"):
        name = f"{OURS.label} · {what} · {scale.largest:,} messages"
        yield Case("G", name, run(what), metrics, OURS)
