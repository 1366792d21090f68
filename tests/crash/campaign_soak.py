"""Eight processes on a thousand sessions, one killed every two seconds: `--amount` is seconds."""

import sys

from disk_campaign import Tally, arguments, say
from proc_soak import Plan, play

from session_store.files.logs import LOGS_MAX_OPEN

LEAST_PER_SECOND = 10
WARM_AFTER_SECONDS = 120
"""Sooner than that the caches still fill, and growth says nothing."""


def main() -> int:
    """Run the campaign."""
    args = arguments(__doc__ or "", 1_200)
    tally = Tally("soak", "seconds", amount=args.amount, seeds=str(args.seed))
    plan = Plan(seconds=args.amount)
    if args.amount < WARM_AFTER_SECONDS:
        plan.small_files, plan.small_bytes = LOGS_MAX_OPEN, 64 << 20
        tally.skipped.append(f"growth of memory: nothing is warm before {WARM_AFTER_SECONDS} s")
    played = play(args.seed, plan, say=say)
    tally.counts.update(played.counts)
    if played.violations:
        tally.violated(str(args.seed), *played.violations)
    tally.require("acknowledged", LEAST_PER_SECOND * args.amount)
    return tally.finish()


if __name__ == "__main__":
    sys.exit(main())
