"""Clocks that jump, forks with open stores and held leases, disks that take seconds to sync."""

import sys

import proc_clocks
import proc_forks
import proc_slow
from disk_campaign import Tally, arguments
from disk_children import answer_of
from proc_lanes import Played, play_all
from proc_sabotage import Sabotage, fork_without_closing, take_over_without_fence

SLOWLY_EVERY = 20
"""Every so-manieth round every fsync takes from 200 ms to 2 s."""


def play(seed: int) -> Played:
    """Play one round of everything."""
    whole = Played()
    rounds = [proc_clocks.contest, proc_forks.play, proc_slow.play]
    if seed % SLOWLY_EVERY == 0:
        rounds.append(proc_slow.play_slowly)
    for one in rounds:
        played = one(seed)
        whole.violations += played.violations
        whole.counts.update(played.counts)
    whole.counts["rounds"] += 1
    return whole


def words_without(sabotage: Sabotage) -> list[str]:
    """Return which sentences about clocks and leases break with one safety step off."""

    def work() -> list[str]:
        sabotage()
        return proc_clocks.words_of_l5()

    found: list[str] = answer_of(work)
    return found


def leases_of_children_without(sabotage: Sabotage) -> list[str]:
    """Return what children do with the leases of their parents with one safety step off."""
    games = (proc_forks.held_lease, proc_forks.same_owner)
    return proc_forks.play(1, sabotage=sabotage, games=games).violations


def main() -> int:
    """Run the campaign."""
    args = arguments(__doc__ or "", 300)
    tally = Tally("clocks_forks", "rounds", seeds=str(args.seed))
    words = proc_clocks.words_of_l5()
    if words:
        tally.violated("none", *words)
    play_all(tally, play, first=args.seed, amount=args.amount, unit="rounds")
    tally.require("acknowledged", args.amount)

    def no_fence(quiet: Tally) -> None:
        quiet.violations += bool(words_without(take_over_without_fence))

    def no_closing(quiet: Tally) -> None:
        quiet.violations += bool(leases_of_children_without(fork_without_closing))

    tally.control("no fence", no_fence)
    tally.control("forked without closing", no_closing)
    return tally.finish()


if __name__ == "__main__":
    sys.exit(main())
