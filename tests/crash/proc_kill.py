"""Workers that are killed: in the N-th system call, or whenever it happens.

A round lets a few workers loose on one small store until each of them is dead. Then a fresh
process has to find every promise kept, and goes on.
"""

import os
import random
import shutil
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path

from disk_children import Child, Numbers
from disk_judge import judge
from disk_mounts import scratch
from proc_calls import LASTING, PHASES, Calls
from proc_lanes import Played
from proc_sabotage import Sabotage, nothing
from proc_work import Notes, Player, open_store, rotate_often, told, written_in

WORKERS = 3
ROUNDS = 4
STEPS = 300
LEAST_ACKNOWLEDGED = 8
TRACE_PATIENCE_SECONDS = 10.0

AFTER_A_KILL = {
    "torn_tail",
    "sealed_tail",
    "pending_batch",
    "torn_batch",
    "snapshot_lags",
    "leftover_folder",
    "expired_lock",
    "empty_folder",
    "draft",
}
"""What a worker that dies may leave behind: nothing of it was acknowledged."""


def play(seed: int, *, sabotage: Sabotage = nothing, strace: str | None = None) -> Played:
    """Let the workers of one seed live and die; return what was found."""
    arena = Played()
    dice = random.Random(f"kill {seed}")
    with scratch() as folder:
        root, notes = folder / "store", folder / "notes"
        notes.mkdir()
        _begin(root, notes / "first", seed, arena)
        for number in range(ROUNDS):
            if not arena.violations:
                _round(root, notes, f"{seed}.{number}", dice, arena, sabotage, strace)
    return arena


def _begin(root: Path, notes: Path, seed: int, arena: Played) -> None:
    """Let one worker do something in peace: a test without traffic proves nothing."""
    acknowledged = Numbers(1)

    def work() -> None:
        rotate_often()
        player = _player(root, notes, f"{seed}.first", acknowledged, "fsync")
        while player.acknowledged < LEAST_ACKNOWLEDGED:
            player.step()

    child = Child(work)
    if child.wait() or acknowledged[0] < LEAST_ACKNOWLEDGED:
        arena.violations.append(f"void: {acknowledged[0]} acknowledged before the first kill")
    arena.counts["acknowledged"] += acknowledged[0]


def _round(
    root: Path,
    notes: Path,
    name: str,
    dice: random.Random,
    arena: Played,
    sabotage: Sabotage,
    strace: str | None,
) -> None:
    acknowledged = [Numbers(1) for _ in range(WORKERS)]
    doomed = []
    for place in range(WORKERS):
        actor = f"{name}.{place}"
        by_call = dice.random() < 0.6 and strace is None
        plan = (dice.choice((LASTING, ())), round(dice.uniform(1, 14) ** 2), dice.choice(PHASES))
        mode = dice.choice(("fsync", "os"))

        def work(
            actor: str = actor,
            plan: tuple[tuple[str, ...], int, str] | None = plan if by_call else None,
            mode: str = mode,
            mine: Numbers = acknowledged[place],
        ) -> None:
            sabotage()
            rotate_often()
            if strace:
                _await_tracer()
            if plan is not None:
                kinds, number, phase = plan
                Calls(lambda _: os.kill(os.getpid(), signal.SIGKILL), kinds).arm(number, phase)  # type: ignore[arg-type]
            player = _player(root, notes / actor, actor, mine, mode)
            for _ in range(STEPS):
                player.step()

        child = Child(work)
        tracer = _trace(strace, child.pid, dice) if strace else None
        patience = dice.uniform(0.001, 0.05) if not (by_call or strace) else 60.0
        doomed.append((child, time.monotonic() + patience, tracer))
    for child, moment, tracer in sorted(doomed, key=lambda one: one[1]):
        _end(child, moment)
        if tracer is not None:
            tracer.kill()
            tracer.wait()
        arena.counts["kills"] += child.status == -signal.SIGKILL
        if child.status not in (0, -signal.SIGKILL):
            arena.violations.append(f"a worker ended with {child.status}")
    arena.counts["acknowledged"] += sum(one[0] for one in acknowledged)
    _look(root, notes, name, arena)


def _player(root: Path, notes: Path, actor: str, acknowledged: Numbers, mode: str) -> Player:
    written = Notes(notes)

    def count() -> None:
        acknowledged[0] += 1

    return Player(
        open_store(root, durability=mode),
        lambda _: written.history,
        actor,
        seed=actor,
        on_ack=count,
    )


def _end(child: Child, moment: float) -> None:
    """Kill the worker when its moment comes, if it has not ended before."""
    while not child.gone():
        left = moment - time.monotonic()
        if left <= 0:
            child.kill()
            return
        time.sleep(min(left, 0.002))


def _look(root: Path, notes: Path, name: str, arena: Played) -> None:
    history = written_in(notes)
    verdict = judge(
        root,
        history,
        notes=notes / f"{name}.judge",
        clock=time.monotonic,
        actor=f"{name}.judge",
        harmless=(),
    )
    arena.violations += verdict.violations
    arena.violations += [f"met: {one.facts['error']}" for one in history.operations if told(one)]
    for code, times in verdict.findings.items():
        arena.counts[f"found {code}"] += times
        if code not in AFTER_A_KILL:
            arena.violations.append(f"check found {code}, which no kill may leave")


def _trace(strace: str, pid: int, dice: random.Random) -> subprocess.Popen[bytes]:
    """Let the kernel kill the process in one of its writes."""
    inject = f"inject=write,pwrite64:signal=KILL:when={dice.randint(1, 60)}"
    return subprocess.Popen(
        [strace, "-q", "-p", str(pid), "-e", "trace=write,pwrite64", "-e", inject],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def _await_tracer() -> None:
    deadline = time.monotonic() + TRACE_PATIENCE_SECONDS
    while "TracerPid:\t0\n" in Path("/proc/self/status").read_text(encoding="ascii"):
        if time.monotonic() > deadline:
            raise RuntimeError("no tracer came")
        time.sleep(0.001)


def find_strace() -> tuple[str | None, str]:
    """Return the path of a strace that can kill, else None and why not."""
    strace = shutil.which("strace")
    if strace is None:
        return None, "kills by strace: no strace (Debian: strace)"

    def work() -> None:
        _await_tracer()
        for _ in range(100):
            os.write(2, b"")

    child = Child(work)
    tracer = _trace(strace, child.pid, random.Random(1))
    try:
        with suppress(RuntimeError):
            child.wait()
    finally:
        tracer.kill()
        tracer.wait()
    if child.status == -signal.SIGKILL:
        return strace, ""
    return None, "kills by strace: it may not trace here"
