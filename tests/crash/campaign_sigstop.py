"""Processes stopped between any two system calls, while others take over, delete, rotate.

Seeds from 1 on are the places to stop at, with every intruder; those behind are chains of lock
holders, each stopped in the midst of its work and passed over by the next.
"""

import sys
from collections.abc import Iterator

from disk_campaign import Tally, arguments
from proc_lanes import play_all
from proc_sabotage import (
    Sabotage,
    append_without_looking_back,
    append_without_precondition,
    take_over_without_fence,
)
from proc_stop import Plan, plans, play, play_plan

CONTROLS: dict[str, tuple[Sabotage, str, str]] = {
    "no precondition": (append_without_precondition, "guarded_append", "take"),
    "no fence": (take_over_without_fence, "guarded_append", "take and release"),
    "no look back": (append_without_looking_back, "first_append", "delete"),
}
"""What is taken out, and where that must be found out: the scene and the intruder."""


def meant(scene: str, intruder: str) -> Iterator[Plan]:
    """Yield the plans of one scene with one intruder."""
    return (plan for plan in plans() if (plan.scene, plan.intruder) == (scene, intruder))


def caught(name: str) -> bool:
    """Return whether the control of this name is found out."""
    sabotage, scene, intruder = CONTROLS[name]
    return any(play_plan(plan, sabotage).violations for plan in meant(scene, intruder))


def main() -> int:
    """Run the campaign."""
    args = arguments(__doc__ or "", 1_000)
    tally = Tally("sigstop", "lease takeovers", seeds=str(args.seed))
    tally.counts["places to stop at"] = len(plans())
    play_all(tally, play, first=args.seed, amount=args.amount, unit="takeovers")
    tally.require("acknowledged", args.amount)
    for name in CONTROLS:

        def control(quiet: Tally, name: str = name) -> None:
            quiet.violations += caught(name)

        tally.control(name, control)
    return tally.finish()


if __name__ == "__main__":
    sys.exit(main())
