"""Damage on real files: what is no file where one should be, what may not be read, and the rest.

Whatever stands there, what the store does not need it shows; what it cannot do it says with an
error of its own; and it removes nothing.
"""

import os
import random
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from damage_judge import whole_lines
from damage_kinds import KINDS
from damage_world import World, make_world, open_store, put_in_folder
from disk_children import NOBODY, answer_of, become_nobody

from session_store.errors import SessionStoreError
from session_store.files import RealFileSystem
from session_store.sync import SessionStore

SEED = 20261122


@pytest.fixture(scope="module")
def world() -> World:
    return make_world()


@pytest.fixture
def root(tmp_path: Path, world: World) -> Path:
    put_in_folder(world.closed, tmp_path / "store")
    return tmp_path / "store"


def opened(root: Path, serial: int = 9) -> SessionStore:
    return open_store(RealFileSystem(root, io_timeout_ms=200), serial, io_timeout_ms=200)


def paths_of(world: World) -> list[str]:
    return [*world.closed]


def things_in(root: Path) -> set[str]:
    return {path.relative_to(root).as_posix() for path in root.rglob("*")}


def try_everything(root: Path, world: World) -> list[str]:
    """Use each session, and return those that show all they should."""
    whole: list[str] = []
    for session_id, truth in world.truth.sessions.items():
        try:
            with opened(root) as store:
                shown = store.get_messages(session_id, include_reset=True)
                if shown == truth.every:
                    whole.append(session_id)
                store.append(session_id, {"role": "user", "content": "next"})
                store.get_branches(session_id)
                store.acquire_lock(session_id, "worker-9")
                store.release_lock(session_id, "worker-9")
                store.check()
        except SessionStoreError:
            continue
    return whole


def unhurt(path: str, world: World) -> set[str]:
    """Return the sessions that a thing at `path` does not concern."""
    return {session_id for session_id in world.truth.sessions if session_id != path.split("/")[0]}


@pytest.mark.parametrize("place", range(8))
def test_a_folder_where_a_file_should_be_costs_no_other_session(
    root: Path, world: World, place: int
) -> None:
    path = paths_of(world)[place]
    (root / path).unlink()
    (root / path).mkdir()
    (root / path / "a file").write_bytes(b"kept")
    before = things_in(root)

    whole = try_everything(root, world)

    assert before <= things_in(root)
    assert unhurt(path, world) <= set(whole)


def test_with_a_folder_in_the_place_of_the_index_everything_but_a_new_key_is_possible(
    root: Path, world: World
) -> None:
    (root / "sessions.json").unlink()
    (root / "sessions.json").mkdir()

    whole = try_everything(root, world)
    store = opened(root)

    assert set(whole) == set(world.truth.sessions)
    assert "snapshot_unwritten" in {finding.code for finding in store.check().findings}
    with pytest.raises(SessionStoreError, match="folder"):
        store.resolve("somebody:new")


def test_a_file_where_a_sessions_folder_should_be_costs_no_other_session(
    root: Path, world: World
) -> None:
    (root / world.main).rename(root.parent / "away")
    (root / world.main).write_bytes(b"a file")

    whole = try_everything(root, world)

    assert unhurt(world.log, world) <= set(whole)
    assert (root / world.main).read_bytes() == b"a file"
    (root / world.main).unlink()
    (root.parent / "away").rename(root / world.main)
    assert world.main in try_everything(root, world)


@pytest.fixture
def root_of_nobody(world: World) -> Iterator[Path]:
    """Yield the store as somebody has it who may not read everything: root gives it away."""
    # Not in tmp_path: that is closed to others.
    with TemporaryDirectory() as folder:
        root = Path(folder, "store")
        put_in_folder(world.closed, root)
        if not os.geteuid():
            for path in (Path(folder), root, *root.rglob("*")):
                os.chown(path, NOBODY, NOBODY)
        yield root


def tried_by_nobody(root: Path, path: str, world: World) -> tuple[bool, set[str]]:
    """Return whether `path` could be opened, and the sessions that show all they should."""

    def work() -> list[Any]:
        become_nobody()
        return [os.access(root / path, os.R_OK), try_everything(root, world)]

    readable, whole = answer_of(work)
    return readable, set(whole)


@pytest.mark.parametrize("place", range(8))
def test_a_file_that_may_not_be_read_costs_no_other_session(
    root_of_nobody: Path, world: World, place: int
) -> None:
    root, path = root_of_nobody, paths_of(world)[place]
    (root / path).chmod(0)
    before = things_in(root)

    readable, whole = tried_by_nobody(root, path, world)

    assert not readable
    assert before <= things_in(root)
    if path == "sessions.json":
        (root / path).chmod(0o600)  # may be all that it lacks: nothing is made in its place
        readable, whole = tried_by_nobody(root, path, world)
        assert readable
    assert unhurt(path, world) <= whole


def damaged_logs(log: bytes) -> Iterator[tuple[str, bytes]]:
    dice = random.Random(SEED)
    for kind in KINDS:
        cases = list(kind.cases(log)) if len(log) < 10_000 else []
        yield from dice.sample(cases, min(6, len(cases)))


def test_real_files_show_the_same_of_a_damaged_log_as_files_in_memory(
    tmp_path: Path, world: World
) -> None:
    root = tmp_path / "store"
    put_in_folder(world.closed, root)
    log, tried = world.closed[world.log], 0
    for name, after in damaged_logs(log):
        for path in root.rglob("sessions*"):
            path.unlink()
        put_in_folder(world.closed | {world.log: after}, root)
        lines = set(whole_lines(after))
        whole = [
            message
            for message in world.truth.sessions[world.other].every
            if lines and message.batch is None
        ]

        with opened(root) as store:
            store.check()
            answer = store.append(world.main, {"role": "user", "content": "next"})
            assert store.get_messages(world.main)[-1] == answer, f"{name} (seed {SEED})"
            assert store.get_messages(world.other) == whole

        assert (root / world.log).read_bytes().startswith(after), f"{name} (seed {SEED})"
        tried += 1
    assert tried >= 50
