"""The suite has teeth: each broken file system is caught, by a test of the verb it breaks."""

from pathlib import Path

import pytest
from filesystem_broken import BROKEN
from suite_runs import run_broken

from session_store.files import FileSystem, InMemoryFileSystem
from session_store.testing.contract import contract
from session_store.testing.filesystem_suite import FileSystemSuite

# The tool that pytest has for tests of tests.
pytest_plugins = ["pytester"]


def test_every_broken_file_system_is_caught_by_the_verb_concerned(tmp_path: Path) -> None:
    run = run_broken("filesystem_broken_run.py", tmp_path)

    assert run.caught == {f"Test{name}" for name in BROKEN}, run.output
    assert len(BROKEN) >= 20


def test_a_difference_in_large_content_is_told_and_not_shown(tmp_path: Path) -> None:
    # In CI pytest leaves nothing out of a difference, and megabytes keep it busy for minutes.
    run = run_broken("filesystem_large_run.py", tmp_path, CI="true")

    assert run.caught == {"TestReads", "TestWrites", "TestAppends"}, run.output
    for told in (
        "8,388,608 bytes instead of 8,388,609, from byte 4,194,305 on",
        "8,388,610 bytes instead of 8,388,611, from byte 4,194,304 on",
    ):
        assert f"AssertionError: {told}" in run.output
    assert len(run.output) < 10_000


@pytest.mark.parametrize(
    "name",
    [
        "test_write_absent_only_creates",
        "test_model_and_engine_answer_alike",
        "test_close_ends_every_verb",
    ],
)
def test_a_test_of_the_suite_cannot_be_overridden(name: str) -> None:
    with pytest.raises(TypeError, match=f"Mine overrides {name}: the suite says"):
        type("Mine", (FileSystemSuite,), {name: lambda self: None})


def test_a_test_of_the_suite_cannot_be_taken_out() -> None:
    with pytest.raises(TypeError, match="overrides test_delete_of_nothing_is_silent"):
        type("Mine", (FileSystemSuite,), {"test_delete_of_nothing_is_silent": None})


def test_a_test_of_the_suite_cannot_be_overridden_from_the_side() -> None:
    class Aside:
        def test_sync_of_no_file_is_not_found(self) -> None:
            """Nothing."""

    with pytest.raises(TypeError, match="overrides test_sync_of_no_file_is_not_found"):
        type("Mine", (Aside, FileSystemSuite), {})


def test_an_author_may_add_tests() -> None:
    class Mine(FileSystemSuite):
        @pytest.fixture
        def files(self) -> FileSystem:
            return InMemoryFileSystem()

        def test_of_my_own(self) -> None:
            """Mine."""

    assert "test_of_my_own" in vars(Mine)


def test_every_test_of_the_suite_says_one_sentence_of_the_contract() -> None:
    groups = contract(FileSystemSuite)

    sentences = [sentence for group in groups for sentence in group.tests.values()]

    assert len(sentences) > 80
    assert len(set(sentences)) == len(sentences)
    assert all(sentence.endswith(".") for sentence in sentences)
    assert all(group.title for group in groups)


def test_a_shared_file_system_that_was_closed_is_explained(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest
        from session_store.files import InMemoryFileSystem
        from session_store.testing.filesystem_suite import FileSystemSuite

        class TestShared(FileSystemSuite):
            shared = InMemoryFileSystem()

            @pytest.fixture
            def files(self):
                return self.shared
        """
    )

    result = pytester.runpytest_subprocess("-q", "-k", "close_ends or exists_follows")

    result.assert_outcomes(passed=1, errors=1)
    result.stdout.fnmatch_lines(["*it is shared: write the fixture `reopen` too*"])
