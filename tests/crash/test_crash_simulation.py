"""The campaign of schedules in its short form; `tests/races` plays 20,000 of them."""

import pytest
from campaign_simulation import run, story

from session_store.store.writer import Writer
from session_store.testing.simulation import STARTS, start_of


def test_no_schedule_breaks_a_promise() -> None:
    report = run(500, 42, processes=1)

    assert report.broken == {}
    assert report.tally.schedules >= 500
    assert report.tally.acknowledged >= report.tally.schedules


def test_a_store_that_does_not_sync_is_found_out(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for make in STARTS:
        start_of(make)

    async def later(*_: object) -> None:
        return None

    monkeypatch.setattr(Writer, "commit", later)

    report = run(500, 42, processes=1)
    story(report)

    assert report.broken
    assert f"seed {min(report.broken)}" in capsys.readouterr().out
