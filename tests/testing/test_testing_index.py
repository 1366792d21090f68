"""The suite of indexes, on the journal over several file systems."""

from pathlib import Path

from engine_fixtures import OnMemory, OnRealFiles, OnSharedAndSuspending, OnSuspendingFiles
from index_broken import BROKEN
from suite_runs import run_broken

from session_store.testing import SessionIndexSuite


class TestInMemory(OnMemory, SessionIndexSuite):
    pass


class TestReal(OnRealFiles, SessionIndexSuite):
    pass


class TestSharedAndSuspending(OnSharedAndSuspending, SessionIndexSuite):
    pass


class TestSuspendingFiles(OnSuspendingFiles, SessionIndexSuite):
    pass


def test_every_broken_index_is_caught_by_the_topic_concerned(tmp_path: Path) -> None:
    run = run_broken("index_broken_run.py", tmp_path)

    assert run.caught == {f"Test{name}" for name in BROKEN}, run.output
