"""Images of real file systems: made, mounted, cut off from power, and taken away again.

All mounts stand in a mount namespace of the campaign's own: they, and the loop devices below
them, go with its last process, however that ends.
"""

import contextlib
import ctypes
import errno
import fcntl
import os
import shutil
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)

_CHUNK = 1 << 16

_NEW_MOUNTS = 0x00020000
_RECURSIVE, _PRIVATE = 0x4000, 1 << 18
NO_ATIME, REMOUNT, READ_ONLY = 1 << 10, 1 << 5, 1

_LOOP_GET_FREE, _LOOP_CONFIGURE, _AUTOCLEAR = 0x4C82, 0x4C0A, 4
_SHUTDOWN, _NO_LOG_FLUSH = 0x8004587D, 2

# XFS refuses less than 300 MB, unless it is told that this is for a test; the file is sparse.
SIZES = {"ext2": 24 << 20, "ext4": 24 << 20, "xfs": 320 << 20}
_MAKE = {
    # Blocks of 4 KiB, as on a disk of ordinary size.
    "ext2": ["mkfs.ext2", "-q", "-F", "-b", "4096"],
    "ext4": ["mkfs.ext4", "-q", "-F", "-b", "4096", "-J", "size=4"],
    "xfs": ["mkfs.xfs", "-q", "-f"],
}
_OPTIONS = {"xfs": "nouuid"}


def own_mounts() -> None:
    """Go on in a mount namespace of our own, or raise `OSError`."""
    if sys.platform != "linux":
        raise OSError(errno.ENOSYS, "not on this system")
    if _LIBC.unshare(_NEW_MOUNTS):
        raise _error("unshare")
    _mount("none", "/", "", _RECURSIVE | _PRIVATE)


def missing(kind: str) -> str | None:
    """Return why no image of `kind` can be mounted here, None if it can be."""
    if shutil.which(_MAKE[kind][0]) is None:
        package = "xfsprogs" if kind == "xfs" else "e2fsprogs"
        return f"{kind}: no {_MAKE[kind][0]} (Debian: {package})"
    try:
        with scratch() as folder:
            image = make_image(folder / "probe", kind)
            with mounted(image, folder / "mnt", kind):
                return None
    except (OSError, subprocess.CalledProcessError) as error:
        return f"{kind}: no image can be mounted ({error})"


@contextlib.contextmanager
def scratch() -> Iterator[Path]:
    """Yield a folder in memory if there is such a place, and remove it in the end."""
    memory = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    folder = Path(tempfile.mkdtemp(prefix="session-store-", dir=memory))
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def make_image(path: Path, kind: str, *options: str, size: int | None = None) -> Path:
    """Make an empty file system in the file at `path` and return the path."""
    with path.open("wb") as file:
        file.truncate(size or SIZES[kind])
    subprocess.run([*_MAKE[kind], *options, str(path)], check=True, capture_output=True)
    sparse = path.with_suffix(".sparse")
    copy_sparse(path, sparse)
    return sparse.replace(path)


def repair_ext2(image: Path) -> None:
    """Do what a machine does after a power cut, before it mounts what has no journal."""
    done = subprocess.run(["e2fsck", "-f", "-y", str(image)], capture_output=True, check=False)
    if done.returncode & ~3:  # 1 and 2: errors were corrected
        raise OSError(errno.EUCLEAN, "e2fsck could not mend it")


def copy_sparse(source: Path, target: Path) -> None:
    """Copy a file; where it is all zeros the copy has holes."""
    with source.open("rb") as old, target.open("wb") as new:
        size = os.fstat(old.fileno()).st_size
        new.truncate(size)
        at = 0
        while at < size:
            try:
                at = os.lseek(old.fileno(), at, os.SEEK_DATA)
            except OSError:
                return
            end = os.lseek(old.fileno(), at, os.SEEK_HOLE)
            while at < end:
                data = os.pread(old.fileno(), min(end - at, _CHUNK), at)
                if data.count(0) != len(data):
                    os.pwrite(new.fileno(), data, at)
                at += len(data)


@contextlib.contextmanager
def mounted(image: Path, place: Path, kind: str, options: str = "") -> Iterator[Path]:
    """Mount the image at `place` and unmount it in the end."""
    mount_image(image, place, kind, options)
    try:
        yield place
    finally:
        unmount(place)


def mount_image(image: Path, place: Path, kind: str, options: str = "") -> None:
    """Mount the image at `place`; its loop device goes with the mount."""
    place.mkdir(exist_ok=True)
    asked = ",".join(filter(None, [_OPTIONS.get(kind, ""), options]))
    device, held = _attach(image)
    try:
        _mount(device, str(place), kind, NO_ATIME, asked)
    finally:
        os.close(held)


def mount_memory(place: Path, options: str) -> None:
    """Mount a tmpfs at `place`."""
    place.mkdir(exist_ok=True)
    _mount("tmpfs", str(place), "tmpfs", NO_ATIME, options)


def remount(place: Path, *, read_only: bool) -> None:
    """Change a mount to read-only, or back."""
    _mount("none", str(place), "", NO_ATIME | REMOUNT | (READ_ONLY if read_only else 0))


def unmount(place: Path) -> None:
    """Unmount what is mounted at `place`; all who used it have ended."""
    if _LIBC.umount2(os.fsencode(place), 0):
        raise _error(f"umount {place.name}")


def cut_power(place: Path) -> None:
    """Freeze the file system at `place` as a power cut would: what it had not written is lost."""
    folder = os.open(place, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.ioctl(folder, _SHUTDOWN, struct.pack("I", _NO_LOG_FLUSH))
    finally:
        os.close(folder)


def _attach(image: Path) -> tuple[str, int]:
    file = os.open(image, os.O_RDWR)
    try:
        while True:
            control = os.open("/dev/loop-control", os.O_RDWR)
            try:
                number = fcntl.ioctl(control, _LOOP_GET_FREE)
            finally:
                os.close(control)
            device = f"/dev/loop{number}"
            held = os.open(device, os.O_RDWR)
            try:
                fcntl.ioctl(held, _LOOP_CONFIGURE, _loop_config(file))
                return device, held
            except OSError as error:
                os.close(held)
                if error.errno != errno.EBUSY:  # else another has just taken it
                    raise
    finally:
        os.close(file)


def _loop_config(file: int) -> bytes:
    info = struct.pack("5Q4I", 0, 0, 0, 0, 0, 0, 0, 0, _AUTOCLEAR) + bytes(64 + 64 + 32 + 16)
    return struct.pack("2I", file, 0) + info + bytes(64)


def _mount(source: str, place: str, kind: str, flags: int, options: str = "") -> None:
    arguments = (os.fsencode(source), os.fsencode(place), kind.encode() or None)
    if _LIBC.mount(*arguments, ctypes.c_ulong(flags), options.encode() or None):
        raise _error(f"mount {kind}")


def _error(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")
