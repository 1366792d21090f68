"""A part of the fuzzing campaign, without a guide, and proof that it would notice.

All of it: `campaign_fuzz.py`. One input again: `fuzz_run.py TARGET FILE`.
"""

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import fuzz_targets
import msgspec
import pytest
from campaign_fuzz import JOBS_A_TARGET, Job, jobs, story
from damage_world import make_world
from fuzz_mutate import mended, mutated
from fuzz_plain import records_of
from fuzz_run import blind
from fuzz_seeds import Seeds
from fuzz_targets import TARGETS

from session_store.index import records as journal
from session_store.index import snapshot
from session_store.jsonl import lines, scanner
from session_store.store import records

SEED = 20261122
RUNS = 3000


@pytest.fixture(scope="module")
def seeds() -> Seeds:
    return Seeds(make_world())


def runs_of(name: str) -> int:
    """Return how many inputs take about the same time in each target."""
    return max(150, RUNS * TARGETS[name].weight // 200)


@pytest.mark.parametrize("name", TARGETS)
def test_what_our_own_writer_and_the_original_wrote_is_no_violation(
    name: str, seeds: Seeds
) -> None:
    pool = TARGETS[name].seeds(seeds)

    for data in pool:
        TARGETS[name].run(data)

    assert pool


@pytest.mark.parametrize("name", TARGETS)
def test_what_becomes_of_it_is_read_or_refused(name: str, seeds: Seeds, tmp_path: Path) -> None:
    failed = blind(name, runs_of(name), SEED, tmp_path, TARGETS[name].seeds(seeds))

    assert not failed, f"{name}, seed {SEED}"


def test_most_mutants_of_a_log_still_have_lines_that_verify(seeds: Seeds) -> None:
    pool, dice = seeds.logs(), random.Random(SEED)
    made = [mutated(dice.choice(pool), 4096, dice.getrandbits(60), pool) for _ in range(300)]

    verified = sum(
        any(lines.checksum(line) and lines.damage(line) is None for line in data.split(b"\n"))
        for data in made
    )

    assert verified > 200
    assert len(set(made)) > 250


def test_mending_makes_each_checksum_right() -> None:
    broken = b'{"id":"a","crc":"00000000"}\nnot JSON\n{"id":"b","crc":"ffffffff"}\r\n'

    whole = mended(broken).split(b"\n")

    assert lines.damage(whole[0]) is None
    assert whole[1] == b"not JSON"
    assert lines.damage(whole[2].rstrip(b"\r")) is None


def test_the_plain_reader_knows_the_whole_log_of_the_world() -> None:
    world = make_world()
    log = world.closed[world.log]

    shown = [message.id for _, message in records_of(log) if message.control is None]

    assert shown == [message.id for message in world.truth.sessions[world.main].every]


def test_the_jobs_of_a_campaign_make_the_amount_and_have_different_seeds() -> None:
    made = list(jobs(100_000, 5, None))

    assert sum(job.runs for job in made) >= 100_000
    assert {job.target for job in made} == set(TARGETS)
    assert {job.seed for job in made} == set(range(5, 5 + JOBS_A_TARGET))


def test_the_story_of_a_failed_job_says_how_to_try_it_again() -> None:
    job = Job("lines", 10, 3)

    told = story(job, 77, "Traceback\nValueError: x\nTest unit written to found/lines-crash-1\n")

    assert "seed 3" in told
    assert told.splitlines()[-1].endswith("tests/crash/fuzz_run.py lines found/lines-crash-1")
    assert story(job, 0, "all is well") == ""


def fails(name: str, data: bytes) -> bool:
    """Return whether an input is a violation."""
    try:
        TARGETS[name].run(data)
    except Exception:
        return True
    return False


def leaky(call: Callable[..., Any]) -> Callable[..., Any]:
    """Return `call` as it would be if it let a parser's errors through."""

    def leaking(line: bytes, *rest: Any) -> Any:
        msgspec.json.decode(line)
        return call(line, *rest)

    return leaking


class TestControls:
    """Each of these steps left out must be noticed within the same number of inputs."""

    @pytest.mark.parametrize(
        ("name", "room", "step", "unsafe"),
        [
            ("logs", scanner, "seal_of", lambda _: None),
            ("logs", scanner, "damage", lambda _: None),
            ("logs", scanner.Scanner, "_is_late", lambda *_: True),
            ("logs", scanner.Scanner, "_follows", lambda *_: True),
            ("snapshots", snapshot, "_decode_leniently", snapshot._decode),
            ("journals", journal, "_void", lambda *_: None),
        ],
    )
    def test_a_step_left_out_is_a_violation(
        self,
        name: str,
        room: Any,
        step: str,
        unsafe: Callable[..., Any],
        seeds: Seeds,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
        capfd: pytest.CaptureFixture[str],
    ) -> None:
        pool = TARGETS[name].seeds(seeds)
        monkeypatch.setattr(room, step, unsafe)

        failed = blind(name, RUNS, SEED, tmp_path, pool)

        assert failed
        [found] = tmp_path.iterdir()
        assert str(found) in capfd.readouterr().err
        assert fails(name, found.read_bytes())

    def test_an_error_that_is_not_translated_is_a_violation(
        self, seeds: Seeds, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        pool = TARGETS["lines"].seeds(seeds)
        monkeypatch.setattr(fuzz_targets, "read_branch", leaky(records.read_branch))

        assert blind("lines", RUNS, SEED, tmp_path, pool)
