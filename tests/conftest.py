"""What all tests share: which of them are run without coverage."""

import pytest

REPEATED = (
    "tests/crash/",
    "tests/engines/test_engines_objects_suites.py::TestStore",
    "tests/engines/test_engines_postgres_suites.py::TestStore",
    "tests/engines/test_engines_redis_suites.py::TestStore",
    "tests/engines/test_engines_sqlite_suites.py::TestStore",
    "tests/engines/test_engines_writers.py",
    "tests/locks/test_locks_schedules.py",
    "tests/races/test_races_campaign.py",
    "tests/testing/test_testing_simulation.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark what goes thousands of times where others have been."""
    for item in items:
        if item.nodeid.startswith(REPEATED):
            item.add_marker("repeated")
