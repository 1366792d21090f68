"""Two stores on one file system, and the way to `locks_kit`, whatever the import mode."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from locks_kit import FaultyFiles, ManualRuntime, MiniStore, log_of, order_violations


@pytest.fixture
def clock() -> ManualRuntime:
    return ManualRuntime()


@pytest.fixture
def files() -> Iterator[FaultyFiles]:
    files = FaultyFiles()
    yield files
    assert order_violations(log_of(files)) == []


@pytest.fixture
def ann(files: FaultyFiles, clock: ManualRuntime) -> MiniStore:
    return MiniStore(files, clock)


@pytest.fixture
def bob(files: FaultyFiles, clock: ManualRuntime) -> MiniStore:
    return MiniStore(files, clock)
