"""Tell how many branches the tests took, room by room; fail if the core is below the limit.

Reads the answer of `coverage json` from standard input. coverage's own total mixes lines with
branches; here only branches count.
"""

import json
import sys
from collections import Counter

LIMIT = 95.0
ROOMS = ("model", "files", "jsonl", "index", "locks", "store")


def percent(taken: int, branches: int) -> float:
    """Return how many of `branches` were taken; a room without branches is fully covered."""
    return 100.0 * taken / branches if branches else 100.0


def main() -> int:
    """Print the table and return the exit code."""
    branches: Counter[str] = Counter()
    taken: Counter[str] = Counter()
    for path, file in json.load(sys.stdin)["files"].items():
        room = path.replace("\\", "/").partition("src/session_store/")[2].partition("/")[0]
        branches[room] += file["summary"]["num_branches"]
        taken[room] += file["summary"]["covered_branches"]

    print("\nBranch coverage")
    for room in ROOMS:
        print(f"  {room:<6} {percent(taken[room], branches[room]):6.1f} %  of {branches[room]}")
    core = percent(sum(taken[room] for room in ROOMS), sum(branches[room] for room in ROOMS))
    print(f"  all    {core:6.1f} %  (at least {LIMIT:g} % is asked for)")
    if not all(branches[room] for room in ROOMS):
        print("A room has no branches at all: nothing was measured there.", file=sys.stderr)
        return 1
    return 0 if core >= LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
