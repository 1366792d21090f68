"""How a whole file takes the place of another, or of none: compare-and-swap by rename.

What is called here runs under the flock of the folder, and never waits.
"""

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from session_store.errors import ConflictError, UnavailableError

from . import posix
from .descriptors import Descriptor
from .filesystem import ABSENT, ANY, FileStats, IfVersion
from .tree import Tree

# Some file systems keep times in whole seconds, or in two.
_MTIME_STEPS_NS: Final = (1, 1_000, 1_000_000, 1_000_000_000, 2_000_000_000)


def stats_of(found: os.stat_result) -> FileStats:
    """Return what the seam says of a file."""
    mtime = found.st_mtime_ns
    version = f"{found.st_ino:x}-{found.st_size:x}-{mtime:x}"
    return FileStats(size=found.st_size, mtime_ms=mtime // 1_000_000, version=version)


def check_version(path: str, found: os.stat_result | None, if_version: IfVersion) -> None:
    """Raise `ConflictError` unless what was `found` is what the caller asked for."""
    actual = None if found is None else stats_of(found).version
    if if_version is ANY or (if_version is ABSENT and actual is None):
        return
    if actual != if_version:
        raise ConflictError(path, expected=if_version, actual=actual)


def install(
    tree: Tree,
    folder: Descriptor,
    draft: Descriptor,
    names: tuple[str, str],
    path: str,
    if_version: IfVersion,
) -> FileStats:
    """Rename the draft to its name (`names` are both) if the precondition holds."""
    draft_name, name = names
    with _held(tree, folder, name, path, if_version) as found:
        if found is not None and not posix.is_regular(path, found):
            raise UnavailableError(path, "it is a folder")
        check_version(path, found, if_version)
        _make_newer(draft, found)
        # Before the rename: behind it nothing may fail.
        stats = stats_of(os.fstat(draft.fd))
        try:
            os.rename(draft_name, name, src_dir_fd=folder.fd, dst_dir_fd=folder.fd)
        except FileNotFoundError:
            # Somebody removed the folder with our draft in it, and made it again.
            raise posix.MovedError from None
        return stats


def remove(tree: Tree, folder: Descriptor, name: str, path: str, if_version: IfVersion) -> bool:
    """Unlink the file and return True, or return False if there is none."""
    with _held(tree, folder, name, path, if_version) as found:
        if found is None or not posix.is_regular(path, found):
            return False
        check_version(path, found, if_version)
        os.unlink(name, dir_fd=folder.fd)
        return True


@contextmanager
def _held(
    tree: Tree, folder: Descriptor, name: str, path: str, if_version: IfVersion
) -> Iterator[os.stat_result | None]:
    """Yield what stands at `name`; if it is asked for by version, nobody can append to it."""
    opened = None
    if isinstance(if_version, str):
        opened = tree.open_file(folder, name, os.O_RDONLY, path)
    if opened is None:
        yield posix.status(name, folder=folder.fd)
        return
    fd = opened[0].fd
    posix.lock(fd)
    try:
        yield posix.status(name, folder=folder.fd)
    finally:
        posix.unlock(fd)


def _make_newer(draft: Descriptor, older: os.stat_result | None) -> None:
    """Give `draft` a time after that of the file it replaces.

    So no version comes back: a new inode differs from the one it replaces while both exist,
    but the number of one that is gone is given out again, perhaps to a file of the same size.
    The times along one path only grow, whatever the clock does. That this time may be lost
    in a power cut is no harm: the versions that are compared live in processes.
    """
    floor = 0 if older is None else older.st_mtime_ns
    for step in _MTIME_STEPS_NS:
        moment = max(time.time_ns(), floor + step)
        os.utime(draft.fd, ns=(moment, moment))
        if os.fstat(draft.fd).st_mtime_ns > floor:
            return
