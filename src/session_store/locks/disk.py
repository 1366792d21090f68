"""`lock.json` as bytes: read with its version, replaced only at that version."""

from typing import NamedTuple

from session_store.errors import ConflictError, NotFoundError
from session_store.files.filesystem import ABSENT, FileSystem, IfVersion

from .decision import MAX_LOCK_BYTES, LockFile, decode, encode, needs_fence


class Found(NamedTuple):
    """What stood in `lock.json`, and the precondition for replacing it.

    `lock` is None if the file is absent or cannot be read.
    """

    lock: LockFile | None
    version: IfVersion

    def next_epoch(self, known: int) -> int:
        """Return an epoch above this one's and above `known`."""
        return 1 + max(self.lock.epoch if self.lock else 0, known)

    def needs_fence(self, log_size: int) -> bool:
        """See `decision.needs_fence`."""
        return needs_fence(self.lock, absent=self.version is ABSENT, log_size=log_size)


def lock_path(session_id: str) -> str:
    """Return where the lock of a session lies."""
    return f"{session_id}/lock.json"


async def load(files: FileSystem, session_id: str) -> Found:
    """Return what stands in the session's `lock.json`."""
    path = lock_path(session_id)
    try:
        # The version first: if the content is newer, a swap will be refused.
        version = (await files.stat(path)).version
        data = await files.read(path, 0, MAX_LOCK_BYTES + 1)
    except NotFoundError:
        return Found(None, ABSENT)
    return Found(decode(data), version)


async def swap(
    files: FileSystem, session_id: str, lock: LockFile, version: IfVersion
) -> str | None:
    """Replace what stood at `version` and return the new version; None if it had changed.

    Not synced: a power cut ends every holder as well, and a lock file that it damaged or
    took away makes the next one append a fence.
    """
    try:
        stats = await files.write(
            lock_path(session_id), encode(lock), if_version=version, durable=False
        )
    except ConflictError:
        return None
    return stats.version
