"""Processes on one disk, for schedules that are written by hand."""

import pytest
from races_kit import Start, starter

from session_store.testing.simulation import World


@pytest.fixture
def world() -> World:
    return World(0)


@pytest.fixture
def start(world: World) -> Start:
    """Start another process on the same files."""
    return starter(world)
