"""What is prepared once in a run: large sessions, trees, and stores of many sessions."""

import shutil
from pathlib import Path
from typing import Any

from benchmarks.kit.protocol import Answer

from .bench import Bench
from .environments import LeftOutError
from .peers import OURS, Row

OS = {"settings": {"durability": "os"}}


def sized(bench: Bench) -> Path:
    """Return a store with a session of each size, which nobody appends to any more."""
    return Path(bench.fact("sized", lambda: _fill(bench)))


def grown(bench: Bench) -> Path:
    """Return a copy of it, for appending."""
    return Path(bench.fact("grown", lambda: shutil.copytree(sized(bench), bench.home / "grown")))


def _fill(bench: Bench) -> str:
    folder = str(bench.home / "sized")
    for size in sorted({*bench.scale.read_sizes, *bench.scale.sizes}):
        job = {"folder": folder, "session": f"n:{size}", "count": size, **OS}
        _done(bench.ask(OURS, "fill", job))
    _done(bench.ask(OURS, "locate", {"folder": folder, "session": f"n:{bench.scale.largest}"}))
    return folder


def log(bench: Bench, folder: Path, session: str) -> str:
    """Return the path of a session's log."""
    job = {"folder": str(folder), "session": session}

    def find() -> str:
        return str(_done(bench.ask(OURS, "locate", job))["path"])

    return str(bench.fact(("log", folder, session), find))


def tree(bench: Bench, size: int) -> Answer:
    """Return a tree's `folder`, `session`, and the `leaf` at the end of its `path`."""

    def plant() -> Answer:
        folder = str(bench.home / "trees")
        job = {"folder": folder, "session": f"tree:{size}", "count": size}
        return {**job, **_done(bench.ask(OURS, "plant", job))}

    found: Answer = bench.fact(("tree", size), plant)
    return found


def index(bench: Bench, size: int) -> Answer:
    """Return the `folder` of a store with so many sessions, and what making them took."""

    def make() -> Answer:
        folder = str(bench.home / f"index-{size}")
        job = {"folder": folder, "count": size, "durability": "os", "folders": False}
        return {"folder": folder, **_done(bench.ask(OURS, "new_keys", job, fresh=True))}

    found: Answer = bench.fact(("index", size), make)
    return found


def peer(bench: Bench, row: Row, size: int) -> dict[str, Any]:
    """Return the parameters that name a peer's session of that size; it may be too slow for it."""

    def fill() -> dict[str, Any]:
        folder = str(bench.home / f"peer-{row.name}-{size}")
        job = {"folder": folder, "session": "grown", "count": size}
        answer = bench.ask(row, "fill", {**job, "budget": bench.scale.fill_seconds}, fresh=True)
        if not answer.get("full"):
            seconds = bench.scale.fill_seconds
            reason = f"not filled in {seconds:.0f} s: {answer.get('operations')} of {size}"
            return {"error": answer.get("error", reason)}
        return {"folder": folder, "session": "grown"}

    found: dict[str, Any] = bench.fact(("peer", row.name, size), fill)
    if "error" in found:
        raise LeftOutError(found["error"])
    return found


def _done(answer: Answer) -> Answer:
    if "error" in answer or not answer.get("valid"):
        raise RuntimeError(f"the data could not be prepared: {answer}")
    return answer
