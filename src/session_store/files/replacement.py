"""What to do when fsync failed: save the bytes into a new inode (PROTOCOLS A7).

Measured on ext4, XFS and btrfs: after one failed fsync the next one says OK although the
bytes are not on the disk, and what is appended then is lost too. A copy in a new inode,
synced and renamed over, was right on all three.
"""

import os

from session_store.errors import NotFoundError

from . import posix
from .descriptors import Descriptor
from .drafts import discard_draft
from .logs import Log
from .tree import Tree


def replace(
    tree: Tree,
    log: Log,
    folder: Descriptor,
    name: str,
    draft: str,
    owed: list[tuple[int, bytes]],
) -> Log | None:
    """Put a durable copy of `log` at its path and return it, open; its name is not synced.

    Returns None if another inode has taken the path already. Call it with the flocks of the
    folder and of the log. `owed` is what this process knows of the content: offsets and bytes.
    """
    found = posix.status(name, folder=folder.fd)
    if found is None:
        raise NotFoundError(log.path)
    if not log.is_at(found):
        return None
    copy = tree.create_file(folder, draft, os.O_RDWR)
    try:
        _copy(log.descriptor, copy)
        for offset, data in owed:
            _put(copy, offset, data)
        posix.fsync(copy.fd)
        os.rename(draft, name, src_dir_fd=folder.fd, dst_dir_fd=folder.fd)
    except BaseException:
        discard_draft(folder, draft)
        raise
    opened = tree.open_file(folder, name, os.O_RDWR | os.O_APPEND, log.path)
    if opened is None:
        raise NotFoundError(log.path)
    return Log(log.path, *opened, tree.root)


def holds(log: Log, owed: list[tuple[int, bytes]]) -> bool:
    """Return whether all that is `owed` stands in `log` at its offset."""
    fd = log.descriptor.fd
    return all(posix.read_range(fd, offset, len(data)) == data for offset, data in owed)


def _copy(source: Descriptor, target: Descriptor) -> None:
    at = 0
    while data := posix.read_range(source.fd, at, posix.READ_CHUNK_BYTES):
        posix.write_all(target.fd, data)
        at += len(data)


def _put(target: Descriptor, offset: int, data: bytes) -> None:
    written = 0
    while written < len(data):
        written += os.pwrite(target.fd, memoryview(data)[written:], offset + written)
