"""The command line: `python -m benchmarks`."""

import argparse
import json
import signal
import sys
from pathlib import Path

from .harness.bench import Bench, run
from .harness.figures import figures, figures_table
from .harness.growth import draw
from .harness.plan import WORKLOADS, plan
from .harness.report import machine, raw, report
from .harness.scale import FULL, QUICK


def main() -> int:
    """Run what was asked for; 0 unless something that was measured is invalid."""
    given = _arguments()
    # So that being ended is an exception like another, and what was made is removed.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    scale = QUICK if given.quick else FULL
    letters = [name for name in WORKLOADS if not given.workload or name in given.workload]
    cases = plan(scale, letters, given.row)
    with Bench(scale, given.scratch) as bench:
        facts = machine(bench)
        results = run(bench, cases)
        reached = figures_table(figures(scale, results), scale)
        text = report(bench, facts, cases, results, reached)
    sys.stdout.write(reached if given.figures else text)
    if given.out is not None:
        given.out.mkdir(parents=True, exist_ok=True)
        (given.out / "results.md").write_text(text, "utf-8")
        numbers = raw(scale, cases, results)
        (given.out / "results.json").write_text(json.dumps(numbers, indent=1) + "\n", "utf-8")
        draw(given.out / "results.json", given.out)
    invalid = [
        name
        for name, answers in results.items()
        if any("error" not in answer and not answer["valid"] for answer in answers)
    ]
    for name in invalid:
        sys.stderr.write(f"invalid: {name}\n")
    return 1 if invalid else 0


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="small sizes, under three minutes")
    parser.add_argument("--figures", action="store_true", help="print only the figures to reach")
    parser.add_argument(
        "--workload", nargs="+", default=[], choices=list(WORKLOADS), help="only these"
    )
    parser.add_argument("--row", nargs="+", default=[], help="only rows whose names hold one")
    parser.add_argument("--out", type=Path, help="a folder for the tables and the curves")
    parser.add_argument("--scratch", type=Path, help="where to work: the disk that is measured")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
