"""Everything that reads bytes or JSON, fed with what a fuzzer makes of our own files.

`--amount` executions in all, spread over the targets by their weights; two processes at a time.
An input that fails stays in the folder `--found`, and is tried again by the command printed.
"""

import argparse
import json
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import FrameType
from typing import NamedTuple

from fuzz_run import has_atheris
from fuzz_targets import TARGETS

HERE = Path(__file__).parent
WORKERS = 2
JOBS_A_TARGET = 2
LIMIT_SECONDS = 3600
MOST_TOLD = 40


class Job(NamedTuple):
    """So many executions of one target, from one seed."""

    target: str
    runs: int
    seed: int


class Done(NamedTuple):
    """How a job ended: a story if something is wrong."""

    job: Job
    runs: int
    seconds: float
    story: str


_running: dict[int, subprocess.Popen[str]] = {}
_stopped = threading.Event()


def jobs(amount: int, seed: int, only: str | None) -> Iterator[Job]:
    """Yield what makes `amount` executions; those that take long come first."""
    chosen = [target for target in TARGETS.values() if only in (None, target.name)]
    total = sum(target.weight for target in chosen)
    for part in range(JOBS_A_TARGET):
        for target in sorted(chosen, key=lambda target: target.weight):
            share = -(-amount * target.weight // total)
            yield Job(target.name, -(-share // JOBS_A_TARGET), seed + part)


def run_job(job: Job, found: Path) -> Done:
    """Run a job in a process of its own, and end that process whatever happens."""
    command = [sys.executable, str(HERE / "fuzz_run.py"), job.target]
    command += ["--runs", str(job.runs), "--seed", str(job.seed), "--found", str(found)]
    if _stopped.is_set():
        return Done(job, 0, 0.0, "")
    began = time.monotonic()
    # The corpus that it collects is its own; without a guide there is none.
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=found
    )
    _running[process.pid] = process
    try:
        told, _ = process.communicate(timeout=LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        told, _ = process.communicate()
        told += f"\nkilled after {LIMIT_SECONDS} seconds"
    finally:
        del _running[process.pid]
    seconds = time.monotonic() - began
    counted = re.search(r"number_of_executed_units: (\d+)", told)
    runs = int(counted[1]) if counted else job.runs
    return Done(job, runs, seconds, story(job, process.returncode, told))


def story(job: Job, code: int, told: str) -> str:
    """Return what there is to tell of a job that failed, and nothing of one that did not."""
    if code == 0:
        return ""
    written = re.search(r"Test unit written to (\S+)", told)
    again = f"{sys.executable} tests/crash/fuzz_run.py {job.target} {written[1]}" if written else ""
    lines = [line for line in told.splitlines() if not line.startswith(("INFO", "WARNING"))]
    return "\n".join(
        [f"{job.target}, seed {job.seed}, exit {code}", *lines[-MOST_TOLD:], f"again: {again}"]
    )


def campaign(amount: int, seed: int, found: Path, only: str | None = None) -> list[Done]:
    """Run all jobs, two at a time."""
    with ThreadPoolExecutor(WORKERS) as pool:
        return list(pool.map(lambda job: run_job(job, found), jobs(amount, seed, only)))


def stop(_signal: int, _frame: FrameType | None) -> None:
    """End what was started, and start nothing more."""
    _stopped.set()
    for process in list(_running.values()):
        process.terminate()
    sys.exit(1)


def main() -> int:
    """Run the campaign that the arguments say, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--amount", type=int, default=5_000_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", choices=sorted(TARGETS), help="one target")
    parser.add_argument("--found", type=Path, help="where inputs that fail are left")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, stop)
    began = time.monotonic()
    found = (given.found or Path(tempfile.mkdtemp(prefix="session-store-fuzz-"))).absolute()
    found.mkdir(parents=True, exist_ok=True)
    try:
        results = campaign(given.amount, given.seed, found, given.only)
    finally:
        for corpus in found.glob("corpus-*"):
            shutil.rmtree(corpus)
        if given.found is None and not any(found.iterdir()):
            found.rmdir()
    violations = [done.story for done in results if done.story]
    for text in violations:
        print(text)
    facts = {
        "campaign": "fuzz",
        "unit": "executions",
        "amount": sum(done.runs for done in results),
        "violations": len(violations),
        "seeds": f"{given.seed}-{given.seed + JOBS_A_TARGET - 1}",
        "seconds": round(time.monotonic() - began, 1),
        "skipped": [] if has_atheris() else ["guided by coverage: no atheris; mutated blindly"],
        "targets": rates(results),
    }
    print(json.dumps(facts), flush=True)
    return 1 if violations else 0


def rates(results: list[Done]) -> dict[str, dict[str, int]]:
    """Return how many executions each target had, and how many a second."""
    table: dict[str, dict[str, int]] = {}
    for name in TARGETS:
        mine = [done for done in results if done.job.target == name]
        if mine:
            runs, seconds = sum(done.runs for done in mine), sum(done.seconds for done in mine)
            table[name] = {"executions": runs, "a_second": round(runs / max(seconds, 0.001))}
    return table


if __name__ == "__main__":
    sys.exit(main())
