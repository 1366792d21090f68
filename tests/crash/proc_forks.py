"""Processes that fork with open stores, held leases and threads in the midst of appends."""

import os
import sys
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from disk_children import Child, answer_of, wait_until
from disk_judge import judge
from disk_mounts import scratch
from proc_lanes import Played
from proc_sabotage import Sabotage, nothing
from proc_work import Notes, Player, open_store, written_in

from session_store.errors import LeaseLostError, NotLockOwnerError, SessionStoreError
from session_store.files import posix

BUSY_TIMEOUT_MS = 60
THREADS = 3
CHILDREN = 4
LEAST_APPENDS = 20
FOREVER_MS = 3_600_000

_LINKS = """
import os
root = os.sys.argv[1]
for number in os.listdir("/proc/self/fd"):
    try:
        path = os.readlink(f"/proc/self/fd/{number}")
    except OSError:
        continue
    if path.startswith(root):
        print(path)
"""


def play(
    seed: int, *, sabotage: Sabotage = nothing, games: Sequence["Game"] | None = None
) -> Played:
    """Play these games, else every game of this file, once."""
    played = Played()
    for game in games or GAMES:
        with scratch() as folder:
            # In a process of its own: what is forked and patched there stays there.
            wrong = answer_of(partial(_prepared, game, folder, seed, sabotage))
            played.violations += [f"{game.__name__}: {text}" for text in wrong]
            history = written_in(folder)
            verdict = judge(folder / "store", history, clock=time.monotonic, harmless=())
            played.violations += [f"{game.__name__}: {text}" for text in verdict.violations]
            played.counts["acknowledged"] += sum(
                one.outcome == "ok" and one.kind == "append" for one in history.operations
            )
        played.counts["forks"] += 1
    return played


def _prepared(game: "Game", folder: Path, seed: int, sabotage: Sabotage) -> list[str]:
    sabotage()
    return game(folder, seed)


Game = Callable[[Path, int], list[str]]


def _player(folder: Path, actor: str, seed: int = 0, **config: Any) -> Player:
    written = Notes(folder / actor)
    store = open_store(folder / "store", **config)
    return Player(store, lambda _: written.history, actor, seed=seed)


def _go_on(parent: Player, folder: Path, actor: str) -> Player:
    """Return a player for a child that goes on with the store of its parent."""
    written = Notes(folder / actor)
    return Player(parent.store, lambda _: written.history, actor, seed=actor)


def held_lease(folder: Path, seed: int) -> list[str]:
    """A child has no lease: it is somebody else, and the parent still has its own."""
    parent = _player(folder, "parent", seed, lock_timeout_ms=FOREVER_MS)
    session = str(parent.resolve("key"))
    parent.append(session)
    parent.lock(session)
    parent.append(session)

    def be_another() -> list[str]:
        child = _go_on(parent, folder, "child")
        said = child.append(session)
        gave = _error(lambda: child.store.release_lock(session, "parent"))
        took = child.store.acquire_lock(session, "child").acquired
        wrong = [] if said else ["the child could not append"]
        wrong += [] if gave is NotLockOwnerError else [f"the child released the lock: {gave}"]
        return [*wrong, "the child got the lock"] if took else wrong

    wrong = answer_of(be_another)
    if not parent.append(session):
        wrong.append("the parent lost its lease to a child that did not take it")
    error = _error(lambda: parent.store.release_lock(session, "parent"))
    return wrong if error is None else [*wrong, f"the parent could not release: {error}"]


def same_owner(folder: Path, seed: int) -> list[str]:
    """A child that acquires under the name of its parent takes over, and the parent is told."""
    parent = _player(folder, "parent", seed, lock_timeout_ms=FOREVER_MS)
    session = str(parent.resolve("key"))
    parent.append(session)
    parent.lock(session)

    def replace() -> bool:
        child = _go_on(parent, folder, "child")
        acquired = child.store.acquire_lock(session, "parent").acquired
        return acquired and child.append(session) is not None

    wrong = [] if answer_of(replace) else ["the child could not take over from its own name"]
    if parent.append(session) is not None:
        wrong.append("the parent wrote under a lease that its child has")
    told = _error(lambda: parent.store.update_metadata(session, {"user_id": "late"}))
    return wrong if told is LeaseLostError else [*wrong, f"the parent was told {told}"]


def inside_an_append(folder: Path, seed: int) -> list[str]:
    """A fork while another thread is inside the flock neither breaks nor gives up the lock."""
    parent = _player(folder, "parent", seed)
    session = str(parent.resolve("key"))
    parent.append(session)
    inside, go_on = threading.Event(), threading.Event()
    append_all = posix.append_all

    def slowly(fd: int, path: str, start: int, data: bytes) -> None:
        if threading.current_thread() is writer:
            inside.set()
            go_on.wait()
        append_all(fd, path, start, data)

    writer = threading.Thread(target=lambda: parent.append(session))
    posix.append_all = slowly
    writer.start()
    inside.wait()

    def blocked(actor: str, *, inherits: bool) -> list[str]:
        player = _go_on(parent, folder, actor) if inherits else None
        files = _player(folder, f"{actor}.own", io_timeout_ms=BUSY_TIMEOUT_MS)
        if files.append(session) is not None:
            return [f"{actor} wrote while the parent was inside its append"]
        read = (player or files).read(session)
        return [] if read else [f"{actor} could not read meanwhile"]

    wrong = answer_of(lambda: blocked("child", inherits=True))
    # The child is gone, and has closed what it had from its parent: the lock must still hold.
    wrong += answer_of(lambda: blocked("stranger", inherits=False))
    go_on.set()
    writer.join()
    late = answer_of(lambda: _go_on(parent, folder, "late").append(session) is not None)
    return wrong if late else [*wrong, "nobody could append after the parent was done"]


def busy_threads(folder: Path, seed: int) -> list[str]:
    """Children that are forked at any moment of their parent's appends go on, each on its own."""
    parent = _player(folder, "parent", seed)
    session = str(parent.resolve("key"))
    stop = threading.Event()
    writers = [_player(folder, f"thread{n}") for n in range(THREADS)]
    for writer in writers:
        writer.store = parent.store

    def write(writer: Player) -> None:
        while not stop.is_set():
            writer.append(session)

    threads = [threading.Thread(target=write, args=(writer,)) for writer in writers]
    for thread in threads:
        thread.start()
    wrong: list[str] = []
    for number in range(CHILDREN):
        least = (number + 1) * LEAST_APPENDS // CHILDREN
        wait_until(lambda n=least: sum(w.acknowledged for w in writers) >= n, "some appends")

        def work(number: int = number) -> None:
            child = _go_on(parent, folder, f"child{number}")
            child.append(session)
            child.append(str(child.resolve(f"of the child {number}")))
            child.store.close()
            if child.acknowledged != 2:
                raise RuntimeError("a child could not append")

        child = Child(work)
        wait_until(child.gone, "the end of a child")
        if child.status:
            wrong.append(f"a child ended with {child.status}")
    stop.set()
    for thread in threads:
        thread.join()
    return wrong


def executed(folder: Path, seed: int) -> list[str]:
    """A program that takes the place of the process has nothing open of the store."""
    parent = _player(folder, "parent", seed, lock_timeout_ms=FOREVER_MS)
    session = str(parent.resolve("key"))
    parent.append(session)
    parent.lock(session)
    parent.append(session)
    reading, writing = os.pipe()
    pid = os.posix_spawn(
        sys.executable,
        [sys.executable, "-I", "-S", "-c", _LINKS, str(folder)],
        os.environ,
        file_actions=[(os.POSIX_SPAWN_DUP2, writing, 1)],
    )
    os.close(writing)
    with os.fdopen(reading) as pipe:
        paths = pipe.read().split()
    status = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    wrong = [f"a program that was executed has {path} open" for path in paths]
    if status:
        wrong.append(f"the program ended with {status}")
    return wrong if parent.append(session) else [*wrong, "the parent lost its lease"]


GAMES: tuple[Game, ...] = (held_lease, same_owner, inside_an_append, busy_threads, executed)


def _error(call: Callable[[], object]) -> type[SessionStoreError] | None:
    try:
        call()
    except SessionStoreError as error:
        return type(error)
    return None
