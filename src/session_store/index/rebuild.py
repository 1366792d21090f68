"""When `sessions.json` cannot be used: the index from what else there is (PROTOCOLS I4).

The previous snapshot, every journal since, and the folders; nothing is deleted, and what was
damaged is kept under another name.
"""

from collections.abc import Iterable
from typing import Final, NamedTuple
from zlib import crc32

from msgspec.structs import replace

from session_store.errors import (
    ConflictError,
    FileSystemError,
    NotFoundError,
    SessionStoreError,
)
from session_store.files.filesystem import ABSENT, FileSystem
from session_store.model.records import Finding, SessionMetadata

from .core import HEADER_BYTES, Base, Core, Place, RetractedError, StaleError
from .fields import to_stored
from .records import (
    BY_REBUILD,
    OWN_PREFIX,
    PREVIOUS,
    SNAPSHOT,
    JournalRecord,
    journal_epoch,
    journal_path,
    scan,
)
from .rotation import deletes_in, write_snapshot
from .snapshot import DamagedError, decode_snapshot, digest, unsafe
from .state import IndexState

MESSAGES: Final = "messages.jsonl"


class Root(NamedTuple):
    """What stands in the root folder."""

    epochs: list[int]
    folders: list[str]
    others: bool

    @property
    def fresh(self) -> bool:
        """Whether there was never an index here, nor a session."""
        return not (self.epochs or self.folders or self.others)


async def list_root(files: FileSystem) -> Root:
    """Return the journals and the folders there are."""
    epochs: list[int] = []
    folders: list[str] = []
    others = False
    after: str | None = ""
    while after is not None:
        page = await files.list("", after=after)
        for name in page.names:
            epoch = journal_epoch(name)
            if epoch is not None:
                epochs.append(epoch)
            elif name.endswith("/"):
                folders.append(name[:-1])
            elif name.startswith(OWN_PREFIX):
                others = True
        after = page.after
    return Root(sorted(epochs), folders, others)


async def rebuild(
    core: Core, root: Root, damaged: bytes | None, version: str | None, reason: str
) -> None:
    """Make the index anew and write it in the place of the damaged snapshot.

    `root` was listed before: so the record of every folder in it is in the journals by now.
    If nothing can be written the index is in memory, to be read. Raises `StaleError` if others
    were faster.
    """
    try:
        await _rebuild(core, root, damaged, version, reason)
    except BaseException:
        # What is half made must not answer.
        core.base = None
        raise


async def _rebuild(
    core: Core, root: Root, damaged: bytes | None, version: str | None, reason: str
) -> None:
    core.findings = []
    previous, _ = await core.read_whole(PREVIOUS)
    await _walk(core, root, previous, Base(version, len(damaged or b""), 0, 0, damaged=True))
    if root.folders or core.state.sessions or damaged is not None:
        core.find("warning", "snapshot_rebuilt", SNAPSHOT, reason)
    found = await discover(core, root.folders)
    try:
        await _write(core, damaged, found, digest(previous))
    except ConflictError:
        raise StaleError from None
    except FileSystemError as error:
        core.unwritten = error
        for record in found:
            core.state.apply(record)
        core.find("error", "snapshot_unwritten", SNAPSHOT, str(error))
        return
    core.repairs += core.findings + [finding_of(record.session_id) for record in found]
    # What was written is the truth: from here on it is opened like any other.
    core.base = None


async def _write(
    core: Core, damaged: bytes | None, found: list[JournalRecord], previous: str
) -> None:
    assert core.base is not None
    if damaged is not None:
        await _copy_aside(core, damaged)
    if not core.broken:
        if found:
            await core.append(*found)
        await core.sync()
        place = core.place
        await write_snapshot(core, core.base, place.epoch, place.offset)
        return
    for record in found:
        core.state.apply(record)
    epoch, size = await core.new_journal(previous or BY_REBUILD)
    await write_snapshot(core, core.base, epoch, size)


async def _copy_aside(core: Core, damaged: bytes) -> None:
    path = f"{SNAPSHOT}.damaged-{crc32(damaged):08x}"
    try:
        await core.files.write(path, damaged, if_version=ABSENT)
    except ConflictError:
        # Named by its content: the same bytes are there already.
        return


async def _walk(core: Core, root: Root, previous: bytes | None, base: Base) -> None:
    """Read the previous snapshot and every journal since."""
    state, place = IndexState(), Place(root.epochs[0] if root.epochs else 0, 0)
    if previous is not None:
        try:
            snapshot = decode_snapshot(previous)
        except DamagedError as error:
            core.find("error", "previous_damaged", PREVIOUS, str(error))
        else:
            state, place = snapshot.state, Place(snapshot.epoch, snapshot.size)
    core.reset(state, place, base, broken=False)
    deleted: set[str] = set()
    # Older ones too: a journal goes only after the deletes in it are finished.
    for epoch in root.epochs:
        if epoch <= place.epoch:
            deleted |= await deletes_in(core, epoch)
    while True:
        lost = False
        try:
            await core.catch_up()
        except RetractedError:
            raise
        except StaleError:
            size = await _size(core)
            if size > core.place.size:
                # It is there after all, and whole: to go on without it would be to lose it.
                raise
            core.broken, lost = True, core.place.epoch > 0 and not size
        if lost:
            core.find("error", "journal_missing", core.place.path, "what it held is lost")
        onward = await _next(core, root, digest(previous), lost=lost)
        if onward is None:
            break
        core.place, core.broken = Place(onward, 0), False
    core.state.deleted |= deleted - core.state.sessions.keys()


async def _size(core: Core) -> int:
    try:
        return (await core.files.stat(core.place.path)).size
    except NotFoundError:
        return 0


async def _next(core: Core, root: Root, after: str, *, lost: bool) -> int | None:
    """Return the journal that goes on where no seal leads to it."""
    for epoch in root.epochs:
        if epoch > core.place.epoch and (lost or await _goes_on(core, epoch, after)):
            return epoch
    return None


async def _goes_on(core: Core, epoch: int, after: str) -> bool:
    """Return whether the journal was begun from the snapshot with this digest."""
    try:
        head = await core.files.read(journal_path(epoch), 0, HEADER_BYTES)
    except NotFoundError:
        return False
    records = scan(head, 0).records
    return bool(after and records and records[0].after == after)


async def discover(core: Core, folders: Iterable[str]) -> list[JournalRecord]:
    """Return the records that make sessions of the folders with messages that have none."""
    found: list[SessionMetadata] = []
    for folder in folders:
        if folder in core.state.sessions or folder in core.state.deleted or unsafe(folder):
            continue
        try:
            if (await core.files.stat(f"{folder}/{MESSAGES}")).size:
                metadata = await core.recount(folder)
                if metadata is not None:
                    found.append(metadata)
        except NotFoundError:
            continue
        except SessionStoreError as error:
            core.find("error", "unreadable", f"{folder}/{MESSAGES}", str(error))
    # Of two that name one key the later made wins, and it comes last (PROTOCOLS I4).
    found.sort(key=lambda metadata: (metadata.created_at, metadata.session_id))
    return [_to_record(core, metadata) for metadata in found]


def _to_record(core: Core, metadata: SessionMetadata) -> JournalRecord:
    key = (metadata.metadata or {}).get("key")
    free = isinstance(key, str) and core.state.resolve(key) is None
    return JournalRecord(
        op="register",
        at=core.runtime.now_ms(),
        session_id=metadata.session_id,
        key=key if free else None,
        metadata=to_stored(replace(metadata, metadata=None)),
    )


def finding_of(session_id: str | None) -> Finding:
    """Return the report on a session that was found."""
    return Finding(
        severity="warning",
        code="session_found",
        path=f"{session_id}/",
        detail="the index had lost it; made anew from its messages",
        session_id=session_id,
    )


async def recover(core: Core) -> None:
    """Take in the folders the index has lost, or raise `ConflictError` to be called again."""
    root = await list_root(core.files)
    await core.catch_up()
    for epoch in root.epochs:
        core.state.deleted |= await deletes_in(core, epoch) - core.state.sessions.keys()
    found = await discover(core, root.folders)
    if found:
        await core.append(*found)
        core.repairs += [finding_of(record.session_id) for record in found]
