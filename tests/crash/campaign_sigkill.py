"""Live writers killed by the thousand: in the N-th system call, by strace, at any moment."""

import sys

from disk_campaign import Tally, arguments
from proc_kill import find_strace, play
from proc_lanes import Played, play_all
from proc_sabotage import acknowledge_before_the_write

BY_STRACE = 8
"""Every so-manieth seed lets the kernel kill, where it can."""
CONTROL_SEEDS = 12


def main() -> int:
    """Run the campaign."""
    args = arguments(__doc__ or "", 10_000)
    tally = Tally("sigkill", "kills", seeds=str(args.seed))
    strace, reason = find_strace()
    if strace is None:
        tally.skipped.append(reason)

    def one(seed: int) -> Played:
        return play(seed, strace=None if seed % BY_STRACE else strace)

    def control(quiet: Tally) -> None:
        for seed in range(args.seed, args.seed + CONTROL_SEEDS):
            quiet.violations += bool(play(seed, sabotage=acknowledge_before_the_write).violations)

    play_all(tally, one, first=args.seed, amount=args.amount, unit="kills")
    tally.require("acknowledged", args.amount)
    tally.control("acknowledged before the write", control)
    return tally.finish()


if __name__ == "__main__":
    sys.exit(main())
