"""Processes whose clocks lie, each in its own way, and jump while they work (PROTOCOLS L5).

The wall clock is an hour behind, an hour or ten years ahead, and changes its mind at any call;
the monotonic clock of one process has nothing to do with that of another, and leaps.
"""

import random
import secrets
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

from disk_children import Child, Numbers, answer_of, wait_until
from disk_judge import judge
from disk_mounts import scratch
from proc_lanes import Played
from proc_sabotage import Sabotage, nothing
from proc_stop import stale
from proc_work import Notes, Player, open_store, written_in

from session_store.errors import LeaseLostError
from session_store.runtime import BlockingRuntime

HOUR_MS = 3_600_000
TEN_YEARS_MS = 10 * 365 * 24 * HOUR_MS
OFFSETS_MS = (0, -HOUR_MS, HOUR_MS, TEN_YEARS_MS)

PLAYERS = 3
TURNS = 8
LEAST_TURNS = 4

_time_ns, _monotonic = time.time_ns, time.monotonic


class Clocks:
    """The clocks of this process, from now on; `restless` ones jump at any call."""

    def __init__(
        self, wall_ms: int = 0, monotonic_s: float = 0.0, restless: random.Random | None = None
    ) -> None:
        self._wall_ns = wall_ms * 1_000_000
        self._monotonic_s = monotonic_s
        self._restless = restless
        time.time_ns = self.time_ns
        time.monotonic = self.monotonic
        BlockingRuntime.new_id = lambda _: self.new_id()  # type: ignore[method-assign]

    def time_ns(self) -> int:
        """Return the wall clock, as this process sees it."""
        if self._restless and self._restless.random() < 0.05:
            self._wall_ns = self._restless.choice(OFFSETS_MS) * 1_000_000
        return _time_ns() + self._wall_ns

    def monotonic(self) -> float:
        """Return a clock that never goes back, and now and then leaps."""
        if self._restless and self._restless.random() < 0.01:
            self._monotonic_s += self._restless.choice((0.1, 60.0, HOUR_MS / 1000))
        return _monotonic() + self._monotonic_s

    def new_id(self) -> str:
        """Return an id as a machine with this wall clock would make it."""
        chance = secrets.randbits(74)
        moment = self.time_ns() // 1_000_000
        number = moment << 80 | 7 << 76 | (chance >> 62) << 64 | 2 << 62 | chance & (1 << 62) - 1
        return str(uuid.UUID(int=number))


def contest(seed: int, *, sabotage: Sabotage = nothing) -> Played:
    """Let processes with lying clocks take turns under one lock; no two may hold it.

    Everybody says how many messages he saw when he had the lock, and nobody writes without:
    so each must stand at exactly that place.
    """
    played = Played()
    dice = random.Random(f"clocks {seed}")
    with scratch() as folder:
        root, acknowledged = folder / "store", Numbers(1)
        session = answer_of(lambda: open_store(root).resolve("key"))
        children: list[Child] = []
        for number in range(PLAYERS):
            wall, start = dice.choice(OFFSETS_MS), dice.choice((0.0, 1e3, 3e8))

            def work(number: int = number, wall: int = wall, start: float = start) -> None:
                sabotage()
                Clocks(wall, start, restless=random.Random(f"{seed} {number}"))
                _take_turns(root, folder / f"player{number}", session, seed, acknowledged)

            children.append(Child(work))
        try:
            for child in children:
                wait_until(child.gone, "the end of a contest")
                if child.status:
                    played.violations.append(f"a player ended with {child.status}")
        finally:
            for child in children:
                child.kill()
        played.counts["turns"] = acknowledged[0]
        if acknowledged[0] < LEAST_TURNS:
            played.violations.append(f"void: only {acknowledged[0]} turns")
        history = written_in(folder)
        played.violations += stale(root, history)
        played.violations += answer_of(lambda: _out_of_turn(root, session))
        played.violations += judge(root, history, clock=_monotonic, harmless=()).violations
    return played


def _take_turns(root: Path, notes: Path, session: str, seed: int, acknowledged: Numbers) -> None:
    written = Notes(notes)
    store = open_store(root, lock_timeout_ms=20, durability="os")
    player = Player(store, lambda _: written.history, notes.name, seed=seed)
    done = 0
    for _ in range(4 * TURNS):
        if done == TURNS or not player.lock(session, wait=player.dice.random() < 0.5):
            continue
        seen = player.quietly(lambda: len(store.get_messages(session)))
        if seen is not None and player.append(session, says=str(seen)):
            acknowledged[0] += 1
            done += 1
        player.unlock(session)


def _out_of_turn(root: Path, session: str) -> list[str]:
    messages = open_store(root).get_messages(session)
    words = [str(message.content).split() for message in messages]
    wrong = [
        f"{name} saw {seen} messages, and stands behind {place}"
        for place, (name, seen) in enumerate(words)
        if int(seen) != place
    ]
    ids = [message.id for message in messages]
    return wrong if len(set(ids)) == len(ids) else [*wrong, f"an id was given twice: {ids}"]


def words_of_l5() -> list[str]:
    """Return which of the sentences of L5 do not hold, one clock at a time."""
    wrong: list[str] = []
    for wall in OFFSETS_MS:
        for monotonic in (0.0, 3e8):
            name = f"wall {wall} ms, monotonic {monotonic:g} s"
            wrong += [f"{name}: {text}" for text in _words(wall, monotonic)]
    return wrong


def _words(wall: int, monotonic: float) -> list[str]:
    with scratch() as folder:
        holder = open_store(folder / "store", lock_timeout_ms=HOUR_MS // 2)
        session = holder.resolve("key")
        holder.append(session, {"type": "user", "content": "first"})
        holder.acquire_lock(session, "holder")

        def ask(**how: Any) -> bool:
            def work() -> bool:
                Clocks(wall, monotonic)
                other = open_store(folder / "store")
                return other.acquire_lock(session, "other", **how).acquired

            return bool(answer_of(work))

        wrong: list[str] = []
        if ask(wait=True, timeout_ms=5):
            wrong.append("a waiter took over from one who is alive")
        early = ask()
        if early != (wall > HOUR_MS // 2):
            wrong.append(f"who does not wait judges by the wall clock, and got {early}")
        lost = _raises(LeaseLostError, lambda: holder.append(session, _LATE))
        if lost != early:
            wrong.append(f"the holder was passed over: {early}, and was told: {lost}")
        return [*wrong, *_after_death(folder / "store", wall, monotonic)]


def _after_death(root: Path, wall: int, monotonic: float) -> list[str]:
    def die() -> str:
        dead = open_store(root, lock_timeout_ms=20)
        session = dead.resolve("another")
        dead.append(session, {"type": "user", "content": "last words"})
        dead.acquire_lock(session, "dead")
        return session

    session = answer_of(die)

    def inherit() -> list[bool]:
        Clocks(wall, monotonic)
        heir = open_store(root)
        at_once = heir.acquire_lock(session, "heir").acquired if wall < 0 else False
        return [at_once, heir.acquire_lock(session, "heir", wait=True, timeout_ms=60_000).acquired]

    at_once, in_time = answer_of(inherit)
    wrong = ["an hour behind, a lease that ended a moment ago is over already"] if at_once else []
    return wrong if in_time else [*wrong, "nobody ever inherited from a dead holder"]


_LATE = {"type": "user", "content": "late"}


def _raises(error: type[Exception], call: Callable[[], object]) -> bool:
    try:
        call()
    except error:
        return True
    return False
