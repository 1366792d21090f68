"""`python -m session_store.testing.simulation`: one seed as a story, or many as figures."""

import argparse
import json
import sys

from .many import play_many
from .schedule import FAULTS, STYLES, Wish
from .story import tell


def main(arguments: list[str] | None = None) -> int:
    """Tell the story of a seed, or play many; return 1 if a promise was broken."""
    parser = argparse.ArgumentParser(
        prog="python -m session_store.testing.simulation", description=__doc__
    )
    parser.add_argument("story", metavar="SEED", type=int, nargs="?", help="tell this seed's story")
    parser.add_argument(
        "--style", choices=STYLES, default="", help="of what its tasks prefer to do"
    )
    parser.add_argument("--mode", choices=("fsync", "os"), default="", help="of this durability")
    parser.add_argument("--fault", choices=sorted(set(FAULTS)), default="", help="with this fault")
    parser.add_argument("--long", action="store_true", help="and a long one")
    parser.add_argument("--schedules", type=int, default=20_000, help="play so many")
    parser.add_argument("--seed", type=int, default=1, help="from this seed on")
    parser.add_argument("--processes", type=int, default=1, help="by so many processes")
    given = parser.parse_args(arguments)
    if given.story is not None:
        last = ""
        for last in tell(given.story, Wish(given.style, given.mode, given.fault, given.long)):
            print(last)
        return 0 if last.endswith("no promise was broken") else 1
    report = play_many(given.schedules, given.seed, given.processes)
    for seed, sentences in report.broken.items():
        print(f"seed {seed}: {'; '.join(sentences)}")
        print(f"its story: python -m session_store.testing.simulation {seed}")
    print(json.dumps(report.figures()))
    return 1 if report.broken else 0


if __name__ == "__main__":
    sys.exit(main())
