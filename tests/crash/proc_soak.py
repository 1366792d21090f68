"""Many processes on many sessions for a long time, one of them killed every other moment.

Two of them, the elders, are never killed: what they have open, and what memory they take, must
not grow. All the rest is as in the other tests: everything is written down, and judged in the
end, share by share, because a whole day does not fit into memory.
"""

import os
import random
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any
from zlib import crc32

from disk_children import PATIENCE_SECONDS, Child, Numbers, answer_of, wait_until
from disk_work import name_of
from proc_kill import AFTER_A_KILL
from proc_lanes import Played
from proc_sabotage import Sabotage, nothing
from proc_stop import risen, stale
from proc_work import ALIAS, Notes, Player, open_store, rotate_often, told, written_in

from session_store.runtime import run
from session_store.testing.history import check, read_final

PROCESSES = 8
ELDERS = 2
SHARES = 16
KILL_EVERY_SECONDS = 2.0
LOOK_EVERY_STEPS = 20
CACHE_BYTES = 4 << 20
JOURNAL_BYTES = 100_000
GROWTH = 1.05
LEAST_BY_ELDERS = 150


@dataclass(slots=True)
class Plan:
    """How long, how many, how fast."""

    seconds: float
    sessions: int = 1_000
    processes: int = PROCESSES
    kill_every: float = KILL_EVERY_SECONDS
    pause: float = 0.005
    """After each step: what is written in the end has to be read in the end."""
    small_files: int = 8
    small_bytes: int = 1 << 20
    """How much more is nothing; a process that is young still grows into its caches."""


def play(
    seed: int,
    plan: Plan,
    *,
    say: Callable[[str], object] = lambda _: None,
    sabotage: Sabotage = nothing,
) -> Played:
    """Let it run, and judge it."""
    played = Played()
    with _folder() as folder:
        root, notes, looks = folder / "store", folder / "notes", folder / "looks"
        notes.mkdir()
        looks.mkdir()

        def work(place: int, actor: str, stop: Numbers, mine: Numbers) -> None:
            sabotage()
            watched = looks / actor if place < ELDERS else None
            _work(root, notes, actor, seed, plan, stop, mine, watched)

        _live_and_die(work, random.Random(f"soak {seed}"), plan, played, say)
        for path in sorted(looks.iterdir()):
            _flat(path, played, plan)
        say("judging")
        for share in range(SHARES):
            _take(played, answer_of(partial(_judge, root, notes, share)))
        _take(played, answer_of(partial(_check, root)))
    return played


def _take(played: Played, answer: dict[str, Any]) -> None:
    played.violations += answer["violations"]
    played.counts.update(answer["counts"])


def _live_and_die(
    work: Callable[[int, str, Numbers, Numbers], None],
    dice: random.Random,
    plan: Plan,
    played: Played,
    say: Callable[[str], object],
) -> None:
    """Keep all places filled for as long as the plan says, killing somebody now and then."""
    stop, acknowledged = Numbers(1), [Numbers(1) for _ in range(plan.processes)]
    workers: dict[int, Child] = {}

    def bear(place: int) -> None:
        actor = f"{place}.{played.counts['born']}"
        played.counts["born"] += 1
        workers[place] = Child(lambda: work(place, actor, stop, acknowledged[place]))

    began, spoken = time.monotonic(), 0
    try:
        for place in range(plan.processes):
            bear(place)
        while _goes_on(time.monotonic() - began, plan, acknowledged) and not played.violations:
            time.sleep(plan.kill_every)
            played.violations += [
                f"worker {place} ended with {worker.status}"
                for place, worker in workers.items()
                if worker.gone()
            ]
            victim = dice.randrange(ELDERS, plan.processes)
            workers[victim].kill()
            played.counts["kills"] += 1
            bear(victim)
            if (minute := int((time.monotonic() - began) // 60)) > spoken:
                spoken = minute
                total = sum(one[0] for one in acknowledged)
                say(f"{minute} min, {played.counts['kills']} kills, {total} acknowledged")
        stop[0] = 1
        for worker in workers.values():
            wait_until(worker.gone, "the end of a worker")
            if worker.status:
                played.violations.append(f"a worker ended with {worker.status}")
    finally:
        for worker in workers.values():
            worker.kill()
    played.counts["acknowledged"] = sum(one[0] for one in acknowledged)


def _goes_on(seconds: float, plan: Plan, acknowledged: list[Numbers]) -> bool:
    """Return whether it is too soon to end: also until the elders have had their say."""
    if seconds > plan.seconds + PATIENCE_SECONDS:
        return False
    return seconds < plan.seconds or min(one[0] for one in acknowledged[:ELDERS]) < LEAST_BY_ELDERS


@contextmanager
def _folder() -> Iterator[Path]:
    # On a disk, not in memory: there are syncs to wait for, and it may grow.
    with tempfile.TemporaryDirectory(prefix="session-store-soak-") as folder:
        yield Path(folder)


def _work(
    root: Path,
    notes: Path,
    actor: str,
    seed: int,
    plan: Plan,
    stop: Numbers,
    acknowledged: Numbers,
    watched: Path | None,
) -> None:
    rotate_often(JOURNAL_BYTES)
    shares = [Notes(notes / f"{share}.{actor}") for share in range(SHARES)]
    store = open_store(
        root,
        durability="os" if seed % 2 else "fsync",
        cache_max_bytes=CACHE_BYTES,
        lock_timeout_ms=200,
    )

    def count() -> None:
        acknowledged[0] += 1

    player = Player(
        store,
        lambda key: shares[_share(key)].history,
        actor,
        seed=f"{seed} {actor}",
        keys=plan.sessions,
        on_ack=count,
    )
    steps = 0
    while not stop[0]:
        player.step()
        steps += 1
        if watched is not None and steps % LOOK_EVERY_STEPS == 0:
            _look(watched)
        time.sleep(plan.pause)
    store.close()


def _share(key: str) -> int:
    # Another name for a session belongs to the key that it was made for.
    return crc32(key.partition(ALIAS)[0].encode()) % SHARES


def _look(path: Path) -> None:
    """Note what this process has open, and how much memory it takes."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[1])
    with path.open("a", encoding="ascii") as file:
        print(len(os.listdir("/proc/self/fd")), pages * os.sysconf("SC_PAGESIZE"), file=file)


def _flat(path: Path, played: Played, plan: Plan) -> None:
    """See that an elder has not grown, from its second quarter to its last."""
    looks = [
        tuple(map(int, line.split())) for line in path.read_text(encoding="ascii").splitlines()
    ]
    quarter = len(looks) // 4
    if not quarter:
        played.violations.append(f"void: the elder {path.name} was looked at {len(looks)} times")
        return
    for place, what, small in (
        (0, "descriptors", plan.small_files),
        (1, "bytes", plan.small_bytes),
    ):
        early = max(look[place] for look in looks[quarter : 2 * quarter])
        late = max(look[place] for look in looks[-quarter:])
        played.counts[f"elder {path.name}: {what}, before"] = early
        played.counts[f"elder {path.name}: {what}, in the end"] = late
        if late > early * GROWTH and late > early + small:
            played.violations.append(f"the elder {path.name} grew from {early} to {late} {what}")


def _judge(root: Path, notes: Path, share: int) -> dict[str, Any]:
    """Judge one share of the sessions, in a process of its own."""
    history = written_in(notes, f"{share}.*")
    known = {one.answer for one in history.operations if one.kind == "resolve"}
    final = run(read_final(_Share(root, share, known), name_of))
    wrong = [*check(history, final), *stale(root, history), *risen(root, history)]
    wrong += [f"met: {one.facts['error']}" for one in history.operations if told(one)]
    outcomes = Counter(f"{one.outcome} {one.kind}" for one in history.operations)
    return {"violations": wrong[:20], "counts": outcomes}


class _Share:
    """A store, of which only the sessions of one share are seen."""

    def __init__(self, root: Path, share: int, known: set[str]) -> None:
        self._engine = open_store(root)._engine
        self._share = share
        self._known = known

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)

    async def get_all_keys(self) -> list[str]:
        """Return the keys of this share."""
        return [key for key in await self._engine.get_all_keys() if _share(key) == self._share]

    async def get_all_session_ids(self) -> list[str]:
        """Return the sessions of this share, also those that nobody here has heard of."""
        ids = {await self._engine.get_session_id(key) for key in await self.get_all_keys()}
        everything = await self._engine.get_all_session_ids()
        return [one for one in everything if one in ids or one in self._known]


def _check(root: Path) -> dict[str, Any]:
    report = open_store(root).check()
    found = Counter(finding.code for finding in report.findings)
    wrong = [
        f"check found {finding.code} in {finding.path}: {finding.detail}"
        for finding in report.findings
        if finding.severity == "error" or finding.code not in AFTER_A_KILL
    ]
    counts = {f"found {code}": count for code, count in found.items()}
    counts |= {"sessions": report.sessions, "messages": report.messages}
    return {"violations": wrong[:20], "counts": counts}
