"""Every bit flipped, every block zeroed, every pair of sectors swapped, every byte cut off.

On the files of a small store: its log, branches and lock, and every combination of damaged files
of its index. After each the store must open, show all that is whole, name what is not, and go on.
Then the bombs: `--bombs 100` is a million of everything and lines of 100 MB, and takes an hour.
"""

import argparse
import json
import multiprocessing
import random
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Iterator
from itertools import islice, product
from pathlib import Path
from tempfile import TemporaryDirectory

from damage_bombs import BOMBS, set_off, too_much
from damage_cases import Trial, suites

WORKERS = 2
MOST_SHOWN = 5


def main() -> int:
    """Run the cases that the arguments name, and return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--amount", type=int, default=0, help="cases in all; 0: every one")
    parser.add_argument("--seed", type=int, default=1, help="which of them, if not every one")
    parser.add_argument("--bombs", type=int, help="their size; without an amount 10, else none")
    parser.add_argument("--only", help="one suite, such as log/flips")
    parser.add_argument("--case", help="one case of it, by its name")
    given = parser.parse_args()
    if given.case is not None:
        return _replay(given.only, given.case)
    # The pool ends its workers when this unwinds.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    began = time.monotonic()
    names = [given.only] if given.only else list(suites())
    share = _share(given.amount, names)
    context = multiprocessing.get_context("spawn")
    with context.Pool(WORKERS) as pool:
        jobs = [(names, share, given.seed, number) for number in range(WORKERS)]
        results = pool.starmap(_work, jobs)
    violations = [text for _, texts in results for text in texts]
    scale = given.bombs if given.bombs is not None else (0 if given.amount or given.only else 10)
    bombs, stories = set_off_all(scale) if scale else (0, [])
    violations += stories
    for text in violations[:MOST_SHOWN]:
        print(text)
    facts = {
        "campaign": "damage",
        "unit": "damaged stores",
        "amount": sum(count for count, _ in results),
        "violations": len(violations),
        "seeds": str(given.seed),
        "seconds": round(time.monotonic() - began, 1),
        "bombs": bombs,
        "skipped": [],
    }
    print(json.dumps(facts), flush=True)
    return 1 if violations else 0


def _share(amount: int, names: list[str]) -> float:
    """Return which part of the cases makes `amount`."""
    if not amount:
        return 1.0
    known = suites()
    total = sum(1 for name in names for _ in known[name]())
    return min(1.0, amount / total)


def _work(names: list[str], share: float, seed: int, number: int) -> tuple[int, list[str]]:
    """Run every so-manieth case, beginning with the `number`th."""
    dice, done, violations = random.Random(seed), 0, list[str]()
    chosen = (pair for pair in _trials(names) if dice.random() < share)
    for name, trial in islice(chosen, number, None, WORKERS):
        done += 1
        wrong = judged(trial)
        if wrong:
            again = f"--only {name!r} --case {trial.name!r}"
            violations.append(f"{name}: {trial.name} (seed {seed}; {again})\n  " + wrong[0])
    return done, violations


def _trials(names: list[str]) -> Iterator[tuple[str, Trial]]:
    known = suites()
    for name in names:
        for trial in known[name]():
            yield name, trial


def set_off_all(scale: int) -> tuple[int, list[str]]:
    """Set off every bomb where files are and where imports are; tell what costs too much."""
    wrong: list[str] = []
    places = ("everywhere", "import")
    for name, place in product(BOMBS, places):
        with TemporaryDirectory(prefix="session-store-bombs-") as folder:
            try:
                facts = set_off(name, place, scale, Path(folder) / "store")
            except (AssertionError, subprocess.TimeoutExpired) as error:
                wrong.append(f"{name} as {place} (size {scale}): {error}")
                continue
        if too_much(name, facts):
            wrong.append(f"{name} as {place} (size {scale}) costs too much: {facts}")
    return len(BOMBS) * len(places), wrong


def judged(trial: Trial) -> list[str]:
    """Return what is wrong; what was raised is wrong too."""
    try:
        return trial.judge()
    except Exception:
        return [traceback.format_exc()]


def _replay(suite: str, name: str) -> int:
    for trial in suites()[suite]():
        if trial.name == name:
            wrong = judged(trial)
            print("\n".join(wrong) or "nothing is wrong")
            return 1 if wrong else 0
    print(f"there is no case {name!r} in {suite!r}")
    return 2


if __name__ == "__main__":
    sys.exit(main())
