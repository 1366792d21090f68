"""A process that is stopped between any two system calls, and what another does meanwhile.

The victim stops itself (SIGSTOP) in the midst of one operation; the intruder does what it was
told to and ends; the victim goes on (SIGCONT). Then a fresh process judges.
"""

import json
import os
import random
import signal
import time
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path
from typing import Any, NamedTuple

from disk_children import Child, answer_of, wait_until
from disk_judge import judge
from disk_mounts import scratch
from proc_calls import Calls, Phase
from proc_lanes import Played
from proc_sabotage import Sabotage, nothing
from proc_scenes import ELSEWHERE, HERE, INTRUDERS, SCENES
from proc_work import Notes, Player, open_store, told, written_in

from session_store.testing.history import History

BUSY_TIMEOUT_MS = 60
"""How long those wait who must not wait for a stopped process."""
PATIENCE_MS = 5_000

Tell = Callable[..., object]


class Stoppable(Child):
    """A process that tells what it does, and may stop itself."""

    def __init__(self, work: Callable[[Tell], object]) -> None:
        reading, writing = os.pipe()
        self._pipe = os.fdopen(reading)
        self.stopped = False

        def run() -> None:
            work(lambda **facts: os.write(writing, json.dumps(facts).encode() + b"\n"))

        super().__init__(run)
        os.close(writing)

    def rests(self) -> bool:
        """Return, once it has stopped itself or ended, whether it has stopped."""
        self.stopped = False
        wait_until(self._looked, "a victim that stops or ends")
        return self.stopped

    def heard(self) -> dict[str, Any]:
        """Return what it has told; ask once each time that it rests."""
        line = self._pipe.readline()
        facts: dict[str, Any] = json.loads(line) if line else {}
        return facts

    def go_on(self) -> None:
        """Let it run again, to its end."""
        if self.stopped:
            os.kill(self.pid, signal.SIGCONT)
            wait_until(self.gone, "the end of a victim")

    def close(self) -> None:
        """End it, whatever it does."""
        if not self.gone():
            os.kill(self.pid, signal.SIGKILL)
            wait_until(self.gone, "the end of a killed victim")
        self._pipe.close()

    def _looked(self) -> bool:
        pid, status = os.waitpid(self.pid, os.WNOHANG | os.WUNTRACED)
        if pid and os.WIFSTOPPED(status):
            self.stopped = True
        elif pid:
            self.status = os.waitstatus_to_exitcode(status)
        return bool(pid)


class Plan(NamedTuple):
    """Where the victim stops, and who comes in between."""

    scene: str
    number: int
    phase: Phase
    intruder: str


@lru_cache(maxsize=1)
def plans() -> list[Plan]:
    """Return every place to stop at, with every intruder, in an order that mixes them."""
    found: list[Plan] = []
    for scene in SCENES:
        names = _calls_of(scene)
        places: list[tuple[int, Phase]] = [(len(names), "after")]
        for number, name in enumerate(names, start=1):
            places.append((number, "before"))
            if name == "write":
                places.append((number, "amid"))
        found += [
            Plan(scene, number, phase, intruder)
            for number, phase in places
            for intruder in INTRUDERS
        ]
    random.Random(1).shuffle(found)
    return found


def _calls_of(scene: str) -> list[str]:
    with scratch() as folder:
        victim = Stoppable(lambda tell: _victim(folder, scene, 0, "before", nothing, tell))
        try:
            victim.rests()
            names: list[str] = victim.heard()["calls"]
            return names
        finally:
            victim.close()


def play(seed: int, *, sabotage: Sabotage = nothing) -> Played:
    """Play the plan with this number; once all were played, a chain of stopped holders."""
    known = plans()
    if 0 < seed <= len(known):
        return play_plan(known[seed - 1], sabotage)
    return play_chain(seed, sabotage)


def play_plan(plan: Plan, sabotage: Sabotage = nothing) -> Played:
    """Stop one process as the plan says, let the other in, and judge."""
    played = Played()
    played.counts["plans"] = 1
    with scratch() as folder:
        victim = Stoppable(
            lambda tell: _victim(folder, plan.scene, plan.number, plan.phase, sabotage, tell)
        )
        try:
            stopped = victim.rests()
            heard = victim.heard()
            if stopped:
                played.counts["stops"] += 1
                acquired = answer_of(lambda: _intrude(folder, plan.intruder, sabotage))
                played.counts["takeovers"] += acquired and plan.scene in _LEASED
                victim.go_on()
            if victim.status:
                played.violations.append(f"the victim ended with {victim.status}")
        finally:
            victim.close()
        allowed = {"intruder"} if heard.get("held") else set[str]()
        _judge(folder, played, allowed)
    if played.violations:
        played.violations.insert(0, f"{plan}, stopped {heard}")
    return played


_LEASED = ("guarded_append", "guarded_batch", "take_over", "refresh", "release")


def play_chain(seed: int, sabotage: Sabotage = nothing) -> Played:
    """Let holder after holder be stopped and passed over; then all go on, in any order."""
    played = Played()
    dice = random.Random(f"chain {seed}")
    length = dice.randint(2, 4)
    victims: list[Stoppable] = []
    blocked = False
    with scratch() as folder:
        try:
            for place in range(length):
                number, many = dice.randint(1, 14), dice.random() < 0.3
                phase: Phase = dice.choice(("before", "amid", "after"))
                victims.append(
                    Stoppable(
                        lambda tell, p=place, n=number, f=phase, m=many: _link(
                            folder, f"link{p}", n, f, m, sabotage, tell
                        )
                    )
                )
                played.counts["stops"] += victims[-1].rests()
                told = victims[-1].heard()
                blocked = blocked or bool(told.get("held"))
                played.counts["takeovers"] += bool(place and told.get("acquired"))
            dice.shuffle(victims)
            for victim in victims:
                victim.go_on()
                if victim.status:
                    played.violations.append(f"a victim ended with {victim.status}")
        finally:
            for victim in victims:
                victim.close()
        allowed = {f"link{place}" for place in range(length)} if blocked else set[str]()
        _judge(folder, played, allowed)
    return played


def _victim(
    folder: Path, scene: str, number: int, phase: Phase, sabotage: Sabotage, tell: Tell
) -> None:
    sabotage()
    root = folder / "store"
    written = Notes(folder / "victim")
    # Each note for the index at once: so the calls of an operation are always the same.
    store = open_store(root, index_save_delay_ms=0)
    player = Player(store, lambda _: written.history, "victim", seed=scene)
    elsewhere = str(player.resolve(ELSEWHERE))
    player.append(elsewhere)
    operate = SCENES[scene](player, root)
    calls = _stopping(root, number, phase, tell)
    operate()
    calls.disarm()
    tell(calls=calls.names)


def _link(
    folder: Path,
    actor: str,
    number: int,
    phase: Phase,
    many: bool,
    sabotage: Sabotage,
    tell: Tell,
) -> None:
    """Take the lock from the one before, and stop while using it."""
    sabotage()
    root = folder / "store"
    written = Notes(folder / actor)
    store = open_store(root, io_timeout_ms=BUSY_TIMEOUT_MS)
    player = Player(store, lambda _: written.history, actor, seed=actor)
    session = player.resolve(HERE)
    if session is None or not player.lock(session, wait=True):
        return
    player.append(session)
    calls = _stopping(root, number, phase, lambda **facts: tell(acquired=True, **facts))
    (player.append_many if many else player.append)(session)
    player.append(session)
    calls.disarm()


def _stopping(root: Path, number: int, phase: Phase, tell: Tell) -> Calls:
    calls: Calls

    def stop(where: str) -> None:
        held = [os.path.relpath(path, root) for path in calls.held.values()]
        tell(where=where, held=held)
        os.kill(os.getpid(), signal.SIGSTOP)

    calls = Calls(stop)
    calls.arm(number, phase)
    return calls


def _intrude(folder: Path, act: str, sabotage: Sabotage) -> bool:
    """Do what the intruder does; return whether it got the lock."""
    sabotage()
    root = folder / "store"
    written, aside = Notes(folder / "intruder"), Notes(folder / "bystander")
    # Who only reads, or works elsewhere, is never kept waiting.
    bystander = Player(
        open_store(root, io_timeout_ms=BUSY_TIMEOUT_MS),
        lambda _: aside.history,
        "bystander",
        seed=1,
    )
    session = str(bystander.store.get_session_id(HERE))
    bystander.read(session)
    bystander.append(str(bystander.resolve(ELSEWHERE)))
    player = Player(
        open_store(root, io_timeout_ms=BUSY_TIMEOUT_MS),
        lambda _: written.history,
        "intruder",
        seed=1,
    )
    here = player.resolve(HERE)
    if here is not None:
        INTRUDERS[act](player, here)
    bystander.read(session)
    return player.acquired > 0


def _judge(folder: Path, played: Played, allowed: set[str]) -> None:
    root = folder / "store"
    history = written_in(folder)
    wrong = [*stale(root, history), *risen(root, history)]
    wrong += [
        f"{one.actor} met {one.facts['error']}"
        for one in history.operations
        if told(one) and one.actor not in allowed
    ]
    verdict = judge(root, history, clock=time.monotonic, harmless=())
    played.violations += wrong + verdict.violations
    played.counts["acknowledged"] += sum(
        one.outcome == "ok" and one.kind.startswith("append") for one in history.operations
    )
    for code, times in verdict.findings.items():
        played.counts[f"found {code}"] += times
        if code not in _LEFT:
            played.violations.append(f"check found {code}")
    if not any(one.outcome == "ok" for one in history.operations):
        played.violations.append("void: nothing was acknowledged")


_LEFT = {"snapshot_lags", "expired_lock"}
"""What a store may look like after a process that was stopped, and went on."""


def stale(root: Path, history: History) -> list[str]:
    """Return the messages that were accepted although their writer's lease was gone."""
    epochs = {
        name: one.facts["epoch"]
        for one in history.operations
        if "epoch" in one.facts
        for name in one.facts["ids"]
    }
    found: list[str] = []
    for log in root.glob("*/messages.jsonl"):
        highest = 0
        for line in log.read_bytes().splitlines():
            try:
                record = json.loads(line)
            except ValueError:
                continue
            control = record.get("control") or {}
            name = str(record.get("content")).split(" ", 1)[0]
            epoch = (
                control.get("epoch", 0) if control.get("kind") == "fence" else epochs.get(name, 0)
            )
            if name in epochs and epoch < highest:
                found.append(f"{name} of the lease {epoch} stands behind the lease {highest}")
            highest = max(highest, epoch)
    return found


def risen(root: Path, history: History) -> list[str]:
    """Return the sessions whose folder came back after their delete."""
    gone = {
        one.session for one in history.operations if one.kind == "delete" and one.outcome == "ok"
    }
    return [
        f"{session} was deleted, and its folder is there"
        for session in gone
        if (root / session).exists()
    ]
