"""Thousands of schedules, each decided by its seed, and what finds them out when a rule is off."""

import pytest
from races_controls import CONTROLS
from races_sabotage import Sabotage

from session_store.testing.simulation import STARTS, Wish, play, play_many, start_of

SCHEDULES = 20_000
PARTS = 4
CONTROL_SEEDS = 2_000
RARE = {"L2": 440, "L3": 440}
"""Where to begin to look for what is found seldom; before there is nothing, or was once."""


@pytest.mark.parametrize("part", range(PARTS))
def test_no_schedule_breaks_a_promise(part: int) -> None:
    report = play_many(SCHEDULES // PARTS, seed=1 + part * 1_000_000)

    assert report.broken == {}, "python -m session_store.testing.simulation SEED tells how"
    assert report.tally.schedules >= SCHEDULES // PARTS
    assert report.tally.acknowledged > report.tally.schedules


@pytest.mark.parametrize(
    ("rule", "sabotage", "wish"),
    CONTROLS,
    ids=[f"{rule}-{sabotage.__name__}" for rule, sabotage, _ in CONTROLS],
)
def test_the_campaign_finds_out_a_store(
    rule: str, sabotage: Sabotage, wish: Wish, monkeypatch: pytest.MonkeyPatch
) -> None:
    # What schedules begin with was made by a store that keeps the rule.
    for make in STARTS:
        start_of(make)
    sabotage(monkeypatch)

    first = RARE.get(rule, 0)
    plays = (play(seed, wish) for seed in range(first, first + CONTROL_SEEDS))
    found = any(outcome.violations for outcome in plays)

    assert found, f"nobody misses rule {rule}"
