"""Every call fails once: each operation, each world, each fault, and each number of the call."""

import argparse
import json
import random
import signal
import sys
import time
from collections.abc import Callable
from types import FrameType
from typing import NamedTuple

from nth_loop import FAULTS, LASTING, Range, again, cases_for, handle_cases
from nth_system import ERRNOS, SHORT, VERBS, Bench, bench
from nth_world import WORLDS


class Job(NamedTuple):
    """One course with all its faults, or one verb with all its errors."""

    kind: str
    first: str
    second: str
    warm: bool


class Result(NamedTuple):
    """What came of the jobs that were done."""

    calls: int
    system_calls: int
    shots: int
    violations: list[str]


def jobs(seed: int) -> list[Job]:
    """Return everything there is to do, in an order that the seed decides."""
    found = [
        Job(face, world, case, warm)
        for face in FAULTS
        for world in WORLDS
        for case in [*cases_for(world), *(handle_cases(world) if world == "rich" else ())]
        for warm in (False, True)
    ]
    found += [
        Job("system", verb, how, warm)
        for verb in VERBS
        for how in [*ERRNOS, SHORT]
        for warm in (False, True)
    ]
    random.Random(seed).shuffle(found)
    return found


def run(amount: int, seed: int, tell: Callable[[str], None] = print) -> Result:
    """Do jobs until so many calls have failed (0: all jobs), or something is wrong."""
    todo = jobs(seed)
    wrong: list[str] = []
    with Range() as seam, bench() as below:
        for number, job in enumerate(todo, 1):
            if job.kind == "system":
                _below(below, job)
            else:
                _seam(seam, job)
            struck = seam.tally.struck + below.struck
            wrong = [*seam.tally.violations, *below.violations]
            if not number % 200:
                tell(f"{number} of {len(todo)} jobs, {struck} failed calls")
            if wrong or (amount and struck >= amount):
                break
        shots = seam.tally.shots + below.shots
        return Result(seam.tally.struck, below.struck, shots, wrong)


def _seam(seam: Range, job: Job) -> None:
    course = seam.course(job.kind, job.first, job.second, warm=job.warm)
    for fault in FAULTS[job.kind]:
        seam.fire(course, fault, lasting=False)
        if fault.name in LASTING:
            seam.fire(course, fault, lasting=True)


def _below(below: Bench, job: Job) -> None:
    for lasting in (False, True):
        below.loop(job.first, job.second, warm=job.warm, lasting=lasting)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--amount", type=int, default=0, help="failed calls; 0 for all there are")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--again", help="one shot, as a violation names it")
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, _end)
    if given.again:
        wrong = again(given.again)
        print("\n".join(wrong) or "nothing is wrong")
        return 1 if wrong else 0
    began = time.monotonic()
    result = run(given.amount, given.seed, lambda said: print(said, flush=True))
    for one in result.violations:
        print(one)
    summary = {
        "campaign": "nth_call",
        "unit": "failed calls",
        "amount": result.calls + result.system_calls,
        "calls of the seam": result.calls,
        "system calls": result.system_calls,
        "tries": result.shots,
        "violations": len(result.violations),
        "seeds": str(given.seed),
        "seconds": round(time.monotonic() - began),
        "skipped": [],
    }
    print(json.dumps(summary))
    return 1 if result.violations else 0


def _end(_number: int, _frame: FrameType | None) -> None:
    # So that the folders are removed on the way out.
    sys.exit(1)


if __name__ == "__main__":
    sys.exit(main())
