"""The plan of F, J, K and the import: many sessions, waiting, growing, starting."""

import statistics
import subprocess
import sys
import time
from collections.abc import Iterator

from benchmarks.kit.protocol import Answer

from . import data
from .bench import Bench, Case, Metric
from .cases import COST, MS, SESSIONS, Params, Run, fsync_or_os, job, label
from .child import Child, gathered
from .peers import LIMITS, OURS, OURS_BLOCKING, PEERS, SQLITE, Row
from .scale import Scale


def f_sessions(scale: Scale) -> Iterator[Case]:
    """Yield F: make sessions, open a store that has many, find and list them."""
    size: Params = {"count": scale.creations, "budget": scale.budget}
    for durability in ("os", "fsync"):
        run = job("new_keys", **size, durability=durability)(OURS)
        name = label(OURS, f"resolve a new key, {durability}")
        yield Case("F", name, run, (SESSIONS,), OURS)
    for name, workload, extra in (
        ("encode + write", "encode", {}),
        ("write + fdatasync", "sync", {"group": 1}),
    ):
        run = job(workload, **size, **extra)(LIMITS)
        yield Case("F", label(LIMITS, name), run, (SESSIONS,), LIMITS)
    run = job("create", **size, **fsync_or_os("os"))(OURS)
    yield Case("F", label(OURS, "new session with a message, os"), run, (SESSIONS,), OURS)
    for row in (SQLITE, *PEERS) if "F" in scale.peer_workloads else ():
        if row.language == "Python":
            name = f"{row.label} · new session with a message"
            yield Case("F", name, job("create", **size)(row), (SESSIONS,), row)
    metrics = (
        Metric("open, ms", lambda one: one["seconds"] * 1e3, 1),
        Metric("peak, MB", lambda one: one["peak_kib"] * 1024 / 1e6),
        Metric("steady, MB", lambda one: one["steady_kib"] * 1024 / 1e6),
        Metric("known key, µs", lambda one: one["resolve_seconds"] * 1e6, 1),
        Metric("50 latest, ms", lambda one: one["latest_first_seconds"] * 1e3, 2),
        Metric("again, ms", lambda one: one["latest_seconds"] * 1e3, 2),
        Metric("bytes written / journal", lambda one: one["amplification"], 2),
    )

    def opened(size: int) -> Run:
        def run(bench: Bench, _repetition: int) -> Answer:
            made = data.index(bench, size)
            given = {"folder": made["folder"], "expect": size}
            answer = bench.ask(OURS_BLOCKING, "open_many", given, fresh=True)
            return {**answer, "amplification": made["written_bytes"] / made["journal_bytes"]}

        return run

    for number in scale.sizes:
        yield Case("F", f"{OURS.label} · {number:,} sessions", opened(number), metrics, OURS)


def j_subscribe(scale: Scale) -> Iterator[Case]:
    """Yield J: from an append to its delivery in another process; and what waiting costs."""
    metrics = (
        Metric("median, ms", lambda one: one["median_seconds"] * 1e3, 2),
        Metric("99th of 100, ms", lambda one: one["p99_seconds"] * 1e3, 2),
    )

    def live(bench: Bench, _repetition: int) -> Answer:
        with bench.scratch() as folder:
            gate = folder / "gate"
            gate.mkdir()
            store = str(folder / "store")
            bench.ask(OURS, "begin", {"folder": store})
            count = {"count": scale.live, "pause": 0.0117, "timeout": 120}
            given = {"folder": store, "gate": str(gate), **count}
            listener, speaker = Child(OURS), Child(OURS)
            listener.tell("listen", given)
            speaker.tell("speak", given)
            gathered([listener, speaker], gate)
            answer = listener.hear(150)
            speaker.hear(150)
            listener.close()
            speaker.close()
            return answer

    yield Case("J", f"{OURS.label} · append to delivery", live, metrics, OURS)
    share = (Metric("CPU, % of one core", lambda one: one["cpu_share"] * 100, 2),)
    run = job("idle", subscribers=100, seconds=scale.idle_seconds)(OURS)
    yield Case("J", f"{OURS.label} · 100 idle subscribers", run, share, OURS)


def k_growth(scale: Scale) -> Iterator[Case]:
    """Yield K: an append at every size, in a process that has not seen the session."""

    def ours(size: int) -> Run:
        return lambda bench, _: bench.ask(
            OURS,
            "grown",
            {
                "folder": str(data.grown(bench)),
                "session": f"n:{size}",
                "count": 2000,
                "budget": scale.budget,
                **data.OS,
            },
            fresh=True,
        )

    def theirs(row: Row, size: int) -> Run:
        return lambda bench, _: bench.ask(
            row,
            "grown",
            {**data.peer(bench, row, size), "count": 20, "budget": scale.budget},
        )

    for size in scale.sizes:
        yield Case("K", f"{OURS.label} · append at {size:,}", ours(size), (COST,), OURS)
    for size in scale.peer_sizes if "K" in scale.peer_workloads else ():
        for row in (SQLITE, *PEERS):
            yield Case("K", f"{row.label} · append at {size:,}", theirs(row, size), (COST,), row)
    size = scale.read_sizes[-1]
    twice = (MS, Metric("again, ms", lambda one: one["again_seconds"] * 1e3, 3))

    def far(how: str) -> Run:
        def run(bench: Bench, repetition: int) -> Answer:
            where = {"folder": str(data.grown(bench)), "session": f"n:{size}"}
            branch = f"{how}-{repetition}"
            begun = bench.ask(OURS, "idle_branch", {**where, "branch": branch}, fresh=True)
            given = {**where, "how": how, "first": begun["first"], "branch": branch}
            return bench.ask(OURS, "far", given, fresh=True)

        return run

    def scan(bench: Bench, _repetition: int) -> Answer:
        path = data.log(bench, data.grown(bench), f"n:{size}")
        return bench.ask(LIMITS, "ids", {"path": path, "expect": size}, fresh=True)

    for how in ("explicit_id", "far_parent", "idle_branch"):
        name = f"{OURS.label} · {how.replace('_', ' ')} at {size:,}"
        yield Case("K", name, far(how), twice, OURS)
    yield Case("K", f"limit · id-only scan at {size:,}", scan, (MS,), LIMITS)


def l_import(scale: Scale) -> Iterator[Case]:
    """Yield `import session_store`, beyond what an interpreter needs to start."""

    def run(_bench: Bench, _repetition: int) -> Answer:
        extra = []
        for _ in range(scale.starts):
            bare = _start("pass")
            extra.append(_start("import session_store") - bare)
        return {"seconds": statistics.median(extra), "operations": 1, "valid": True}

    yield Case("import", f"{OURS.label} · import", run, (MS,), OURS)


def _start(code: str) -> float:
    began = time.perf_counter()
    subprocess.run([sys.executable, "-c", code], check=True)  # noqa: S603 (ours)
    return time.perf_counter() - began
