"""Opening an index: from its snapshot and the journals since, whatever state they are in."""

from session_store.errors import ConflictError, CorruptionError, NotFoundError
from session_store.files.filesystem import ABSENT

from .core import Base, Core, Place, RetractedError, StaleError
from .merge import corrections
from .past import least_mark, state_at
from .rebuild import discover, finding_of, list_root, rebuild
from .records import PREVIOUS, SNAPSHOT, JournalRecord, encode, is_header, journal_path
from .rotation import INLINE_BYTES, recall_deletes
from .snapshot import DamagedError, Snapshot, decode_snapshot, encode_snapshot
from .state import IndexState


async def load(core: Core) -> None:
    """Put `core` where the files are now, or raise `StaleError` if they change meanwhile."""
    data, version = await core.read_whole(SNAPSHOT)
    if data is None:
        root = await list_root(core.files)
        if root.fresh:
            await _create(core)
        else:
            await rebuild(core, root, None, None, "there is none")
        data, version = await core.read_whole(SNAPSHOT)
        if data is None:
            return
    try:
        snapshot = await _decode(core, data)
    except DamagedError as error:
        await rebuild(core, await list_root(core.files), data, version, str(error))
        return
    epoch, size = snapshot.epoch, snapshot.size
    if not epoch:
        epoch, size = await least_mark(core)
    try:
        await _follow(core, snapshot, Base(version, len(data), epoch, size, snapshot.foreign))
        if snapshot.foreign and not core.broken:
            await _let_stand(core, data)
        if not core.broken and any(found.code == "damaged_line" for found in core.findings):
            await _find_lost(core)
    except DamagedError as error:
        await rebuild(core, await list_root(core.files), data, version, str(error))
        return
    except BaseException:
        # What was broken off halfway, by a cancellation perhaps, is not open.
        core.base = None
        raise
    # Now, and not with the first list, which would take a second among a million sessions.
    state = core.state
    large = len(data) > INLINE_BYTES
    state.orders = await core.runtime.offload(state.sort) if large else state.sort()


async def _find_lost(core: Core) -> None:
    """Take in the sessions whose registration may have stood on a line that is damaged.

    Only in memory, so that who may only read finds them too; the next rotation writes them.
    """
    root = await list_root(core.files)
    # Whatever folder was there had been registered by now.
    await core.catch_up()
    await recall_deletes(core)
    for record in await discover(core, root.folders):
        core.state.apply(record)
        core.corrections.append(record)
        finding = finding_of(record.session_id)
        if finding not in core.repairs:
            core.repairs.append(finding)


async def _decode(core: Core, data: bytes) -> Snapshot:
    if len(data) > INLINE_BYTES:
        return await core.runtime.offload(decode_snapshot, data)
    return decode_snapshot(data)


async def _create(core: Core) -> None:
    """Make an empty index; that others are faster is as good."""
    path = journal_path(1)
    header = encode(JournalRecord(op="open", at=core.runtime.now_ms(), epoch=1, format=1, after=""))
    try:
        await core.files.write(path, header, if_version=ABSENT)
    except ConflictError:
        try:
            header = await core.files.read(path)
        except NotFoundError:  # others have rotated by now
            raise StaleError from None
        if not is_header(header, ""):
            raise StaleError from None
        await core.keep(path)
    snapshot = encode_snapshot(IndexState(), 1, len(header), core.runtime.token())
    try:
        await core.files.write(SNAPSHOT, snapshot, if_version=ABSENT)
    except ConflictError:
        pass


async def _let_stand(core: Core, foreign: bytes) -> None:
    """Let what the original did stand, where the journal had gone on without its knowing."""
    base, place = core.base, core.place
    if base is None or (place.epoch, place.offset) == (base.epoch, base.size):
        return
    before = await state_at(core, base.epoch, base.size)
    if before is None:
        # Nobody can tell any more what it changed: the lines of the journal count on top.
        return
    theirs = (await _decode(core, foreign)).state
    core.corrections = corrections(before, theirs, core.state, core.runtime.now_ms())
    for record in core.corrections:
        core.state.apply(record)


async def _follow(core: Core, snapshot: Snapshot, base: Base) -> None:
    core.findings = list(snapshot.findings)
    core.reset(snapshot.state, Place(base.epoch, base.size), base, broken=False)
    try:
        await core.catch_up()
        return
    except RetractedError:
        raise
    except StaleError:
        # Unless this snapshot was replaced, which the next look will tell: a rotation removes a
        # journal only after that.
        core.broken = True
    path = core.place.path
    try:
        size = (await core.files.stat(path)).size
    except NotFoundError:
        if core.place.epoch:
            await _refuse_stale(core)
            core.find("error", "journal_missing", path, "what it held is lost")
        return
    if size > core.place.size:
        # It is there after all, and whole: to go on without it would be to lose it.
        raise StaleError
    text = f"it has {size} bytes, the snapshot has read {core.place.size}"
    core.find("error", "journal_short", path, text)


async def _refuse_stale(core: Core) -> None:
    """Raise `DamagedError` if this snapshot is a copy from before the previous one.

    Its journals were removed when that was written, and what they said is known from there.
    """
    previous, _ = await core.read_whole(PREVIOUS)
    if core.base is None or await core.version(SNAPSHOT) != core.base.version:
        raise StaleError
    try:
        newer = previous is not None and decode_snapshot(previous).epoch > core.place.epoch
    except (DamagedError, CorruptionError):
        return
    if newer:
        raise DamagedError(f"an old copy, from before {PREVIOUS}")


__all__ = ["load"]
