"""A disk made of a program: it writes down every write and flush, and fails when told to.

A file in a FUSE mount of our own stands below a loop device, which carries a real file system.
What the kernel sends to that disk is kept in the order in which it came.
"""

import contextlib
import errno
import importlib
import os
import stat
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from disk_children import Child, Numbers, wait_until
from disk_mounts import unmount

fuse: Any = None
try:
    fuse = importlib.import_module("mfusepy")
    NO_FUSE = None if os.path.exists("/dev/fuse") else "no /dev/fuse"
except ImportError:
    NO_FUSE = "no mfusepy (pip install --group campaign)"
except OSError:
    NO_FUSE = "no libfuse (Debian: libfuse2 or fuse3)"

PAGE = 4096
_HEAD = struct.Struct("=cQI")

# The places in the numbers that the program shares with us.
_POSITION, _FAIL_DATA, _FAIL_WRITE, _FAIL_FLUSH, _FOR_GOOD, _FAILED = range(6)

# What marks a page of a store's file; the file system's own journal has only names and sizes.
_DATA = b'"crc":"'


class Record(NamedTuple):
    """A write of at most one page, or with `data` None a flush of all before it."""

    offset: int
    data: bytes | None


class Disk:
    """The disk from outside; `file` is what a loop device can be made of."""

    def __init__(self, image: Path, log: Path, place: Path) -> None:
        self.file = place / "disk"
        self._numbers = Numbers(6)
        self._image = image
        self._log = log
        self._place = place

    @property
    def position(self) -> float:
        """How many writes and flushes the disk has answered."""
        return self._numbers[_POSITION]

    @property
    def failed(self) -> int:
        """How many it has refused."""
        return self._numbers[_FAILED]

    def fail(
        self, *, data: int = 0, write: int = 0, flush: int = 0, for_good: bool = False
    ) -> None:
        """Refuse the so-maniest write of lines, write or flush, and `for_good` all after it."""
        self._numbers[_FOR_GOOD] = for_good
        for which, nth in ((_FAIL_DATA, data), (_FAIL_WRITE, write), (_FAIL_FLUSH, flush)):
            self._numbers[which] = nth

    def heal(self) -> None:
        """Refuse nothing any more."""
        self.fail()

    @contextlib.contextmanager
    def running(self) -> Iterator["Disk"]:
        """Yield the disk, there for as long as this lasts."""
        self._place.mkdir(exist_ok=True)
        program = Child(self._serve)
        try:
            wait_until(lambda: self.file.exists() or program.gone(), "the FUSE mount")
            if program.gone():
                raise OSError(errno.ENODEV, "FUSE does not work here")
            yield self
        finally:
            if not program.gone():
                unmount(self._place)
                wait_until(program.gone, "the end of the FUSE mount")

    def _serve(self) -> None:
        served = _Served(self._image, self._log, self._numbers)
        # One thread: the log has the order in which the disk did things.
        fuse.FUSE(
            served, str(self._place), foreground=True, nothreads=True, direct_io=True, fsname="disk"
        )


class _Served:
    """The operations that libfuse calls."""

    use_ns = True

    def __init__(self, image: Path, log: Path, numbers: Numbers) -> None:
        self._file = os.open(image, os.O_RDWR)
        self._log = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        self._numbers = numbers
        self._size = os.fstat(self._file).st_size

    def __getattr__(self, name: str) -> Any:
        return getattr(fuse.Operations, name).__get__(self)

    def getattr(self, path: str, fh: int | None = None) -> dict[str, Any]:
        if path == "/":
            return {"st_mode": stat.S_IFDIR | 0o700, "st_nlink": 2}
        if path == "/disk":
            return {"st_mode": stat.S_IFREG | 0o600, "st_nlink": 1, "st_size": self._size}
        raise fuse.FuseOSError(errno.ENOENT)

    def open(self, path: str, flags: int) -> int:
        return 0

    def read(self, path: str, size: int, offset: int, fh: int) -> bytes:
        return os.pread(self._file, size, offset)

    def write(self, path: str, data: bytes, offset: int, fh: int) -> int:
        self._fail_if_due(_FAIL_WRITE)
        if _DATA in data:
            self._fail_if_due(_FAIL_DATA)
        os.pwrite(self._file, data, offset)
        self._note(b"W", offset, data)
        return len(data)

    def fsync(self, path: str, datasync: int, fh: int) -> int:
        self._fail_if_due(_FAIL_FLUSH)
        self._note(b"F", 0, b"")
        return 0

    def _note(self, kind: bytes, offset: int, data: bytes) -> None:
        os.write(self._log, _HEAD.pack(kind, offset, len(data)) + data)
        self._numbers[_POSITION] += 1

    def _fail_if_due(self, which: int) -> None:
        left = self._numbers[which]
        if not left:
            return
        if left > 1:
            self._numbers[which] = left - 1
            return
        if not self._numbers[_FOR_GOOD]:
            self._numbers[which] = 0
        self._numbers[_FAILED] += 1
        raise fuse.FuseOSError(errno.EIO)


def read_log(log: Path) -> list[list[Record]]:
    """Return what a disk did, one entry a position: writes page by page, flushes."""
    data = log.read_bytes()
    found: list[list[Record]] = []
    at = 0
    while at < len(data):
        kind, offset, size = _HEAD.unpack_from(data, at)
        at += _HEAD.size
        if kind == b"F":
            found.append([Record(0, None)])
        else:
            body = data[at : at + size]
            found.append([Record(offset + p, body[p : p + PAGE]) for p in range(0, size, PAGE)])
        at += size
    return found
