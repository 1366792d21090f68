"""What all tests share: how coverage is measured."""

import os
from collections.abc import Iterator

import pytest

REPEATED = (
    "tests/crash/",
    "tests/engines/test_engines_objects_suites.py::TestStore",
    "tests/engines/test_engines_postgres_suites.py::TestStore",
    "tests/engines/test_engines_redis_suites.py::TestStore",
    "tests/engines/test_engines_sqlite_suites.py::TestStore",
    "tests/locks/test_locks_schedules.py",
    "tests/races/test_races_campaign.py",
    "tests/testing/test_testing_simulation.py",
)
"""Tests that go thousands of times where others have been. Coverage would only double their time,
which is most of the time of all tests."""

CHILDREN = "COVERAGE_PROCESS_CONFIG"
"""By this variable coverage measures what the tests start."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Measure no coverage of what is repeated."""
    if CHILDREN not in os.environ or not item.nodeid.startswith(REPEATED):
        return (yield)
    from coverage import Coverage

    measuring = Coverage.current()
    if measuring is None:
        return (yield)
    for_children = os.environ.pop(CHILDREN)
    measuring.stop()
    try:
        return (yield)
    finally:
        measuring.start()
        os.environ[CHILDREN] = for_children
