"""F: many sessions: making them, opening a store that has them, finding and listing them."""

import time
from pathlib import Path

from benchmarks.kit.protocol import (
    Answer,
    Params,
    Stopwatch,
    Workload,
    bytes_written,
    peak_kib,
    resident_kib,
    timed,
    verdict,
)
from session_store import RealFileSystem, StoreConfig
from session_store.sync import SessionStore


def new_keys(params: Params) -> Answer:
    """Resolve keys that are new, from number `start` on."""
    start, count = params.get("start", 0), params["count"]
    store = _store(params)
    store.init()
    done = 0
    before = bytes_written()
    watch = Stopwatch(params.get("budget"))
    for number in range(start, start + count):
        store.resolve(f"key:{number}")
        done += 1
        if not done % 16 and watch.over():
            break
    seconds = watch.seconds()
    written = bytes_written() - before
    found = store.get_session_id(f"key:{start + done - 1}") is not None
    line = _line_bytes(Path(params["folder"]))
    store.close()
    answer = timed(seconds, done, written_bytes=written, journal_bytes=int(line * done))
    return verdict(answer, found, True, "last key found")


class _NoFolders(RealFileSystem):
    """Makes no folders: a million of them would take longer, and more disk, than the index."""

    async def mkdir(self, path: str) -> None:
        """Do nothing."""


def _store(params: Params) -> SessionStore:
    if params.get("folders", True):
        return SessionStore.open(params["folder"], durability=params["durability"])
    folder = Path(params["folder"])
    folder.mkdir(parents=True)
    return SessionStore(_NoFolders(folder), StoreConfig(durability=params["durability"]))


def open_many(params: Params) -> Answer:
    """Open a store in a process that has not seen it: time, peak and steady memory."""
    idle = resident_kib()
    began = time.perf_counter()
    store = SessionStore.open(params["folder"], durability="os")
    store.init()
    seconds = time.perf_counter() - began
    steady = resident_kib()
    peak = peak_kib()
    found = len(store.get_all_session_ids())
    known = _median_resolve(store, found)
    listing, latest = [], 0
    for _ in range(5):
        began = time.perf_counter()
        latest = len(store.list_sessions(limit=50).sessions)
        listing.append(time.perf_counter() - began)
    store.close()
    answer = timed(
        seconds,
        1,
        peak_kib=peak,
        steady_kib=steady,
        idle_kib=idle,
        resolve_seconds=known,
        latest_first_seconds=listing[0],
        latest_seconds=sorted(listing)[2],
    )
    verdict(answer, latest, min(50, found), "sessions listed")
    return verdict(answer, found, params["expect"], "sessions found")


def _median_resolve(store: SessionStore, count: int) -> float:
    """Return what resolving a known key costs, the look at the journal included."""
    rounds = []
    for turn in range(20):
        keys = [f"key:{(turn * 7919 + step * 104_729) % count}" for step in range(100)]
        began = time.perf_counter()
        for key in keys:
            store.resolve(key)
        rounds.append((time.perf_counter() - began) / len(keys))
    return sorted(rounds)[len(rounds) // 2]


def _line_bytes(folder: Path) -> float:
    """Return the size of a line of the newest journal, in the mean."""
    journals = sorted(folder.glob("sessions.*.jsonl"), key=lambda path: path.stat().st_mtime_ns)
    lines = [line for path in journals for line in path.open("rb") if b'"register"' in line]
    return sum(map(len, lines)) / max(len(lines), 1)


WORKLOADS: dict[str, Workload] = {"new_keys": new_keys, "open_many": open_many}
