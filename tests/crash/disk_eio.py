"""A store through one failed sync after the other, on a disk that lies (see `disk_lying`)."""

import itertools
from contextlib import nullcontext
from pathlib import Path

from disk_children import answer_of
from disk_judge import Verdict, judge
from disk_lying import LyingDisk, synced_again_in_place
from disk_work import Worker, open_store, rotate_often

from session_store.errors import AppendUnknownError, FileSystemError
from session_store.testing.history import History

STEPS = 30
LEAST_ACKNOWLEDGED = 4


def fail_nth_sync(
    folder: Path, nth: int, *, seed: int, for_good: bool = False, in_place: bool = False
) -> Verdict | None:
    """Return the verdict on a store whose N-th sync fails; None if it needs fewer syncs.

    The first messages are acknowledged before that. A process of its own does it.
    """
    answer = answer_of(lambda: _fail(folder, nth, seed, for_good, in_place))
    return None if answer is None else Verdict(**answer)


def _fail(
    folder: Path, nth: int, seed: int, for_good: bool, in_place: bool
) -> dict[str, object] | None:
    ticks = itertools.count(1)
    history = History(lambda: float(next(ticks)))
    rotate_often()
    before = _syncs_before(folder / "dry", seed)
    disk = LyingDisk(before + nth, for_good=for_good)
    root = folder / "store"
    with disk.installed(), synced_again_in_place() if in_place else nullcontext():
        store = open_store(root, io_timeout_ms=50, lock_timeout_ms=60_000)
        worker = Worker(store, history, "w", seed=seed)
        _begin(worker)
        acknowledged = worker.acknowledged
        worker.work(STEPS, give_up_after=STEPS)
        unlike = [
            f"{type(error).__name__}: {error}"
            for error in worker.failures
            if isinstance(error, OSError)
            and not isinstance(error, FileSystemError | AppendUnknownError)
        ]
        if not disk.failures:
            return None
    after = disk.written_after_failure()
    disk.lay_out(root, folder / "left")
    disk.close()
    history.begin("power", "power_cut").ok()
    verdict = judge(folder / "left", history)
    if acknowledged < LEAST_ACKNOWLEDGED:
        verdict.violations.append(f"void: only {acknowledged} messages before the failure")
    if after:
        verdict.violations.append(f"{after} files were written to after their sync had failed")
    verdict.violations += unlike
    return {
        "violations": verdict.violations,
        "findings": verdict.findings,
        "messages": verdict.messages,
    }


def _syncs_before(root: Path, seed: int) -> int:
    """Return how many syncs the beginning takes, in which nothing fails."""
    with LyingDisk(0).installed() as disk:
        store = open_store(root, lock_timeout_ms=60_000)
        _begin(Worker(store, History(lambda: 0.0), "w", seed=seed))
    disk.close()
    return disk.calls


def _begin(worker: Worker) -> None:
    for key in ("key:0", "key:1"):
        session = worker.resolve(key)
        assert session is not None
        for _ in range(LEAST_ACKNOWLEDGED // 2):
            worker.append(session)
