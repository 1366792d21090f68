"""The suite has teeth: each broken file system is caught, by a test of the verb it breaks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from filesystem_broken import BROKEN

from session_store.files import FileSystem, InMemoryFileSystem
from session_store.testing.filesystem_suite import FileSystemSuite, contract

# The tool that pytest has for tests of tests.
pytest_plugins = ["pytester"]

HERE = Path(__file__).parent
SECONDS = 300


def test_every_broken_file_system_is_caught_by_the_verb_concerned(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    options = ["-q", "--tb=line", "-p", "filesystem_recorder", "-p", "no:cacheprovider"]
    # Not under coverage: what is broken on purpose would only take three times as long.
    plain = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
    environment = {**plain, "RECORD": str(record), "PYTHONPATH": str(HERE)}

    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(HERE / "filesystem_broken_run.py")],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert done.returncode == 1, done.stdout + done.stderr
    failed = json.loads(record.read_text())["failed"]
    # Only tests of the verbs concerned were run: whatever failed is one of those.
    called = {suite for suite, tests in failed.items() if any("(call)" in test for test in tests)}
    assert called == {f"Test{name}" for name in BROKEN}
    assert len(BROKEN) >= 20


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
