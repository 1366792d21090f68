"""Snapshots: written beside the journal, or in the place of a journal that has grown (I1, I6).

Every step leaves files from which the whole index can be read, so a crash between any two
costs nothing, and of several that rotate at once exactly one wins each step. A step that
finds the ground changed raises `StaleError` or `ConflictError`: read on and decide again.
"""

from typing import Final

from session_store.errors import ConflictError, FileSystemError, NotFoundError
from session_store.files.filesystem import ABSENT

from .core import Base, Core, Place, StaleError
from .records import BY_SEAL, PREVIOUS, SNAPSHOT, JournalRecord, journal_path, scan
from .snapshot import digest, encode_snapshot, unsafe

ROTATE_BYTES: Final = 1 << 20
SMALL_BYTES: Final = 8 << 20
INLINE_BYTES: Final = 1 << 20


def must_rotate(base: Base, broken: bool) -> bool:
    """Return whether the journal may not be written to as things stand.

    A foreign snapshot goes to `.prev` first: else a rebuild would bring back what the original
    deleted. A journal that is missing or cut is left as it is.
    """
    return base.foreign or broken


def outgrown(base: Base, place: Place) -> bool:
    """Return whether a new snapshot costs no more than what was appended since the last."""
    return place.size > max(ROTATE_BYTES, base.bytes)


async def rotate(core: Core) -> None:
    """Go on in a new journal, and write the snapshot that names it.

    Raises `ConflictError` if others wrote to the journal first, and `StaleError` if they
    replaced the snapshot.
    """
    if core.broken:
        await _replace_journal(core)
        return
    # Another may have rotated since this process read a snapshot: else it could seal the
    # journal, and then write none.
    if core.base is None or await core.version(SNAPSHOT) != core.base.version:
        raise StaleError
    if core.corrections:
        # They belong to the foreign snapshot and the lines before: a rebuild reads all three.
        await core.append(*core.corrections)
        core.corrections = []
    epoch, _ = await core.new_journal(BY_SEAL)
    await core.seal(epoch)
    # A change acknowledged behind a seal is lost with the seal.
    await core.sync()
    base, old = await _based_on(core)
    await _publish(core, base, old, core.place.epoch, core.place.offset)
    await _remove_journals(core, base.epoch)


async def _replace_journal(core: Core) -> None:
    """Go on in a new journal that no seal names: there is none to seal, or it is cut.

    The write of the snapshot decides. What stands in a cut journal stays as it is: its bytes
    may yet turn out to be more than was found.
    """
    base, old = await _based_on(core)
    epoch, size = await core.new_journal(digest(old))
    await _publish(core, base, old, epoch, size)
    core.place, core.broken = Place(epoch, size), False


async def _based_on(core: Core) -> tuple[Base, bytes | None]:
    """Return the snapshot that the state is based on, or raise `StaleError` if it is replaced."""
    old, version = await core.read_whole(SNAPSHOT)
    if core.base is None or version != core.base.version:
        raise StaleError
    return core.base, old


async def _publish(core: Core, base: Base, old: bytes | None, epoch: int, size: int) -> None:
    """Write the state in the place of the snapshot `old`, which becomes the previous one."""
    previous = await core.version(PREVIOUS)
    # Looked at again, after `previous` was: so `.prev` never becomes older than it is.
    if await core.version(SNAPSHOT) != base.version:
        raise StaleError
    if old is not None:
        if_version = ABSENT if previous is None else previous
        try:
            await core.files.write(PREVIOUS, old, if_version=if_version)
        except ConflictError:
            raise StaleError from None
    await write_snapshot(core, base, epoch, size)


async def write_snapshot(core: Core, base: Base, epoch: int, size: int) -> None:
    """Write the state in the place of `base`, or raise `StaleError` if others did.

    It says that it holds `size` bytes of the journal `epoch`.
    """
    args = (core.state, epoch, size, core.runtime.token())
    if base.bytes + core.place.size > INLINE_BYTES:
        data = await core.runtime.offload(encode_snapshot, *args)
    else:
        data = encode_snapshot(*args)
    try:
        stats = await core.files.write(SNAPSHOT, data, if_version=base.if_version)
    except ConflictError:
        raise StaleError from None
    core.base = Base(stats.version, len(data), epoch, size)


async def save(core: Core) -> None:
    """Write a snapshot of what the journal holds by now, if it is small; the journal goes on."""
    base, place = core.base, core.place
    if base is None or (place.epoch, place.offset) == (base.epoch, base.size):
        return
    if base.bytes + place.size > SMALL_BYTES:
        return
    if must_rotate(base, core.broken):
        await rotate(core)
    else:
        await core.sync()
        await write_snapshot(core, base, place.epoch, place.offset)


async def _remove_journals(core: Core, keep: int) -> None:
    """Remove the journals older than `keep`; deletes that nobody finished go on."""
    epoch = keep - 1
    while epoch > 0 and await core.files.exists(journal_path(epoch)):
        epoch -= 1
    # The oldest first: after a crash the next rotation finds the others.
    for old in range(epoch + 1, keep):
        await _carry_deletes(core, old)
        await core.files.delete(journal_path(old))


async def deletes_in(core: Core, epoch: int) -> set[str]:
    """Return the ids that the journal `epoch` deletes."""
    try:
        data = await core.files.read(journal_path(epoch))
    except NotFoundError:
        return set()
    records = scan(data, 0).records
    return {record.session_id for record in records if record.op == "delete" and record.session_id}


async def recall_deletes(core: Core) -> None:
    """Know of every delete whose folder may still be there: no snapshot names those before it."""
    epoch = core.place.epoch
    while epoch > 0 and await core.files.exists(journal_path(epoch)):
        core.state.deleted |= await deletes_in(core, epoch) - core.state.sessions.keys()
        epoch -= 1


async def _carry_deletes(core: Core, epoch: int) -> None:
    """Finish the deletes of a journal about to go, whose folders are still there.

    The line comes first, again: who reads on from here knows that the session is gone.
    """
    for session_id in await deletes_in(core, epoch):
        if unsafe(session_id) or session_id in core.state.sessions:
            continue
        if not (await core.files.list(session_id, limit=1)).names:
            # Whoever emptied it may have died before that was durable: a power cut would bring
            # back what no line deletes any more.
            await core.files.delete_tree(session_id)
            continue
        if await _delete_again(core, session_id):
            try:
                await core.files.delete_tree(session_id)
            except FileSystemError:
                # The line carries it on to the next rotation.
                continue


async def _delete_again(core: Core, session_id: str) -> bool:
    deadline = core.runtime.monotonic() + core.io_timeout
    while session_id not in core.state.sessions:
        record = JournalRecord(op="delete", at=core.runtime.now_ms(), session_id=session_id)
        try:
            await core.append(record)
        except ConflictError:
            if core.runtime.monotonic() > deadline:
                # The journal stays, and the next rotation finds it.
                raise
            await core.catch_up()
        else:
            await core.settle()
            return True
    return False
