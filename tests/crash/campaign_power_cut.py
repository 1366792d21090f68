"""Power cuts at random moments under a store on real file systems: `--amount` of each.

Two processes work on a store in a mounted image; the file system is frozen as a power cut
would, they are killed, the image is mounted again, and a fresh process judges what is left. A
store goes through several cuts. The negative control comes first: nothing is synced, yet it is
judged as if it were, and losses must be found.
"""

import random
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from disk_campaign import Tally, arguments, say
from disk_children import Child, Numbers, wait_until
from disk_judge import gathered, judge
from disk_mounts import (
    copy_sparse,
    cut_power,
    make_image,
    missing,
    mount_image,
    own_mounts,
    scratch,
    unmount,
)
from disk_work import Notes, Worker, open_store, rotate_often

from session_store.testing.history import APPENDS, NEVER, History

KINDS = ("ext4", "xfs")
KEEPERS = {"a folder": "store", "SQLite": "store.db"}
WRITERS = 2
CUTS_A_LIFE = 8
CONTROL_LIVES = 8
LEAST_ACKNOWLEDGED = 6
"""So many messages each writer was answered before the power goes: else the cut does not count."""


def main() -> int:
    """Run the campaign."""
    args = arguments(__doc__ or "", 200)
    last = args.seed + args.amount - 1
    seeds = f"{args.seed}-{last} of each file system, of a folder and of SQLite"
    tally = Tally("power_cut", "power cuts", seeds=seeds)
    try:
        own_mounts()
    except OSError as error:
        tally.skipped.append(f"everything: needs root on Linux ({error})")
        return tally.finish()
    for kind in KINDS:
        reason = missing(kind)
        if reason is not None:
            tally.skipped.append(reason)
            continue
        for keeper, name in KEEPERS.items():
            subject = Subject(kind, keeper, name)
            tally.control(
                f"{subject.title}, nothing is synced",
                lambda control, subject=subject: _lose(subject, args.seed, control),
            )
            for seed in range(args.seed, last + 1, CUTS_A_LIFE):
                live_through(subject, seed, min(CUTS_A_LIFE, last + 1 - seed), tally, False)
            cuts = tally.counts[subject.title]
            say(f"{subject.title}: {cuts} power cuts, {tally.violations} violations")
    return tally.finish()


class Subject(NamedTuple):
    """A file system, and what stands on it."""

    kind: str
    keeper: str
    name: str

    @property
    def title(self) -> str:
        """What the counts go by."""
        return f"{self.kind}, {self.keeper}"


def _lose(subject: Subject, seed: int, tally: Tally) -> None:
    """Live with nothing synced until something is lost; under SQLite every fourth cut does."""
    for life in range(CONTROL_LIVES):
        live_through(subject, seed + life * CUTS_A_LIFE, CUTS_A_LIFE, tally, True)
        if tally.violations:
            return


def live_through(subject: Subject, seed: int, cuts: int, tally: Tally, unsafe: bool) -> None:
    """Cut the power under one store, again and again."""
    kind = subject.kind
    with scratch() as folder:
        image = make_image(folder / "image", kind)
        files: list[Path] = []
        for cut in range(cuts):
            # A copy, so that nothing is left of the former mount but what it had written.
            copy_sparse(image, folder / "next")
            image = (folder / "next").replace(image)
            with _mounted(folder, image, kind) as place:
                acknowledged = _cut_once(place / subject.name, folder, files, seed + cut, unsafe)
            with _mounted(folder, image, kind) as place:
                notes = folder / f"judge-{cut}"
                verdict = judge(
                    place / subject.name,
                    _as_of_the_cut(gathered(*files)),
                    notes=notes,
                    clock=time.monotonic,
                    actor=f"j{cut}",
                )
            files.append(notes)
            verdict.violations += _answered_after(gathered(*files))
            tally.judged(f"{subject.title} {seed + cut}", verdict)
            tally.counts[subject.title] += 1
            tally.counts["acknowledged"] += acknowledged
            if verdict.violations:
                return  # the rest would only tell of it again


def _cut_once(root: Path, folder: Path, files: list[Path], seed: int, unsafe: bool) -> int:
    """Let writers work, cut the power and return how many messages were acknowledged."""
    chance = random.Random(seed)
    acknowledged = Numbers(WRITERS)
    writers: list[Child] = []
    try:
        for number in range(WRITERS):
            notes = folder / f"notes-{seed}-{number}"
            files.append(notes)
            work = _writer(root, notes, f"writer{seed}-{number}", seed, acknowledged, unsafe)
            writers.append(Child(lambda work=work, number=number: work(number)))
        least = LEAST_ACKNOWLEDGED + int(chance.expovariate(1 / 30))
        wait_until(
            lambda: (
                all(acknowledged[number] >= least for number in range(WRITERS))
                or any(writer.gone() for writer in writers)
            ),
            "acknowledged messages",
        )
        time.sleep(chance.random() * 0.004)  # the moment of the cut, no synchronisation
        notes = Notes(folder / f"cut-{seed}", time.monotonic)
        files.append(folder / f"cut-{seed}")
        cut = notes.history.begin(f"power{seed}", "power_cut")
        cut_power(root.parent)
        cut.ok()
    finally:
        for writer in writers:
            writer.kill()
    if any(writer.status not in (0, -9) for writer in writers):
        raise RuntimeError(f"a writer broke down: {[writer.status for writer in writers]}")
    return sum(acknowledged[number] for number in range(WRITERS))


def _answered_after(history: History) -> list[str]:
    """Return what a dead disk was said to have taken: calls that began when it was frozen."""
    cuts = {one.actor: one.ended for one in history.operations if one.kind == "power_cut"}
    return [
        f"{one.actor} was answered {one.kind}, which it began behind the cut"
        for one in history.operations
        if one.began > cuts.get(_power_of(one.actor), NEVER)
        if one.kind in (*APPENDS, "delete", "reset") and one.outcome == "ok"
    ]


def _power_of(actor: str) -> str:
    return actor.partition("-")[0].replace("writer", "power")


def _as_of_the_cut(history: History) -> History:
    """Return what was known when the power went: behind that nobody is answered any more.

    Here they still are, for the moment until they are killed. Measured: an fdatasync that is
    under way while ext4 or XFS is frozen may say OK although nothing more reached the disk.
    """
    cuts = {one.actor: one.began for one in history.operations if one.kind == "power_cut"}
    for one in history.operations:
        cut = cuts.get(_power_of(one.actor), NEVER)
        if one.kind != "power_cut" and cut < one.ended:
            one.outcome, one.ended, one.answer = "unknown", NEVER, None
    return history


def _writer(
    root: Path, notes: Path, actor: str, seed: int, acknowledged: Numbers, unsafe: bool
) -> Callable[[int], None]:
    def work(number: int) -> None:
        def count() -> None:
            acknowledged[number] += 1

        rotate_often()
        store = open_store(root, durability="os" if unsafe else "fsync", lock_timeout_ms=50)
        written = Notes(notes, time.monotonic)
        worker = Worker(store, written.history, actor, seed=seed, on_ack=count)
        worker.work(100_000)

    return work


@contextmanager
def _mounted(folder: Path, image: Path, kind: str) -> Iterator[Path]:
    place = folder / "mnt"
    mount_image(image, place, kind)
    try:
        yield place
    finally:
        unmount(place)


if __name__ == "__main__":
    sys.exit(main())
