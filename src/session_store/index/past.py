"""What the index was when a snapshot was written, which has been written over since.

From the previous snapshot and the journals since. Thin, and read-only.
"""

from session_store.errors import CorruptionError, NotFoundError

from .core import Core
from .records import PREVIOUS, journal_path, scan
from .snapshot import DamagedError, Snapshot, decode_snapshot, digest
from .state import IndexState


async def least_mark(core: Core) -> tuple[int, int]:
    """Return what a snapshot that does not say it holds of the journals: no less than `.prev`.

    Epoch 0 if there are no journals that go on from there.
    """
    start = await _start(core)
    return (0, 0) if start is None else (start.epoch, start.size)


async def state_at(core: Core, epoch: int, size: int) -> IndexState | None:
    """Return the index when the journal `epoch` had `size` bytes, None if nothing tells."""
    start = await _start(core)
    if start is None:
        return None
    state, at, offset = start.state, start.epoch, start.size
    while (at, offset) <= (epoch, size):
        try:
            data = await core.files.read(journal_path(at), offset, size if at == epoch else None)
        except NotFoundError:
            return None
        found, onward = scan(data, offset), 0
        for record in found.records:
            state.apply(record)
            onward = (record.op == "seal" and record.next) or 0
        if at == epoch:
            return state if found.end == size else None
        if onward <= at:
            return None
        at, offset = onward, 0
    return None


async def _start(core: Core) -> Snapshot | None:
    """Return the oldest snapshot there is, with the place in the journals it stands for."""
    previous, _ = await core.read_whole(PREVIOUS)
    start = Snapshot(IndexState(), 0, 0, False, [])
    if previous is not None:
        try:
            start = decode_snapshot(previous)
        except (DamagedError, CorruptionError):
            return None
    if start.epoch:
        return start
    records = scan(await core.head(journal_path(1)), 0).records
    if records and records[0].op == "open" and records[0].after == digest(previous):
        return start._replace(epoch=1)
    return None
