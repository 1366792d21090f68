"""A part of the damage campaign, and proof that it would notice: each safety step taken out.

All of it, and how to make a case again: `campaign_damage.py`.
"""

import random
from collections.abc import Iterator
from functools import cache
from itertools import islice
from typing import Any

import pytest
from damage_cases import Suite, Trial, suites
from damage_judge import Judge, hurt
from damage_kinds import CUTS, FLIPS, flipped, swapped
from damage_world import ACKNOWLEDGED_AT_LEAST, World, loaded, make_world, open_store

from session_store.index import loading, records, snapshot
from session_store.jsonl import scanner

SEED = 20261122
CASES_A_SUITE = 12


@cache
def every_suite() -> dict[str, Suite]:
    return suites()


@cache
def the_world() -> World:
    return make_world()


@cache
def total(suite: str) -> int:
    return sum(1 for _ in every_suite()[suite]())


def some(suite: str, count: int = CASES_A_SUITE) -> Iterator[Trial]:
    """Give cases at distances that a seed decides."""
    dice = random.Random(f"{SEED} {suite}")
    chosen = set(dice.sample(range(total(suite)), min(count, total(suite))))
    return (trial for number, trial in enumerate(every_suite()[suite]()) if number in chosen)


def violations(suite: str, count: int = CASES_A_SUITE) -> list[str]:
    return [f"{trial.name}: {wrong}" for trial in some(suite, count) for wrong in trial.judge()]


def test_the_world_is_the_same_at_every_run_and_has_what_can_stand_in_a_log() -> None:
    world = the_world()

    log = world.closed[world.log]
    assert make_world() == world
    for kind in (b"reset", b"head", b"fence", b"seal", b"branch_deleted"):
        assert b'"kind":"%s"' % kind in log
    assert b'"batch":[4,4]' in log
    acknowledged = sum(len(session.every) for session in world.truth.sessions.values())
    assert acknowledged >= ACKNOWLEDGED_AT_LEAST


@pytest.mark.parametrize("suite", [name for name in suites() if not name.startswith("index/")])
def test_what_is_whole_is_shown_what_is_not_is_named_and_the_store_goes_on(suite: str) -> None:
    assert not violations(suite)


@pytest.mark.parametrize("suite", ["index/alone", "index/together"])
def test_a_damaged_index_loses_nothing_that_is_told_elsewhere(suite: str) -> None:
    assert not violations(suite, 150)


@pytest.mark.parametrize("line", [0, 8, 11, -1])
def test_each_bit_of_a_line_and_of_its_line_end_is_named(line: int) -> None:
    world = the_world()
    judge, log = Judge(world), world.closed[world.log]
    lines = log.splitlines(keepends=True)
    start = sum(map(len, lines[:line])) if line >= 0 else len(log) - len(lines[line])
    places = range(start, start + len(lines[line]))

    wrong = [
        f"byte {place}, bit {bit}: {text}"
        for place in islice(places, 0, None, 5)
        for bit in range(8)
        for text in judge.log(hurt(world.log, log, flipped(log, place, bit)), FLIPS)
    ]

    assert not wrong


def test_a_log_cut_at_a_line_end_is_found_short_by_what_the_index_remembers() -> None:
    world = the_world()
    judge, log = Judge(world), world.closed[world.log]
    ends = [place + 1 for place, byte in enumerate(log[:-1]) if byte == ord("\n")]
    assert len(ends) > 20

    for end in ends:
        found = hurt(world.log, log, log[:end])
        store = open_store(loaded(world.closed | {world.log: log[:end]}), 9)
        codes = {finding.code for finding in store.check().findings}

        assert "log_short" in codes
        assert judge.log(found, CUTS) == []


def blind(*_: Any) -> None:
    """Stand for a check that was left out."""


class TestControls:
    """Each of these steps left out must be noticed by the same cases."""

    def test_without_checksums_flipped_bits_are_served(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert not violations("log/flips", 25)

        monkeypatch.setattr(scanner, "damage", blind)

        assert violations("log/flips", 25)

    def test_without_checksums_branches_are_invented(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert not violations("branches.jsonl/flips", 40)

        monkeypatch.setattr(scanner, "damage", blind)

        assert violations("branches.jsonl/flips", 40)

    def test_without_the_snapshots_checksum_it_lies(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert not violations("index/alone", 100)

        monkeypatch.setattr(snapshot, "checksum", blind)

        assert violations("index/alone", 100)

    def test_without_the_journals_checksums_it_lies(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert not violations("index/alone", 200)

        monkeypatch.setattr(records, "damage", blind)

        assert violations("index/alone", 200)

    def test_without_seals_what_was_cut_off_is_taken_for_damage(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert not violations("log/zeroed-16")

        monkeypatch.setattr(scanner, "seal_of", blind)
        monkeypatch.setattr(scanner, "TAIL_MARK", b"no such mark")

        assert violations("log/zeroed-16")

    def test_without_reports_damage_goes_by_unnamed(self, monkeypatch: pytest.MonkeyPatch) -> None:
        assert not violations("log/flips")

        monkeypatch.setattr(scanner.Scanner, "_note", blind)

        assert violations("log/flips")

    def test_without_a_look_at_the_previous_one_an_old_snapshot_is_believed(
        self, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        trials = [t for t in every_suite()["index/alone"]() if "sessions.json stale" in t.name]
        assert trials
        assert not [wrong for trial in trials for wrong in trial.judge()]

        async def believe(_: object) -> None:
            """Take whatever snapshot there is."""

        monkeypatch.setattr(loading, "_refuse_stale", believe)

        assert [wrong for trial in trials for wrong in trial.judge()]

    def test_a_judge_that_is_shown_lines_in_another_order_says_so(self) -> None:
        world = the_world()
        log = world.closed[world.log]
        lines = log.splitlines(keepends=True)
        lines[4], lines[5] = lines[5], lines[4]

        wrong = Judge(world).log(hurt(world.log, log, b"".join(lines)), FLIPS)

        assert any("another order" in text for text in wrong)


def test_sectors_are_swapped_in_pairs_and_nothing_is_lost_by_that() -> None:
    data = bytes(range(100))

    cases = list(swapped(16)(data))

    assert len(cases) == 15
    assert all(sorted(after) == list(data) for _, after in cases)
