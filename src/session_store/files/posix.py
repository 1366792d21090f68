"""The system calls that fail in ways that matter, each at one place.

The room calls them as `posix.fsync(…)`, so that a test can put a failing disk in here.
"""

import errno
import fcntl
import os
import stat
import sys
import time
from types import TracebackType
from typing import Final

from session_store.errors import SessionStoreError, StorageFullError, UnavailableError

READ_CHUNK_BYTES: Final = 1 << 20
LONGEST_PAUSE_SECONDS: Final = 0.005
FIRST_PAUSE_SECONDS: Final = 0.000_05

_FULL: Final = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class BusyError(Exception):
    """Somebody else holds the flock just now. Never leaves this room."""


class MovedError(Exception):
    """The folder is no longer where its path says. Never leaves this room."""


class translated:  # noqa: N801  (reads as a statement: `with translated(path):`)
    """Turns an `OSError` from inside into the typed error for `path`.

    With `unknown` something has been changed before: the error says so, whatever went wrong.
    """

    __slots__ = ("_path", "_unknown")

    def __init__(self, path: str, *, unknown: bool = False) -> None:
        self._path = path
        self._unknown = unknown

    def __enter__(self) -> None:
        return None

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        _: TracebackType | None,
    ) -> None:
        if isinstance(error, OSError) and not isinstance(error, SessionStoreError):
            if self._unknown:
                raise UnavailableError(self._path, reason_of(error), unknown=True) from error
            raise translate(self._path, error) from error


def translate(path: str, error: OSError) -> StorageFullError | UnavailableError:
    """Return the typed error; its text has no absolute path, only what went wrong."""
    reason = reason_of(error)
    if error.errno in _FULL:
        return StorageFullError(path, reason)
    return UnavailableError(path, reason)


def reason_of(error: OSError) -> str:
    """Return what went wrong, without the name of the file."""
    return error.strerror or type(error).__name__


def fdatasync(fd: int) -> None:
    """Bring the bytes of `fd`, and its size, to the disk."""
    if sys.platform == "darwin":
        # There fsync leaves the bytes in the drive's own cache.
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    else:
        os.fdatasync(fd)


def fsync(fd: int) -> None:
    """Bring a new file, or the names in a folder, to the disk."""
    if sys.platform == "darwin":
        fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
    else:
        os.fsync(fd)


def lock(fd: int) -> None:
    """Take the flock of `fd`, or raise `BusyError` at once."""
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise BusyError from None


def lock_within(fd: int, seconds: float) -> None:
    """Take the flock of `fd`, blocking this thread for at most `seconds`, else `BusyError`."""
    deadline = time.monotonic() + seconds
    while True:
        try:
            return lock(fd)
        except BusyError:
            if time.monotonic() >= deadline:
                raise
        time.sleep(LONGEST_PAUSE_SECONDS)


def unlock(fd: int) -> None:
    """Give the flock of `fd` back.

    Said aloud and not left to `close`: a child that was forked meanwhile has the
    descriptor too, and with it the lock.
    """
    try:
        fcntl.flock(fd, fcntl.LOCK_UN)
    except OSError:
        # What was done under the lock is done: no caller may take this for its failure.
        with translated("", unknown=True):
            fcntl.flock(fd, fcntl.LOCK_UN)


def status(path: str, *, folder: int | None = None) -> os.stat_result | None:
    """Return what stands at `path` itself, never what a link points to; None for nothing."""
    try:
        return os.stat(path, dir_fd=folder, follow_symlinks=False)
    except (FileNotFoundError, NotADirectoryError):
        return None


def is_regular(path: str, found: os.stat_result) -> bool:
    """Return whether there is a file; False for a folder; refuse whatever else it may be."""
    if stat.S_ISREG(found.st_mode):
        return True
    if stat.S_ISDIR(found.st_mode):
        return False
    if stat.S_ISLNK(found.st_mode):
        raise link_refused(path)
    raise UnavailableError(path, "it is neither a file nor a folder")


def link_refused(path: str, name: str = "") -> UnavailableError:
    """Return the error for a link at `path`, or at its component `name`."""
    what = f"{name!r}" if name else "it"
    return UnavailableError(path, f"{what} is a symbolic link, and links are never followed")


def read_range(fd: int, start: int, count: int) -> bytes:
    """Return `count` bytes from `start`, fewer if the file ends before."""
    data = os.pread(fd, count, start)
    if len(data) == count or not data:
        return data
    pieces = [data]
    got = len(data)
    while got < count and (data := os.pread(fd, count - got, start + got)):
        pieces.append(data)
        got += len(data)
    return b"".join(pieces)


def write_all(fd: int, data: bytes) -> None:
    """Write `data` where `fd` stands."""
    written = os.write(fd, data)
    while written < len(data):
        written += os.write(fd, memoryview(data)[written:])


def append_all(fd: int, path: str, start: int, data: bytes) -> None:
    """Add `data` to a file of `start` bytes, wholly or not at all; call it under the flock."""
    written = 0
    try:
        # One call: a record then stays whole even if this process is killed.
        written = os.write(fd, data)
        while written < len(data):
            written += os.write(fd, memoryview(data)[written:])
    except OSError:
        if written:
            with translated(path, unknown=True):
                _take_back(fd, path, start, written)
        raise


def _take_back(fd: int, path: str, start: int, written: int) -> None:
    # Under the flock nobody else can have added anything; what did so without it is kept.
    if os.fstat(fd).st_size != start + written:
        reason = "part of the bytes were written and could not be undone"
        raise UnavailableError(path, reason, unknown=True)
    os.ftruncate(fd, start)
