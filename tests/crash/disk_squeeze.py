"""A store in need: no space, no descriptors, no permission … and then again enough.

Every shortage is played the same way: some messages are acknowledged, the shortage comes, every
kind of call is made, the shortage goes, all goes on, and a fresh process judges what is there.
"""

import errno
import os
import resource
import shutil
import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path
from typing import Any

from disk_children import answer_of, become_nobody
from disk_judge import Verdict, judge
from disk_work import Worker, name_of, open_store

from session_store.errors import (
    AppendUnknownError,
    NotLockOwnerError,
    SessionStoreError,
    StorageFullError,
    UnavailableError,
)
from session_store.files import posix
from session_store.sync import SessionStore
from session_store.testing.history import History

KEYS = ("key:0", "key:1", "key:2", "key:3")
LEAST_ACKNOWLEDGED = 8
MOST_TRIES = 200

FULL = (StorageFullError, AppendUnknownError)
REFUSED = (UnavailableError, AppendUnknownError)


class Shortage:
    """What a store lacks for a while. `begin` and `end` run in its process."""

    allowed: tuple[type[SessionStoreError], ...] = FULL
    """What the first append that is refused may raise."""

    readable = True
    """Whether everything can be read while it lasts."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def begin(self) -> None:
        """Let it come."""

    def end(self) -> None:
        """Let it go."""


class Filler(Shortage):
    """The disk is full of another's bytes."""

    def begin(self) -> None:
        """Fill it to the last byte."""
        self._filler = self.root.parent / "filler"
        with self._filler.open("wb", buffering=0) as file:
            with suppress(OSError):
                os.posix_fallocate(file.fileno(), 0, _free(self.root) - (256 << 10))
            file.seek(0, os.SEEK_END)
            for size in (1 << 16, 1 << 9, 1):
                with suppress(OSError):
                    while file.write(b"f" * size):
                        pass
            with suppress(OSError):
                os.fsync(file.fileno())

    def end(self) -> None:
        """Remove what filled it."""
        self._filler.unlink()


class NoInodes(Shortage):
    """There is space, but there are no files to be had."""

    def begin(self) -> None:
        """Make files until there are no more."""
        self._crowd = self.root.parent / "crowd"
        self._crowd.mkdir()
        with suppress(OSError):
            for number in range(1_000_000):
                (self._crowd / str(number)).touch()

    def end(self) -> None:
        """Remove them."""
        shutil.rmtree(self._crowd)


class FileSize(Shortage):
    """No file may grow beyond a limit (RLIMIT_FSIZE)."""

    def begin(self) -> None:
        """Set the limit a little above the largest file."""
        largest = max(path.stat().st_size for path in self.root.rglob("*") if path.is_file())
        resource.setrlimit(resource.RLIMIT_FSIZE, (largest + 700, resource.RLIM_INFINITY))

    def end(self) -> None:
        """Take it away."""
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))


class NoDescriptors(Shortage):
    """Nothing more can be opened (RLIMIT_NOFILE)."""

    allowed = REFUSED
    readable = False

    def begin(self) -> None:
        """Take all that are left."""
        self._limits = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, self._limits[1]))
        self._taken: list[int] = []
        with suppress(OSError):
            while True:
                self._taken.append(os.open("/", os.O_RDONLY))

    def end(self) -> None:
        """Give them back."""
        for fd in self._taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, self._limits)


class NoPermission(Shortage):
    """What is there may be read and not changed. Root is asked to be nobody for this."""

    allowed = REFUSED

    def begin(self) -> None:
        """Take the permission to write from every folder and file."""
        self._set(0o500, 0o400)

    def end(self) -> None:
        """Give it back."""
        self._set(0o700, 0o600)

    def _set(self, folders: int, files: int) -> None:
        for path in [self.root, *self.root.rglob("*")]:
            path.chmod(folders if path.is_dir() else files)


class Quota(Shortage):
    """The system says that the user has used up what is his (EDQUOT), in the midst of a write."""

    def begin(self) -> None:
        """Let every second write be short, and all others be refused."""
        posix.os = _OutOfQuota()  # type: ignore[attr-defined]

    def end(self) -> None:
        """Let all be as it was."""
        posix.os = os  # type: ignore[attr-defined]


class _OutOfQuota:
    def __init__(self) -> None:
        self._short = False

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)

    def write(self, fd: int, data: bytes) -> int:
        self._short = not self._short
        if self._short and len(data) > 1:
            return os.write(fd, bytes(data)[: len(data) // 2])
        raise OSError(errno.EDQUOT, os.strerror(errno.EDQUOT))


class RemovedMount(Shortage):
    """The disk was taken away: where it was mounted there is an empty folder."""

    allowed = REFUSED
    readable = False

    def begin(self) -> None:
        """Put the empty folder in its place."""
        self.root.rename(self.root.with_name("elsewhere"))
        self.root.mkdir()

    def end(self) -> None:
        """Take it away again, empty as it was, or this fails."""
        self.root.rmdir()
        self.root.with_name("elsewhere").rename(self.root)


class MovedRoot(Shortage):
    """Somebody moved the folder away, and moves it back."""

    allowed = REFUSED
    readable = False

    def begin(self) -> None:
        """Move it away."""
        self.root.rename(self.root.with_name("elsewhere"))

    def end(self) -> None:
        """Move it back: nobody has made another in its place, or this fails."""
        self.root.with_name("elsewhere").rename(self.root)


def endure(shortage: Shortage, *, seed: int, nobody: bool = False, fresh: bool = False) -> Verdict:
    """Return the verdict on a store that went through a shortage.

    With `nobody` root gives up its rights for it; with `fresh` the store is opened during it.
    """
    told = answer_of(lambda: _endure(shortage, seed, nobody, fresh))
    verdict = judge(shortage.root, History.merged(told["history"]), harmless=())
    verdict.violations += told["violations"]
    verdict.findings |= told["findings"]
    return verdict


def _endure(shortage: Shortage, seed: int, nobody: bool, fresh: bool) -> dict[str, Any]:
    # Not in a file: the shortage would be its too.
    history = History(time.monotonic)
    if nobody:
        become_nobody()
    play = _Play(shortage, history, seed)
    play.before()
    if fresh:
        play.store.close()
        shortage.begin()
        play.open()
    else:
        shortage.begin()
    try:
        play.during()
    finally:
        shortage.end()
    play.after()
    return {
        "violations": play.violations,
        "findings": play.counts,
        "history": list(history.lines()),
    }


class _Play:
    """The three acts, in the process of the store."""

    def __init__(self, shortage: Shortage, history: History, seed: int) -> None:
        self.violations: list[str] = []
        self.counts: dict[str, int] = {}
        self._shortage = shortage
        self._history = history
        self._seed = seed
        self._errors: list[SessionStoreError] = []
        self._opened = 0
        self._sessions: list[str] = []
        self.open()

    def open(self) -> None:
        """Open the store."""
        self._opened += 1
        self.store: SessionStore = open_store(
            self._shortage.root, io_timeout_ms=100, lock_timeout_ms=600_000
        )
        actor = f"w{self._opened}"
        self.worker = Worker(self.store, self._history, actor, seed=self._seed)

    def before(self) -> None:
        """Acknowledge some messages, and take a lock."""
        for key in KEYS:
            session = self.worker.resolve(key)
            assert session is not None
            self._sessions.append(session)
            for _ in range(LEAST_ACKNOWLEDGED // len(KEYS)):
                self.worker.append(session)
        if self.worker.acknowledged < LEAST_ACKNOWLEDGED:
            self.violations.append("void: hardly anything was acknowledged before")
        self.store.acquire_lock(self._sessions[1], "owner")

    def during(self) -> None:
        """Make every kind of call while it lasts."""
        self._append_until_refused()
        kept, locked, _, doomed = self._sessions
        for name, call in self._calls(kept, locked, doomed):
            self._try(name, call)
        if self._shortage.readable:
            for session in self._sessions[:3]:
                self._read(session)
        self._try("check", self.store.check)
        refused = [error for error in self.worker.failures if not _is_gone(error)] + self._errors
        self.violations += [
            f"the wrong error: {type(error).__name__}: {error}"
            for error in refused
            if not isinstance(error, self._shortage.allowed)
        ]
        if not refused:
            self.violations.append("void: nothing was refused")

    def _calls(
        self, kept: str, locked: str, doomed: str
    ) -> Iterable[tuple[str, Callable[[], object]]]:
        store, worker = self.store, self.worker
        yield "batch", lambda: worker.append_many(kept) or _raise_last(worker)
        yield "resolve", lambda: store.resolve(f"another:{self._seed}")
        yield "metadata", lambda: store.update_metadata(kept, {"user_id": "somebody"})
        yield "branch", lambda: store.create_branch(kept, "main")
        yield "list", lambda: store.list_sessions(limit=10)
        yield "snapshot", lambda: store.flush(snapshot=True)
        yield "release", lambda: store.release_lock(locked, "owner")
        yield "delete", lambda: worker.delete(doomed) or _raise_last(worker)

    def after(self) -> None:
        """Go on: everything works again, in this process too."""
        kept, locked, *_ = self._sessions
        for session in self._sessions[:3]:
            if self.worker.append(session) is None:
                self.violations.append(f"afterwards no append: {self.worker.failures[-1]!r}")
            self._read(session)
        try:
            with self.store.lock(locked, "owner"):
                self.worker.append(locked)
            self.store.resolve(f"another:{self._seed}:after")
            self.store.update_metadata(kept, {"user_id": "again"})
            if self.store.has_session(self._sessions[3]):
                self.worker.delete(self._sessions[3])
            if self.store.has_session(self._sessions[3]):
                self.violations.append("afterwards the session cannot be deleted")
            self.store.close()
        except SessionStoreError as error:
            self.violations.append(f"afterwards: {type(error).__name__}: {error}")

    def _append_until_refused(self) -> None:
        """Append for a while: into a log that is open this may go well all the time."""
        before = len(self.worker.failures)
        for number in range(MOST_TRIES):
            self.worker.append(self._sessions[number % 3])
            if len(self.worker.failures) > before:
                return

    def _read(self, session: str) -> None:
        call = self._history.begin("reader", "read", session)
        try:
            call.ok([name_of(message) for message in self.store.get_messages(session)])
        except SessionStoreError as error:
            call.fail(error)
            self.violations.append(f"not readable: {type(error).__name__}: {error}")

    def _try(self, name: str, call: Callable[[], object]) -> None:
        try:
            call()
        except SessionStoreError as error:
            self.counts[f"{name}: {type(error).__name__}"] = 1
            self._errors += [] if _is_gone(error) else [error]
        except Exception as error:
            self.violations.append(f"{name} raised {type(error).__name__}: {error}")
        else:
            self.counts[f"{name}: done"] = 1


def _is_gone(error: SessionStoreError) -> bool:
    # A lock that could not be released is no longer ours; a store that was opened anew has none.
    return isinstance(error, NotLockOwnerError)


def _raise_last(worker: Worker) -> None:
    raise worker.failures[-1]


def _free(folder: Path) -> int:
    found = os.statvfs(folder)
    return found.f_bavail * found.f_frsize
