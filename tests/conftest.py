"""What all tests share: which of them are run without coverage, and how long games are."""

import os
from collections.abc import Iterator

import pytest

from session_store.testing.filesystem_suite import model as files_model
from session_store.testing.store_suite import model as store_model

REPEATED = (
    "tests/crash/test_crash_damage.py",
    "tests/crash/test_crash_damage_bombs.py",
    "tests/crash/test_crash_disk_",
    "tests/crash/test_crash_fuzz",
    "tests/crash/test_crash_nth",
    "tests/crash/test_crash_processes",
    "tests/engines/test_engines_absent",
    "tests/engines/test_engines_copying",
    "tests/engines/test_engines_faults",
    "tests/engines/test_engines_objects",
    "tests/engines/test_engines_postgres",
    "tests/engines/test_engines_proxy",
    "tests/engines/test_engines_redis",
    "tests/engines/test_engines_servers",
    "tests/engines/test_engines_sqlite_suites.py::TestStore",
    "tests/engines/test_engines_urls",
    "tests/engines/test_engines_writers",
    "tests/house/",
    "tests/locks/test_locks_schedules.py",
    "tests/races/test_races_campaign.py",
    "tests/races/test_races_rules.py",
    "tests/races/test_races_tail.py",
    "tests/testing/test_testing_filesystem.py::TestAllThatIsOptional",
    "tests/testing/test_testing_filesystem.py::TestDisk",
    "tests/testing/test_testing_filesystem.py::TestFlat",
    "tests/testing/test_testing_filesystem.py::TestSharedAndSuspending",
    "tests/testing/test_testing_filesystem.py::TestSimulated",
    "tests/testing/test_testing_filesystem.py::TestWrappedForFaults",
    "tests/testing/test_testing_filesystem_broken.py",
    "tests/testing/test_testing_main.py",
    "tests/testing/test_testing_simulation.py",
    "tests/testing/test_testing_store.py::TestFlatAndWatching",
    "tests/testing/test_testing_store.py::TestOnSuspendingFiles",
    "tests/testing/test_testing_store.py::TestSharedAndSuspending",
    "tests/testing/test_testing_store.py::TestSimulated",
    "tests/testing/test_testing_store_broken.py",
)


@pytest.fixture(scope="session", autouse=True)
def few_examples() -> Iterator[None]:
    """Play fewer of the games that the suites make up; the campaign plays all of them."""
    with pytest.MonkeyPatch.context() as patch:
        if not os.environ.get("SESSION_STORE_TEST_ALL"):
            patch.setattr(files_model, "EXAMPLES", 20)
            patch.setattr(store_model, "EXAMPLES", 8)
        yield


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what goes where others have been, over and over or in processes of its own."""
    # First what takes longest: else one worker waits for the other in the end.
    items.sort(key=lambda item: not item.nodeid.startswith("tests/testing/"))
    for item in items:
        if item.nodeid.startswith(REPEATED):
            item.add_marker("repeated")
