"""All crash states of create, append, batch, index switch and delete, by a log of the disk.

Each sequence of one or two of these runs on a real file system whose disk writes down what it
is sent. Every state that a power cut can leave is made into an image, mounted, and judged by a
fresh process. `--amount` is the number of sequences, of 30. The negative controls come first:
no file is synced, and no folder, and losses must be found.

That folders are synced (PROTOCOLS A6) shows in no state of ext4 and XFS: their journals bring
the names along with any file. An index switch on ext2 shows it, which has none.
"""

import os
import random
import stat
import sys
from collections.abc import Callable
from itertools import product
from pathlib import Path
from typing import Any

import disk_fuse
from disk_campaign import Tally, arguments, say
from disk_children import Child
from disk_fuse import Disk, read_log
from disk_judge import HARMLESS, gathered, judge
from disk_mounts import copy_sparse, make_image, missing, mounted, own_mounts, repair_ext2, scratch
from disk_states import State, apply, epochs, known_at, states
from disk_work import Notes, open_store

from session_store.files import posix
from session_store.index import access
from session_store.sync import SessionStore
from session_store.testing.history import History

KINDS = ("ext4", "xfs")
OPERATIONS = ("create", "append", "batch", "switch", "delete")
SEQUENCES = [*product(OPERATIONS), *product(OPERATIONS, repeat=2)]
VIOLATIONS_A_SEQUENCE = 3

# Sectors out of order: the LF of a line that was never acknowledged may be there, and its middle
# not. Nobody can tell that from damage, so `check` names the line; what it must not hide is more.
TORN_LINES = HARMLESS | {"damaged_line", "damaged_checksum"}


class Script:
    """The operations, on a store of which some is there already."""

    def __init__(self, store: SessionStore, history: History, actor: str) -> None:
        self._store = store
        self._history = history
        self._actor = actor
        self._number = 0

    def prepare(self) -> None:
        """Have one session to append to, and two to delete."""
        for key in ("kept", "first", "second"):
            session = self._resolve(key)
            for _ in range(3):
                self._say(session)

    def run(self, operation: str) -> None:
        """Do one of `OPERATIONS`."""
        self._number += 1
        getattr(self, f"_{operation}")()

    def _create(self) -> None:
        self._say(self._resolve(f"new:{self._number}"))

    def _append(self) -> None:
        self._say(self._resolve("kept"))

    def _batch(self) -> None:
        session = self._resolve("kept")
        names = [f"{self._actor}.{self._number}.{k}" for k in range(4)]
        messages = [{"type": "user", "content": f"{name} {'x' * 2_000}"} for name in names]
        call = self._history.begin(self._actor, "append_many", session, ids=names)
        self._store.append_many(session, messages)
        call.ok()

    def _switch(self) -> None:
        once = iter([True])
        access.outgrown = lambda base, place: next(once, False)
        self._store.add_key(f"alias:{self._number}", self._resolve("kept"))
        access.outgrown = _OUTGROWN

    def _delete(self) -> None:
        session = self._resolve("first" if self._number == 1 else "second")
        call = self._history.begin(self._actor, "delete", session)
        self._store.delete_session(session)
        call.ok()

    def _resolve(self, key: str) -> str:
        call = self._history.begin(self._actor, "resolve", key=key)
        session = self._store.resolve(key)
        call.ok(session)
        return session

    def _say(self, session: str) -> None:
        name = f"{self._actor}.{len(self._history.operations)}"
        call = self._history.begin(self._actor, "append", session, ids=[name])
        self._store.append(session, {"type": "user", "content": name})
        call.ok()


_OUTGROWN = access.outgrown


def main() -> int:
    """Run the campaign."""

    args = arguments(
        __doc__ or "",
        len(SEQUENCES),
        lambda parser: parser.add_argument("--kind", choices=KINDS),
    )
    tally = Tally("crash_states", "crash states", seeds=f"{args.seed}")
    try:
        own_mounts()
    except OSError as error:
        tally.skipped.append(f"everything: needs root on Linux ({error})")
        return tally.finish()
    if disk_fuse.NO_FUSE:
        tally.skipped.append(f"everything: {disk_fuse.NO_FUSE}")
        return tally.finish()
    _switch_without_journal(args.seed, tally)
    for kind in [args.kind] if args.kind else KINDS:
        reason = missing(kind)
        if reason is not None:
            tally.skipped.append(reason)
            continue
        with scratch() as folder:
            base = prepare(folder, kind)
            explored = (folder, kind, base)
            tally.control(
                f"{kind}, no file is synced",
                lambda control, explored=explored: explore(
                    *explored, ("append",), args.seed, control, unsafe=no_file_synced
                ),
            )
            for sequence in SEQUENCES[: args.amount]:
                explore(*explored, sequence, args.seed, tally)
        tally.require(f"{kind}: acknowledged before the cut", 1)
        say(f"{kind}: {tally.counts[kind]} states, {tally.violations} violations")
    return tally.finish()


def _switch_without_journal(seed: int, tally: Tally) -> None:
    reason = missing("ext2")
    if reason is not None:
        tally.skipped.append(reason)
        return
    with scratch() as folder:
        explored = (folder, "ext2", prepare(folder, "ext2"), ("switch",), seed)
        tally.control(
            "ext2, no folder is synced",
            lambda control: explore(*explored, control, unsafe=no_folder_synced),
        )
        explore(*explored, tally)


def no_file_synced() -> None:
    """Sync nothing in this process."""
    posix.fdatasync = posix.fsync = lambda fd: None


def no_folder_synced() -> None:
    """Sync files only in this process."""

    def fsync(fd: int) -> None:
        if not stat.S_ISDIR(os.fstat(fd).st_mode):
            os.fsync(fd)

    posix.fsync = fsync


def prepare(folder: Path, kind: str) -> tuple[Path, Path]:
    """Return an image with a store in it, and the notes of how it came there."""
    image, notes = make_image(folder / "base", kind), folder / "base-notes"
    with mounted(image, folder / "mnt", kind) as place:
        _in_child(lambda: _prepare(place / "store", notes))
    return image, notes


def _prepare(root: Path, notes: Path) -> None:
    written = Notes(notes, _Before())
    store = open_store(root)
    Script(store, written.history, "base").prepare()
    store.close()


class _Before:
    """Times before the first position of the disk's log."""

    def __init__(self) -> None:
        self._now = -1_000.0

    def __call__(self) -> float:
        self._now += 0.001
        return self._now


def explore(
    folder: Path,
    kind: str,
    base: tuple[Path, Path],
    sequence: tuple[str, ...],
    seed: int,
    tally: Tally,
    unsafe: Callable[[], object] | None = None,
) -> None:
    """Run the sequence once, and judge every state of its disk."""
    image, notes, log = folder / "image", folder / "notes", folder / "log"
    for old in (notes, log):
        old.unlink(missing_ok=True)
    copy_sparse(base[0], image)
    with (
        Disk(image, log, folder / "fuse").running() as disk,
        mounted(disk.file, folder / "mnt", kind) as place,
    ):
        start = int(disk.position)
        _in_child(lambda: _play(place / "store", notes, sequence, disk, unsafe))
    history = gathered(base[1], notes)
    played = read_log(log)
    copy_sparse(base[0], image)
    apply(image, [write for entry in played[:start] for write in entry if write.data])
    chance = random.Random(f"{seed} {kind} {sequence}")
    bad = tally.violations
    for epoch in epochs(played, start):
        for state in states(epoch, chance):
            _judge(folder, kind, image, state, history, tally, f"{seed} {kind} {sequence}")
            if tally.violations >= bad + VIOLATIONS_A_SEQUENCE:
                return
        apply(image, epoch.writes)


def _play(
    root: Path,
    notes: Path,
    sequence: tuple[str, ...],
    disk: Disk,
    unsafe: Callable[[], object] | None,
) -> None:
    calls = [0]

    def clock() -> float:
        # Calls between two writes have an order too.
        calls[0] += 1
        return disk.position + calls[0] * 1e-6

    if unsafe:
        unsafe()
    store = open_store(root)
    script = Script(store, Notes(notes, clock).history, "s")
    for operation in sequence:
        script.run(operation)


def _judge(
    folder: Path,
    kind: str,
    image: Path,
    state: State,
    history: History,
    tally: Tally,
    seed: str,
) -> None:
    after, place = folder / "state", folder / "mnt"
    copy_sparse(image, after)
    apply(after, state.writes)
    known = known_at(history, state.position)
    if state.torn:
        _allow_parts(known)
    tally.counts[kind] += 1
    tally.counts["torn"] += state.torn
    tally.counts[f"{kind}: acknowledged before the cut"] += sum(
        one.actor == "s" and one.outcome == "ok" for one in known.operations
    )
    try:
        if kind == "ext2":
            repair_ext2(after)
        with mounted(after, place, kind):
            verdict = judge(place / "store", known, harmless=TORN_LINES if state.torn else HARMLESS)
    except OSError as error:
        if not state.torn:
            raise
        # A torn block of its own: that is for its fsck, and there is no store to judge.
        tally.counts[f"{kind} refused to mount a torn state ({error.errno})"] += 1
        return
    tally.judged(f"{seed}, position {state.position}, {state.name}", verdict)


def _allow_parts(known: History) -> None:
    """Let a batch that was never acknowledged be there in part, as its damaged line is named.

    With its last lines there and a sector in the midst of it not, it cannot be told from an
    acknowledged one that was damaged later, and of such a one the rest must stay readable.
    """
    for one in known.operations:
        if one.kind == "append_many" and one.outcome == "unknown":
            one.kind = "append"


def _in_child(work: Callable[[], Any]) -> None:
    child = Child(work)
    if child.wait():
        raise RuntimeError(f"a child ended with {child.status}")


if __name__ == "__main__":
    sys.exit(main())
