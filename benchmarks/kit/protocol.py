"""What is said between the harness and a row: a job is one JSON line, and so is its answer."""

import asyncio
import json
import resource
import sys
import time
import traceback
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, TypeAlias

Params: TypeAlias = dict[str, Any]
Answer: TypeAlias = dict[str, Any]
"""`seconds` and `operations`; beside them what the workload is about (`read_bytes`, `peak_kib`,
`lost` …). `valid` is False if the row did not read back what it wrote, and `why` says how."""

Workload: TypeAlias = Callable[[Params], Answer] | Callable[[Params], Coroutine[Any, Any, Answer]]


def serve(workloads: dict[str, Workload]) -> None:
    """Answer jobs from the standard input until it ends.

    What a library prints goes to the standard error: the output is for answers only.
    """
    answers, sys.stdout = sys.stdout, sys.stderr
    for line in sys.stdin:
        job = json.loads(line)
        try:
            given = workloads[job["workload"]](job["params"])
            answer = asyncio.run(given) if isinstance(given, Coroutine) else given
        except Exception as error:
            traceback.print_exc()
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


def timed(seconds: float, operations: int, **more: Any) -> Answer:
    """Return the answer of a workload that took so long for so many operations."""
    return {"seconds": seconds, "operations": operations, "valid": True, **more}


def verdict(answer: Answer, found: Any, expected: Any, what: str) -> Answer:
    """Mark the answer as invalid if what was found is not what was expected."""
    if found != expected:
        shown = f"{what}: {str(found)[:60]!r}, expected {str(expected)[:60]!r}"
        answer.update(valid=False, why=shown)
    return answer


def peak_kib() -> int:
    """Return the most memory that this process has had so far.

    From `VmHWM`, not `ru_maxrss`: the latter begins with what the parent had before the exec.
    """
    status = Path("/proc/self/status")
    if status.exists():
        return _field(status, "VmHWM:")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform != "darwin" else peak // 1024


def resident_kib() -> int:
    """Return the memory that this process has now (0 where nobody says)."""
    status = Path("/proc/self/status")
    return _field(status, "VmRSS:") if status.exists() else 0


def bytes_read() -> int:
    """Return how many bytes this process has asked files for, from the page cache or not."""
    return _io("rchar:")


def bytes_written() -> int:
    """Return how many bytes this process has given to files."""
    return _io("wchar:")


def _io(name: str) -> int:
    counters = Path("/proc/self/io")
    return _field(counters, name) if counters.exists() else 0


def _field(path: Path, name: str) -> int:
    for line in path.read_text().splitlines():
        if line.startswith(name):
            return int(line.split()[1])
    raise LookupError(name)


class Stopwatch:
    """Says when a workload has had its time: `budget` seconds, if it is given one."""

    def __init__(self, budget: float | None) -> None:
        self.began = time.perf_counter()
        self._until = self.began + budget if budget else float("inf")

    def over(self) -> bool:
        """Return whether the time is up."""
        return time.perf_counter() > self._until

    def seconds(self) -> float:
        """Return the time since it began."""
        return time.perf_counter() - self.began
