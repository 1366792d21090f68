"""Real processes that live long, fork, have wrong clocks and slow disks: the short forms."""

import sys

import proc_clocks
import proc_forks
import proc_slow
import proc_soak
import pytest
from campaign_clocks_forks import leases_of_children_without, words_without
from proc_sabotage import (
    fork_without_closing,
    leak_descriptors,
    sync_each_alone,
    take_over_without_fence,
)

SHORT = proc_soak.Plan(
    seconds=1.5,
    sessions=20,
    processes=4,
    kill_every=0.1,
    small_files=64,
    small_bytes=64 << 20,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


@pytest.mark.parametrize("seed", range(1, 4))
def test_no_two_hold_a_lock_whatever_their_clocks_say(seed: int) -> None:
    played = proc_clocks.contest(seed)

    assert played.violations == []
    assert played.counts["turns"] >= proc_clocks.LEAST_TURNS


def test_a_lease_is_taken_over_when_the_rules_say_so_by_any_clock() -> None:
    assert proc_clocks.words_of_l5() == []


def test_a_takeover_without_a_fence_is_found_out_by_those_rules() -> None:
    assert any("was told: False" in text for text in words_without(take_over_without_fence))


@pytest.mark.parametrize("game", proc_forks.GAMES, ids=lambda game: game.__name__)
def test_a_fork_harms_neither_parent_nor_child(game: proc_forks.Game) -> None:
    played = proc_forks.play(1, games=[game])

    assert played.violations == []
    assert played.counts["acknowledged"] >= 1


def test_a_child_that_keeps_what_its_parent_has_is_found_out() -> None:
    assert any("released" in text for text in leases_of_children_without(fork_without_closing))


def test_a_slow_sync_holds_up_nobody_else() -> None:
    played = proc_slow.play(1)

    assert played.violations == []
    assert played.counts["acknowledged"] >= proc_slow.GROUP


def test_syncs_that_are_not_shared_are_found_out() -> None:
    assert any("syncs" in text for text in proc_slow.play(1, sabotage=sync_each_alone).violations)


def test_processes_that_are_killed_and_replaced_keep_every_promise() -> None:
    played = proc_soak.play(1, SHORT)

    assert played.violations == []
    assert played.counts["kills"] >= 1
    assert played.counts["acknowledged"] >= 20


def test_descriptors_that_are_never_closed_are_found_out() -> None:
    played = proc_soak.play(1, SHORT, sabotage=leak_descriptors)

    assert any("descriptors" in text or "Too many open files" in text for text in played.violations)
