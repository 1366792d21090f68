"""Syncs that fail: every N-th one, once and for good, on disks that lie about it afterwards.

On real file systems the disk below them refuses its N-th write, write of lines or flush (`ext4`,
`xfs`; a program stands below a loop device); besides, the N-th call of fsync or fdatasync fails
(`calls`). Nothing acknowledged may be lost. `--amount` is the number of failures of each of the
three. The negative controls come first: what failed is synced again in place (no A7).
"""

import itertools
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import disk_fuse
from disk_campaign import Tally, arguments, say
from disk_children import Child, Numbers
from disk_eio import fail_nth_sync
from disk_fuse import Disk
from disk_judge import gathered, judge
from disk_lying import synced_again_in_place
from disk_mounts import copy_sparse, make_image, missing, mounted, own_mounts, scratch
from disk_work import Notes, Worker, open_store, rotate_often

from session_store.files.logs import Log
from session_store.files.syncing import Syncing
from session_store.testing.history import History

KINDS = ("ext4", "xfs")
STEPS = 25
LEAST_ACKNOWLEDGED = 4
CONTROL = 12
FAULTS = ("data", "write", "flush")
FURTHEST = 24
"""The N-th of so many; behind it come the same with another seed."""


def main() -> int:
    """Run the campaign."""

    args = arguments(
        __doc__ or "",
        400,
        lambda parser: parser.add_argument("--kind", choices=("calls", *KINDS)),
    )
    tally = Tally("failed_fsync", "failures", seeds=f"from {args.seed}")
    if args.kind in (None, "calls"):
        tally.control("calls, no copy", lambda control: _calls(CONTROL, args.seed, control, True))
        _calls(args.amount, args.seed, tally)
    try:
        own_mounts()
    except OSError as error:
        tally.skipped.append(f"ext4, xfs: need root on Linux ({error})")
        return tally.finish()
    for kind in [args.kind] if args.kind else KINDS:
        if kind == "calls":
            continue
        reason = f"{kind}: {disk_fuse.NO_FUSE}" if disk_fuse.NO_FUSE else missing(kind)
        if reason is not None:
            tally.skipped.append(reason)
            continue
        if kind == "ext4":  # there what is written behind a failure is lost as well
            tally.control(
                "ext4, no copy", lambda control: _blocks("ext4", CONTROL, args.seed, control, True)
            )
        _blocks(kind, args.amount, args.seed, tally)
    return tally.finish()


def _calls(amount: int, seed: int, tally: Tally, unsafe: bool = False) -> None:
    done = 0
    while done < amount:
        for for_good in (False, True):
            for nth in itertools.count(1):
                if done == amount:
                    break
                with scratch() as folder:
                    verdict = fail_nth_sync(
                        folder, nth, seed=seed, for_good=for_good, in_place=unsafe
                    )
                if verdict is None:
                    break
                done += 1
                tally.judged(f"calls {seed}, {nth}{' for good' * for_good}", verdict)
        seed += 1
    tally.counts["calls"] += done
    _tell(tally, f"calls: {done} failures, {tally.violations} violations")


def _tell(tally: Tally, line: str) -> None:
    if not tally.quiet:
        say(line)


def _blocks(kind: str, amount: int, seed: int, tally: Tally, unsafe: bool = False) -> None:
    with scratch() as folder:
        base = make_image(folder / "base", kind)
        for number in range(amount):
            what = FAULTS[number % 3]
            for_good = bool(number // 3 % 2)
            nth = number // 6 % FURTHEST + 1
            now = seed + number // (6 * FURTHEST)
            _fail_block(kind, folder, base, now, (what, nth, for_good), tally, unsafe)
    if not unsafe:
        tally.require(f"{kind}: the disk refused", amount // 2)
        tally.require(f"{kind}: saved in a new inode", amount // 10)
    _tell(
        tally,
        f"{kind}: {tally.counts[f'{kind}: failures']} failures, {tally.violations} violations",
    )


def _fail_block(
    kind: str,
    folder: Path,
    base: Path,
    seed: int,
    fault: tuple[str, int, bool],
    tally: Tally,
    unsafe: bool,
) -> None:
    image, notes = folder / "image", folder / "notes"
    what, nth, for_good = fault
    name = f"{kind} {seed}, {what} {nth}{' for good' * for_good}"
    notes.unlink(missing_ok=True)
    copy_sparse(base, image)
    counted = Numbers(2)
    with (
        Disk(image, folder / "log", folder / "fuse").running() as disk,
        mounted(disk.file, folder / "mnt", kind) as place,
    ):
        child = Child(lambda: _work(place / "store", notes, seed, disk, fault, counted, unsafe))
        if child.wait():
            raise RuntimeError(f"{name}: the worker ended with {child.status}")
        refused = disk.failed
        disk.heal()
    if not refused:
        tally.counts[f"{kind}: too short to fail"] += 1
        return
    cut = History(time.monotonic)
    cut.begin("power", "power_cut").ok()
    history = gathered(notes)
    history.operations += cut.operations
    with mounted(image, folder / "mnt", kind) as place:
        verdict = judge(place / "store", history)
    if counted[0] < LEAST_ACKNOWLEDGED:
        verdict.violations.append(f"void: only {counted[0]} messages before the failure")
    tally.judged(name, verdict)
    tally.counts[f"{kind}: failures"] += 1
    tally.counts[f"{kind}: the disk refused"] += 1
    tally.counts[f"{kind}: saved in a new inode"] += counted[1]


def _work(
    root: Path,
    notes: Path,
    seed: int,
    disk: Disk,
    fault: tuple[str, int, bool],
    counted: Numbers,
    unsafe: bool,
) -> None:
    what, nth, for_good = fault
    rotate_often()
    _count_saved(counted)
    written = Notes(notes, time.monotonic)
    with synced_again_in_place() if unsafe else nullcontext():
        store = open_store(root, io_timeout_ms=100, lock_timeout_ms=60_000)
        worker = Worker(store, written.history, "w", seed=seed)
        for key in ("key:0", "key:1"):
            session = worker.resolve(key)
            for _ in range(LEAST_ACKNOWLEDGED // 2):
                worker.append(session or "")
        counted[0] = worker.acknowledged
        disk.fail(**{what: nth}, for_good=for_good)
        worker.work(STEPS, give_up_after=STEPS)


def _count_saved(counted: Numbers) -> None:
    repair = Syncing._repair

    def counting(self: Syncing, log: Log, *args: object) -> bool:
        saved = repair(self, log, *args)  # type: ignore[arg-type]
        counted[1] += 1
        return saved

    Syncing._repair = counting  # type: ignore[method-assign]


if __name__ == "__main__":
    sys.exit(main())
