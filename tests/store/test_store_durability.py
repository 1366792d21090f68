"""What is on the disk when a call returns, by what the simulated disk has synced."""

from typing import Literal

import pytest

from session_store.model.config import StoreConfig
from session_store.runtime import run
from session_store.store.engine import Engine
from session_store.testing.simulation import Fresh, World
from session_store.testing.simulation.process import Brisk

Mode = Literal["fsync", "interval", "os"]


class Short(Brisk, Fresh):
    """A process that appends by the short way."""


@pytest.fixture
def world() -> World:
    return World(1)


def spoken_in(world: World, mode: Mode, kind: type[Fresh] = Fresh) -> tuple[Engine, str]:
    """Return a store, and a session of it with two messages and a branch."""
    process = kind(world)
    engine = Engine(process, StoreConfig(durability=mode), process)
    session = run(engine.resolve("key"))
    run(engine.append(session, {"role": "user", "content": "one"}))
    run(engine.create_branch(session, "aside"))
    run(engine.append_many(session, [{"role": "user", "content": "two"}]))
    return engine, session


def unsynced(world: World) -> set[str]:
    """Return the names of the files of which a power cut could take something."""
    files = world.disk.files.items()
    return {path.rpartition("/")[2] for path, inode in files if inode.synced < len(inode.data)}


@pytest.mark.parametrize("kind", [Fresh, Short])
@pytest.mark.parametrize("mode", ["fsync", "interval", "os"])
def test_what_is_flushed_is_on_the_disk_in_every_mode(
    world: World, mode: Mode, kind: type[Fresh]
) -> None:
    engine, session = spoken_in(world, mode, kind)
    run(engine.flush())
    run(engine.append(session, {"role": "user", "content": "three"}))

    run(engine.flush())

    assert unsynced(world) == set()


def test_nothing_but_counts_waits_for_a_sync_when_each_call_is_durable(world: World) -> None:
    spoken_in(world, "fsync")

    assert unsynced(world) <= {"sessions.1.jsonl"}


def test_in_os_mode_nothing_is_synced_until_it_is_asked_for(world: World) -> None:
    engine, _ = spoken_in(world, "os")
    before = unsynced(world)

    run(engine.close())

    assert before >= {"messages.jsonl", "branches.jsonl"}
    assert unsynced(world) == {"messages.jsonl", "branches.jsonl"}


def test_what_was_deleted_owes_nothing(world: World) -> None:
    engine, session = spoken_in(world, "os")
    run(engine.delete_session(session))

    run(engine.flush())

    assert unsynced(world) == set()
