"""The suite has teeth: each broken store is caught, by a test of the topic it breaks."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from store_broken import BROKEN

from session_store.files import FileSystem, InMemoryFileSystem
from session_store.testing import StoreSuite

HERE = Path(__file__).parent
SECONDS = 300


def test_every_broken_store_is_caught_by_the_topic_concerned(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    options = ["-q", "--tb=line", "-p", "filesystem_recorder", "-p", "no:cacheprovider"]
    # Not under coverage: what is broken on purpose would only take three times as long.
    plain = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
    environment = {**plain, "RECORD": str(record), "PYTHONPATH": str(HERE)}

    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(HERE / "store_broken_run.py")],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert done.returncode == 1, done.stdout + done.stderr
    failed = json.loads(record.read_text())["failed"]
    # Only tests of the topics concerned were run: whatever failed is one of those.
    called = {suite for suite, tests in failed.items() if any("(call)" in test for test in tests)}
    assert called == {f"Test{name}" for name in BROKEN}
    assert len(BROKEN) >= 30


@pytest.mark.parametrize(
    "name",
    [
        "test_append_continues_from_the_head",
        "test_model_and_store_answer_alike",
        "test_writers_form_one_chain",
    ],
)
def test_a_test_of_the_store_suite_cannot_be_overridden(name: str) -> None:
    with pytest.raises(TypeError, match=f"Mine overrides {name}: the suite says"):
        type("Mine", (StoreSuite,), {name: lambda self: None})


def test_an_author_may_add_tests_to_the_store_suite() -> None:
    class Mine(StoreSuite):
        @pytest.fixture
        def files(self) -> FileSystem:
            return InMemoryFileSystem()

        def test_of_my_own(self) -> None:
            """Mine."""

    assert "test_of_my_own" in vars(Mine)


def test_every_test_of_the_store_suite_says_one_sentence() -> None:
    sentences = [
        " ".join((getattr(StoreSuite, name).__doc__ or "").split())
        for name in dir(StoreSuite)
        if name.startswith("test_")
    ]

    assert len(sentences) > 80
    assert len(set(sentences)) == len(sentences)
    assert all(sentence.endswith(".") for sentence in sentences)
