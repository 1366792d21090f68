"""The two sides of a stop: what the victim is in the midst of, and what the intruder does."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

from disk_children import wait_until
from proc_work import Player, open_store, rotate_often

HERE, ELSEWHERE = "key:here", "key:elsewhere"

Operate = Callable[[], Any]


# What the victim is in the midst of: each prepares, and returns the operation.


def append(player: Player, _: Path) -> Operate:
    """Append to a log that is open."""
    session = _talked(player)
    return lambda: player.append(session)


def first_append(player: Player, _: Path) -> Operate:
    """Append to a session that has no folder yet."""
    session = str(player.resolve(HERE))
    return lambda: player.append(session)


def guarded_append(player: Player, _: Path) -> Operate:
    """Append under a lease."""
    session = _held(player)
    return lambda: player.append(session)


def guarded_batch(player: Player, _: Path) -> Operate:
    """Append several messages under a lease."""
    session = _held(player)
    return lambda: player.append_many(session)


def take_over(player: Player, root: Path) -> Operate:
    """Take over the lease of one who is dead, and append under it."""
    session = _talked(player)
    dead = open_store(root, lock_timeout_ms=1)
    dead.acquire_lock(session, "dead")
    wait_until(lambda: not dead.is_locked(session), "the end of a lease")
    return lambda: player.lock(session) and player.append(session)


def refresh(player: Player, _: Path) -> Operate:
    """Renew a lease, and append under it."""
    session = _held(player)
    return lambda: player.lock(session) and player.append(session)


def release(player: Player, _: Path) -> Operate:
    """Give a lease back."""
    session = _held(player)
    return lambda: player.unlock(session)


def switch_index(player: Player, _: Path) -> Operate:
    """Begin a new journal of the index, for a new session."""
    _talked(player)

    def rotate() -> None:
        rotate_often(1)
        player.resolve("key:new")

    return rotate


def save_index(player: Player, _: Path) -> Operate:
    """Write a snapshot of the index."""
    _talked(player)
    return lambda: player.store.flush(snapshot=True)


def delete(player: Player, _: Path) -> Operate:
    """Delete a session."""
    session = _talked(player)
    return lambda: player.delete(session)


def reset(player: Player, _: Path) -> Operate:
    """Hide what was said, and go on."""
    session = _talked(player)
    return lambda: (player.reset(session), player.append(session))


def branch_off(player: Player, _: Path) -> Operate:
    """Make a branch and take it, and append on it."""
    session = _talked(player)
    store = player.store
    return lambda: (
        player.quietly(lambda: store.create_branch(session, "b")),
        player.quietly(lambda: store.switch_to_branch(session, "b")),
        player.append(session),
    )


SCENES: dict[str, Callable[[Player, Path], Operate]] = {
    scene.__name__: scene
    for scene in (
        append,
        first_append,
        guarded_append,
        guarded_batch,
        take_over,
        refresh,
        release,
        switch_index,
        save_index,
        delete,
        reset,
        branch_off,
    )
}


def _talked(player: Player) -> str:
    session = str(player.resolve(HERE))
    player.append(session)
    return session


def _held(player: Player) -> str:
    session = _talked(player)
    if not player.lock(session):
        raise RuntimeError("nobody else is there, and the lock is not free")
    player.append(session)
    return session


# What the intruder does.


def _append(player: Player, session: str) -> None:
    player.append(session)
    player.append_many(session)


def _take(player: Player, session: str) -> None:
    if player.lock(session, wait=True):
        player.append(session)


def _take_and_release(player: Player, session: str) -> None:
    if player.lock(session, wait=True):
        player.append(session)
        player.unlock(session)


def _delete(player: Player, session: str) -> None:
    player.delete(session)
    again = player.resolve(HERE)
    if again is not None:
        player.append(again)


def _reset(player: Player, session: str) -> None:
    player.reset(session)
    player.append(session)


def _switch_index(player: Player, _: str) -> None:
    rotate_often(1)
    for number in range(3):
        new = player.resolve(f"key:intruder:{number}")
        if new is not None:
            player.append(new)


def _same_key(player: Player, _: str) -> None:
    new = player.resolve("key:new")
    if new is not None:
        player.append(new)


INTRUDERS: dict[str, Callable[[Player, str], None]] = {
    "append": _append,
    "take": _take,
    "take and release": _take_and_release,
    "delete": _delete,
    "reset": _reset,
    "switch_index": _switch_index,
    "same_key": _same_key,
}
