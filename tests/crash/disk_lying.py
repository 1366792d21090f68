"""A disk whose N-th sync fails, and that lies about it from then on, as Linux does.

Measured on ext4, XFS and btrfs: the first fdatasync says EIO, the next one OK; the cache shows
the bytes, the disk has NULs. What this disk really has can be laid out in a folder of its own.
"""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from session_store.files import posix
from session_store.files.logs import Log
from session_store.files.syncing import Syncing


@dataclass(slots=True)
class _Inode:
    fd: int
    durable: bytes = b""
    when_failed: bytes | None = None


class LyingDisk:
    """Stands in the place of fsync and fdatasync; the `fail_at`-th call fails (0: none)."""

    def __init__(self, fail_at: int, *, for_good: bool = False) -> None:
        self.calls = 0
        self.failures = 0
        self._fail_at = fail_at
        self._for_good = for_good
        # Held open, so that no number of an inode is given out twice.
        self._inodes: dict[int, _Inode] = {}

    @contextmanager
    def installed(self) -> Iterator["LyingDisk"]:
        """Be the disk of this process."""
        kept = posix.fdatasync, posix.fsync
        posix.fdatasync = posix.fsync = self._sync
        try:
            yield self
        finally:
            posix.fdatasync, posix.fsync = kept

    def written_after_failure(self) -> int:
        """Return into how many files something was written after their sync had failed."""
        return sum(
            inode.when_failed is not None and inode.when_failed != _content(inode.fd)
            for inode in self._inodes.values()
        )

    def lay_out(self, root: Path, target: Path) -> None:
        """Make `target` what a power cut would leave of `root`; names are all there."""
        for folder, _, names in os.walk(root):
            there = target / Path(folder).relative_to(root)
            there.mkdir()
            for name in names:
                found = os.stat(Path(folder) / name)
                inode = self._inodes.get(found.st_ino)
                data = b"" if inode is None else inode.durable
                if inode is not None and inode.when_failed is not None:
                    data += bytes(found.st_size - len(data))
                (there / name).write_bytes(data)

    def close(self) -> None:
        """Let go of the files."""
        for inode in self._inodes.values():
            os.close(inode.fd)
        self._inodes.clear()

    def _sync(self, fd: int) -> None:
        self.calls += 1
        inode = self._inode(fd)
        due = self.calls == self._fail_at or (self._for_good and 0 < self._fail_at < self.calls)
        if due:
            self.failures += 1
            if inode is not None:
                inode.when_failed = _content(inode.fd)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        if inode is not None and inode.when_failed is None:
            inode.durable = _content(inode.fd)

    def _inode(self, fd: int) -> _Inode | None:
        path = f"/proc/self/fd/{fd}"
        if os.path.isdir(path):
            return None
        number = os.fstat(fd).st_ino
        if number not in self._inodes:
            self._inodes[number] = _Inode(os.open(path, os.O_RDONLY | os.O_CLOEXEC))
        return self._inodes[number]


def _content(fd: int) -> bytes:
    return os.pread(fd, os.fstat(fd).st_size, 0)


@contextmanager
def synced_again_in_place() -> Iterator[None]:
    """The negative control: a failed sync is asked for again, and the file written on (no A7)."""
    kept = Syncing._repair

    def again(self: Syncing, log: Log, *_: object) -> Log:
        posix.fdatasync(log.descriptor.fd)
        with log.mutex:
            log.failed = False
        self._logs.settle(log)
        return log

    Syncing._repair = again  # type: ignore[method-assign]
    try:
        yield
    finally:
        Syncing._repair = kept  # type: ignore[method-assign]
