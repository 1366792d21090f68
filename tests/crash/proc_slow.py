"""A disk that takes its time: an fsync of one log is held up, and nothing else may notice."""

import random
import threading
import time
from pathlib import Path

from disk_children import Child, answer_of, wait_until
from disk_judge import judge
from disk_mounts import scratch
from proc_lanes import Played
from proc_sabotage import Sabotage, nothing
from proc_work import Notes, Player, open_store, written_in

from session_store.files import RealFileSystem, posix
from session_store.locks.disk import load
from session_store.runtime import run
from session_store.store.records import MESSAGES

GROUP = 8
RENEWALS = 3
LEASE_MS = 90
SHORTEST_SECONDS, LONGEST_SECONDS = 0.2, 2.0
WRITERS = 3
APPENDS = 4


def play(seed: int, *, sabotage: Sabotage = nothing) -> Played:
    """Hold one fsync up until all else has happened; judge."""
    played = Played()
    with scratch() as folder:
        played.violations += answer_of(lambda: _held_up(folder, seed, sabotage))
        _judge(folder, played)
    played.counts["slow disks"] += 1
    return played


def play_slowly(seed: int) -> Played:
    """Let every fsync take from 200 ms to 2 s, for a few writers; judge."""
    played = Played()
    with scratch() as folder:
        children = [Child(lambda n=number: _write(folder, seed, n)) for number in range(WRITERS)]
        try:
            for child in children:
                wait_until(child.gone, "the end of a writer")
                if child.status:
                    played.violations.append(f"a writer ended with {child.status}")
        finally:
            for child in children:
                child.kill()
        _judge(folder, played)
    played.counts["slow disks"] += 1
    return played


def _write(folder: Path, seed: int, number: int) -> None:
    dice = random.Random(f"slow {seed} {number}")
    fdatasync = posix.fdatasync

    def slowly(fd: int) -> None:
        time.sleep(dice.uniform(SHORTEST_SECONDS, LONGEST_SECONDS))
        fdatasync(fd)

    posix.fdatasync = slowly
    written = Notes(folder / f"writer{number}")
    store = open_store(folder / "store", lock_timeout_ms=int(LONGEST_SECONDS * 1_000))
    player = Player(store, lambda _: written.history, f"writer{number}", seed=seed)
    while player.acknowledged < APPENDS:
        player.step()


def _held_up(folder: Path, seed: int, sabotage: Sabotage) -> list[str]:
    sabotage()
    root = folder / "store"
    store = open_store(root, lock_timeout_ms=LEASE_MS)
    players = [_player(store, folder, f"player{number}", seed) for number in range(GROUP + 1)]
    first, *others = players
    slow, quick = str(first.resolve("slow")), str(first.resolve("quick"))
    first.append(slow)
    first.append(quick)
    log = f"{slow}/{MESSAGES}"
    gate, syncs, inode = (
        threading.Event(),
        list[int](),
        (root / log).stat().st_ino,
    )
    held_up = threading.Event()
    fdatasync, sync = posix.fdatasync, RealFileSystem.sync
    asked: list[str] = []

    async def counted(self: RealFileSystem, path: str) -> None:
        asked.append(path)
        await sync(self, path)

    RealFileSystem.sync = counted  # type: ignore[method-assign]

    def slowly(fd: int) -> None:
        if posix.os.fstat(fd).st_ino == inode:
            syncs.append(fd)
            held_up.set()
            gate.wait()
        fdatasync(fd)

    wrong: list[str] = []
    with store.lock(slow):
        posix.fdatasync = slowly
        before = asked.count(log)
        writers = [threading.Thread(target=first.append, args=(slow,))]
        writers[0].start()
        held_up.wait()
        renewed = _renewals(store, slow)
        for _ in range(3):
            if others[0].append(quick) is None:
                wrong.append("another session had to wait for the slow one")
        if not others[0].read(slow):
            wrong.append("a read had to wait for a sync")
        writers += [threading.Thread(target=one.append, args=(slow,)) for one in others]
        for writer in writers[1:]:
            writer.start()
        wait_until(lambda: len(store.get_messages(slow)) == GROUP + 2, "what stands in the log")
        wait_until(lambda: asked.count(log) >= before + GROUP, "all who want a sync")
        wait_until(lambda: _renewals(store, slow) >= renewed + RENEWALS, "renewals of the lease")
        gate.set()
        for writer in writers:
            writer.join()
    if len(syncs) > GROUP // 2:
        wrong.append(f"{len(writers)} appends at once cost {len(syncs)} syncs")
    acknowledged = sum(player.acknowledged for player in players)
    if acknowledged < GROUP + 6:
        wrong.append(f"only {acknowledged} appends were acknowledged")
    posix.fdatasync = fdatasync
    store.close()
    return wrong


def _player(store: object, folder: Path, actor: str, seed: int) -> Player:
    written = Notes(folder / actor)
    return Player(store, lambda _: written.history, actor, seed=seed)  # type: ignore[arg-type]


def _renewals(store: object, session: str) -> int:
    files = store._engine._files  # type: ignore[attr-defined]
    lock = run(load(files, session)).lock
    return lock.renewals if lock else -1


def _judge(folder: Path, played: Played) -> None:
    history = written_in(folder)
    verdict = judge(folder / "store", history, clock=time.monotonic, harmless=())
    played.violations += verdict.violations
    played.counts["acknowledged"] += sum(
        one.outcome == "ok" and one.kind.startswith("append") for one in history.operations
    )
