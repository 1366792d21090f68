"""The suite has teeth: each broken store is caught, by a test of the topic it breaks."""

from pathlib import Path

import pytest
from store_broken import BROKEN
from suite_runs import run_broken

from session_store.files import FileSystem, InMemoryFileSystem
from session_store.testing import StoreSuite

# The tool that pytest has for tests of tests.
pytest_plugins = ["pytester"]


def test_every_broken_store_is_caught_by_the_topic_concerned(tmp_path: Path) -> None:
    run = run_broken("store_broken_run.py", tmp_path)

    assert run.caught == {f"Test{name}" for name in BROKEN}, run.output
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


@pytest.mark.parametrize("declared", [True, False])
def test_an_index_that_is_no_file_is_declared_and_not_probed_for(
    pytester: pytest.Pytester, declared: bool
) -> None:
    pytester.makepyfile(
        f"""
        import pytest
        from session_store.files import InMemoryFileSystem
        from session_store.files.filesystem import Page
        from session_store.testing import StoreSuite

        class IndexOfItsOwn(InMemoryFileSystem):
            async def list(self, path, *, after="", limit=1000):
                names = (await super().list(path, limit=limit)).names
                return Page([name for name in names if not name.startswith("sessions.")], None)

        class TestMine(StoreSuite):
            {"index_in_files = False" if declared else ""}

            @pytest.fixture
            def files(self):
                return IndexOfItsOwn()
        """
    )

    result = pytester.runpytest_subprocess("-q", "-rs", "-k", "takes_the_index or of_a_lock")

    if declared:
        result.assert_outcomes(passed=1, skipped=1)
        result.stdout.fnmatch_lines(["SKIPPED*index_in_files is false"])
    else:
        result.assert_outcomes(passed=1, errors=1)
        result.stdout.fnmatch_lines(["*no file of an index*"])
