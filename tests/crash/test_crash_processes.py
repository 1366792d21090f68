"""Real processes that are killed and stopped: short campaigns, and what they must catch."""

import sys

import campaign_sigstop
import proc_kill
import proc_stop
import pytest
from campaign_sigstop import CONTROLS, caught
from proc_sabotage import acknowledge_before_the_write

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")

KILL_SEEDS = range(1, 3)
CONTROL_SEEDS = range(1, 41)
EVERY_PLAN = 180
PARTS = 2
CHAINS = range(1_000_000, 1_000_008)


@pytest.mark.parametrize("seed", KILL_SEEDS)
def test_nothing_acknowledged_is_lost_when_writers_are_killed(seed: int) -> None:
    played = proc_kill.play(seed)

    assert played.violations == []
    assert played.counts["kills"] >= 1
    assert played.counts["acknowledged"] >= proc_kill.LEAST_ACKNOWLEDGED


def test_an_acknowledgement_before_the_write_is_found_out() -> None:
    # Of its other harm, such as an append that succeeds after the delete, a seed may tell first.
    assert any(
        "acknowledged, and lost" in found
        for seed in CONTROL_SEEDS
        for found in proc_kill.play(seed, sabotage=acknowledge_before_the_write).violations
    )


@pytest.mark.parametrize("part", range(PARTS))
def test_a_process_may_be_stopped_between_any_two_system_calls(part: int) -> None:
    chosen = proc_stop.plans()[part :: PARTS * EVERY_PLAN]

    for plan in chosen:
        assert proc_stop.play_plan(plan).violations == []
    assert len(chosen) >= 10


def test_every_place_in_an_operation_is_one_to_stop_at() -> None:
    found = proc_stop.plans()

    assert {plan.scene for plan in found} == set(proc_stop.SCENES)
    assert {plan.intruder for plan in found} == set(proc_stop.INTRUDERS)
    assert {plan.phase for plan in found} == {"before", "amid", "after"}


@pytest.mark.parametrize("seed", CHAINS)
def test_stopped_holders_that_were_passed_over_write_nothing_any_more(seed: int) -> None:
    played = proc_stop.play_chain(seed)

    assert played.violations == []
    assert played.counts["stops"] >= 1


@pytest.mark.parametrize("name", CONTROLS)
def test_a_store_without_its_safety_step_does_not_survive_a_stop(name: str) -> None:
    assert caught(name)


def test_the_plans_of_a_control_are_sound_without_the_sabotage() -> None:
    plan = next(campaign_sigstop.meant("guarded_append", "take"))

    assert proc_stop.play_plan(plan).violations == []
