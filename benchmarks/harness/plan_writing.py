"""The plan of A, B, H and I: appends, by one and by many."""

from collections.abc import Iterator
from typing import Any

from .bench import Case, Metric
from .cases import FACES, RATE, Params, fsync_or_os, job, label
from .peers import LIMITS, OURS, OURS_BLOCKING, PEERS, SQLITE, Row
from .scale import Scale


def a_append(scale: Scale) -> Iterator[Case]:
    """Yield A: append to one session."""
    size: Params = {"count": scale.messages, "budget": scale.budget}
    for durability in ("os", "fsync"):
        for row in FACES:
            run = job("append", **size, **fsync_or_os(durability))(row)
            yield Case("A", label(row, durability), run, (RATE,), row)
    for name, workload, extra in (
        ("write", "write", {}),
        ("encode + write", "encode", {}),
        ("write + fdatasync", "sync", {"group": 1}),
        ("write + fdatasync per 32", "sync", {"group": 32}),
    ):
        run = job(workload, **size, **extra)(LIMITS)
        yield Case("A", label(LIMITS, name), run, (RATE,), LIMITS)
    for synchronous in ("FULL", "NORMAL"):
        run = job("append", **size, settings={"synchronous": synchronous})(SQLITE)
        yield Case("A", label(SQLITE, synchronous), run, (RATE,), SQLITE)
    for row in PEERS:
        yield Case("A", label(row), job("append", **size)(row), (RATE,), row)
    hundred: Params = {**size, "batch": 100}
    run = job("append_many", **hundred, durability="os")(OURS)
    yield Case("A", label(OURS, "append_many of 100, os"), run, (RATE,), OURS)
    run = job("encode_many", **hundred)(LIMITS)
    yield Case("A", label(LIMITS, "encode + one write per 100"), run, (RATE,), LIMITS)


def b_round_robin(scale: Scale) -> Iterator[Case]:
    """Yield B: append to 500 sessions in turn."""
    # Not cut into turns: 500 first messages take longer than the rest.
    budget = scale.budget * scale.slices
    size: Params = {"count": scale.messages, "budget": budget, "sessions": 500}
    for row in FACES:
        run = job("round_robin", **size, **fsync_or_os("os"))(row)
        yield Case("B", label(row, "os"), run, (RATE,), row)
    if "B" in scale.peer_workloads:
        run = job("round_robin", **size, **fsync_or_os("fsync"))(OURS)
        yield Case("B", label(OURS, "fsync"), run, (RATE,), OURS)
    run = job("descriptors", **size)(LIMITS)
    yield Case("B", label(LIMITS, "write through descriptors"), run, (RATE,), LIMITS)
    for synchronous in ("FULL", "NORMAL"):
        run = job("round_robin", **size, settings={"synchronous": synchronous})(SQLITE)
        yield Case("B", label(SQLITE, synchronous), run, (RATE,), SQLITE)
    for row in PEERS if "B" in scale.peer_workloads else ():
        if row.language == "Python":
            yield Case("B", label(row), job("round_robin", **size)(row), (RATE,), row)


def h_crowd(scale: Scale) -> Iterator[Case]:
    """Yield H: processes that append at once, to one session and to their own."""
    metrics = (
        RATE,
        Metric("lost", lambda one: one["lost"]),
        Metric("double", lambda one: one["duplicated"]),
        Metric("failed", lambda one: one["failed"]),
    )
    size: Params = {"count": scale.messages // 5, "budget": scale.budget}

    def run(row: Row, *, together: bool, tally: bool = True, **params: Any) -> Any:
        return lambda bench, _: bench.crowd(row, {**size, **params}, together=together, tally=tally)

    for number in scale.crowds:
        for where, together in (("one session", True), ("own sessions", False)):
            end = f"{number} processes, {where}"
            for durability in ("os", "fsync"):
                ours = {"processes": number, **fsync_or_os(durability)}
                name = label(OURS, f"{durability} · {end}")
                yield Case("H", name, run(OURS, together=together, **ours), metrics, OURS)
                bare = "flock + write" + (" + fdatasync" if durability == "fsync" else "")
                limit = {"processes": number, "sync": durability == "fsync"}
                yield Case(
                    "H",
                    label(LIMITS, f"{bare} · {end}"),
                    run(LIMITS, together=together, tally=False, **limit),
                    (RATE,),
                    LIMITS,
                )
        for row in (SQLITE, *PEERS) if "H" in scale.peer_workloads and number == 4 else ():
            if row.language == "Python":
                name = f"{row.label} · 4 processes, one session"
                yield Case("H", name, run(row, together=True, processes=4), metrics, row)


def i_together(scale: Scale) -> Iterator[Case]:
    """Yield I: 64 tasks, and 64 threads, that append durably."""
    size: Params = {"count": scale.messages, "budget": scale.budget}
    for sessions in (1, 64):
        more: Params = {**size, "durability": "fsync", "sessions": sessions}
        end = f"{sessions} session{'s' if sessions > 1 else ''}"
        run = job("tasks", **more, tasks=64)(OURS)
        yield Case("I", label(OURS, f"64 tasks, {end}"), run, (RATE,), OURS)
        run = job("threads", **more, threads=64)(OURS_BLOCKING)
        yield Case("I", label(OURS_BLOCKING, f"64 threads, {end}"), run, (RATE,), OURS_BLOCKING)
    run = job("sync", **size, group=32)(LIMITS)
    yield Case("I", label(LIMITS, "write + fdatasync per 32"), run, (RATE,), LIMITS)
    run = job("threads", **size)(LIMITS)
    yield Case("I", label(LIMITS, "best number of threads, own files"), run, (RATE,), LIMITS)
