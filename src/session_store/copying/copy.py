"""A store copied into another: raw logs first, then the session, so nobody sees half of one.

A log of the target is always a prefix of its source, and each piece is appended only where the
one before it ended; so whatever cut a copy off, doing it again goes on from there.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from session_store.errors import (
    ConfigError,
    ConflictError,
    InvalidIdError,
    NotFoundError,
    SessionNotFoundError,
)
from session_store.event_loop import AsyncRuntime
from session_store.files.filesystem import FileSystem
from session_store.files.urls import open_files
from session_store.index.manager import SessionIndexManager
from session_store.model.config import StoreConfig
from session_store.model.records import SessionMetadata
from session_store.store.engine import Engine
from session_store.store.records import BRANCHES, MESSAGES

PIECE_BYTES: Final = 1 << 20
LONGEST_BYTES: Final = 16 << 20
"""So long a line is still copied in one piece: an engine's view reads lines that are whole."""
AT_ONCE: Final = 8
PAGE: Final = 200
LOGS: Final = (MESSAGES, BRANCHES)
_COUNTED: Final = {"updatedAt", "messageCount"}
_OF_THE_LOG: Final = {"log", *_COUNTED}
"""What is known of a session from its log, and comes with that; all else somebody has set."""

_LOST: Final = "the index does not know it: `session-store check --repair-index` takes it in"

Progress = Callable[[int], None]


class Copied(msgspec.Struct, rename="camel"):
    """What a copy has done, what it left out, and what it replaced that was set in the target."""

    sessions: int = 0
    bytes: int = 0
    left_out: list["Difference"] = msgspec.field(default_factory=list)
    replaced: list["Difference"] = msgspec.field(default_factory=list)


class Difference(msgspec.Struct, frozen=True, rename="camel"):
    """Where a copy is not what it was made of, or is not what was there before."""

    path: str
    what: str


class Side:
    """One of the two stores, past its face: whole logs, and the index."""

    def __init__(self, files: FileSystem, index: SessionIndexManager) -> None:
        self.files = files
        self.index = index

    async def size(self, path: str) -> int:
        """Return how many bytes a log has; none if it is not there."""
        try:
            return (await self.files.stat(path)).size
        except NotFoundError:
            return 0

    async def sessions(self) -> AsyncGenerator[SessionMetadata, None]:
        """Yield what is known of each session, the newest first."""
        after: str | None = None
        while True:
            page = await self.index.page(sort="created", after=after, limit=PAGE)
            for metadata in page.sessions:
                yield metadata
            after = page.after
            if after is None:
                return

    async def lost(self) -> AsyncGenerator[str, None]:
        """Yield the folders with messages that an index in files does not know."""
        after: str | None = None if self.index.guards_files else ""
        while after is not None:
            page = await self.files.list("", after=after)
            after = page.after
            for name in page.names:
                session_id, separator, _ = name.partition("/")
                if (
                    separator
                    and not await self.index.has(session_id)
                    and not await self.index.is_deleted(session_id)
                    and await self.files.exists(f"{session_id}/{MESSAGES}")
                ):
                    yield session_id


@asynccontextmanager
async def _opened(url: str) -> AsyncGenerator[Side, None]:
    engine = Engine(open_files(url), StoreConfig(), AsyncRuntime())
    try:
        await engine.init()
        yield Side(engine._files, engine._index)
    finally:
        await engine.close()


async def size_of(source: str) -> int:
    """Return about how many bytes the logs of a store have, as its index tells."""
    async with _opened(source) as side:
        sizes = [known.log.size async for known in side.sessions() if known.log is not None]
        return sum(sizes)


async def copy_store(
    source: str, target: str, *, resume: bool = False, progress: Progress = lambda _: None
) -> Copied:
    """Copy every session of `source` into `target`, and return what was done.

    The target has to be empty, unless it is to `resume` a copy: then what is there stays, and
    only what is missing is added, also of sessions that have grown since; of metadata that is
    different the source's is taken, and that is told. A key stays with a session that only the
    target has, and what was deleted there stays so: both are told, too. What was deleted from
    the source since stays in the target. Sessions that are written to meanwhile are copied as
    far as they were; doing it again brings the rest. Locks are not copied. `progress` is told
    of bytes. Raises `ConflictError` if a log of the target is no beginning of its source.
    """
    if target == "memory:":
        raise ConfigError(
            "target", "what is in memory: ends with the copy; give a place that stays"
        )
    done = Copied()
    async with _opened(source) as ours, _opened(target) as theirs:
        if not resume and not await _is_empty(theirs):
            reason = "the target holds sessions: take an empty one, or go on with --resume"
            raise ConfigError("target", reason)

        async def one(metadata: SessionMetadata) -> None:
            await _copy_session(ours, theirs, metadata, done, progress)

        await _for_each(ours.sessions(), one)
        done.left_out += [Difference(name, _LOST) async for name in ours.lost()]
        await theirs.index.flush()
        await theirs.index.sync()
    return done


async def verify_copy(
    source: str, target: str, *, progress: Progress = lambda _: None
) -> list[Difference]:
    """Return where `target` differs from `source`: every byte of every log, keys, metadata."""
    found: list[Difference] = []
    async with _opened(source) as ours, _opened(target) as theirs:

        async def one(metadata: SessionMetadata) -> None:
            found.extend(await _compare_session(ours, theirs, metadata, progress))

        await _for_each(ours.sessions(), one)
        known = set(await ours.index.all_ids())
        for session_id in await theirs.index.all_ids():
            if session_id not in known:
                found.append(Difference(session_id, "it is in the target only"))
    found.sort(key=lambda one: one.path)
    return found


async def _is_empty(side: Side) -> bool:
    page = await side.index.page(sort="created", limit=1)
    folders = [name for name in (await side.files.list("", limit=20)).names if name.endswith("/")]
    return not page.sessions and not folders


async def _for_each(
    sessions: AsyncGenerator[SessionMetadata, None],
    work: Callable[[SessionMetadata], Awaitable[None]],
) -> None:
    """Do the work for each session, several at once."""
    waiting: asyncio.Queue[SessionMetadata | None] = asyncio.Queue(AT_ONCE)

    async def take() -> None:
        while (metadata := await waiting.get()) is not None:
            await work(metadata)

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(AT_ONCE):
                group.create_task(take())
            async for metadata in sessions:
                await waiting.put(metadata)
            for _ in range(AT_ONCE):
                await waiting.put(None)
    except BaseExceptionGroup as errors:
        # One is enough to end it, and is what a caller can catch.
        raise errors.exceptions[0] from None


async def _copy_session(
    ours: Side, theirs: Side, metadata: SessionMetadata, done: Copied, progress: Progress
) -> None:
    session_id = metadata.session_id
    if "/" in session_id:
        # The original takes what it is given; such a folder may be another session's.
        done.left_out.append(Difference(session_id, "an id with a / is no folder's name"))
        return
    # What there was to be said of it before its log was read: never more than was copied.
    keys = await ours.index.keys_of(session_id)
    try:
        for name in LOGS:
            added = await _copy_log(ours, theirs, f"{session_id}/{name}", progress)
            done.bytes += added  # apart: others add to it during the wait
        fields = await ours.index.fields(session_id)
        if fields is not None:
            await _register(theirs, metadata, fields, done)
            await _add_keys(ours, theirs, session_id, keys, done)
            done.sessions += 1
            return
    except (NotFoundError, SessionNotFoundError, InvalidIdError) as error:
        if await theirs.index.is_deleted(session_id):
            done.left_out.append(Difference(session_id, "it was deleted in the target"))
        elif isinstance(error, InvalidIdError):
            done.left_out.append(Difference(session_id, error.reason))
        elif await ours.index.has(session_id):
            raise
    # Deleted meanwhile, or not to be had: nothing is left of it, unless it was there before.
    if not await theirs.index.has(session_id):
        await theirs.files.delete_tree(session_id)


async def _copy_log(ours: Side, theirs: Side, path: str, progress: Progress) -> int:
    """Return how many bytes were added, durably."""
    size, there = await ours.size(path), await theirs.size(path)
    await _check_prefix(ours, theirs, path, size, there)
    progress(there)
    at = there
    while at < size:
        data = await _piece(ours, path, at, size)
        if not data:
            break  # the session was deleted, or begun anew, while it was copied
        at = await theirs.files.append(path, data, if_size=at)
        progress(len(data))
    if at:
        # Also where nothing was missing: a copy that was killed may not have come to this.
        await theirs.files.sync(path)
    return at - there


async def _piece(ours: Side, path: str, start: int, size: int) -> bytes:
    """Return what to copy next: whole lines, where there are any."""
    length = PIECE_BYTES
    while True:
        end = min(size, start + length)
        data = await ours.files.read(path, start, end)
        whole = data.rfind(b"\n") + 1
        if whole or end == size or length >= LONGEST_BYTES or not data:
            return data[:whole] or data
        length *= 2


async def _check_prefix(ours: Side, theirs: Side, path: str, size: int, there: int) -> None:
    """Raise `ConflictError` unless the end of what is there stands at the same place in ours."""
    if there <= size:
        start = max(0, there - PIECE_BYTES)
        if not there or await ours.files.read(path, start, there) == await theirs.files.read(
            path, start, there
        ):
            return
    raise ConflictError(path, expected=size, actual=there)


async def _register(
    theirs: Side, metadata: SessionMetadata, fields: Mapping[str, Any], done: Copied
) -> None:
    session_id = metadata.session_id
    there = await theirs.index.fields(session_id)
    if there is None:
        await theirs.index.register(session_id, None, metadata)
        before = await theirs.index.fields(session_id) or {}
    else:
        before = there
    changes = _different(before, fields, {"log"} if metadata.log is None else _OF_THE_LOG)
    if changes:
        await theirs.index.update(session_id, changes)
    if metadata.log is not None:
        await theirs.index.note_append(session_id, metadata.updated_at, metadata.log)
    replaced = sorted(name for name in changes if (there or {}).get(name) is not None)
    if set(replaced) - _COUNTED:
        done.replaced.append(Difference(session_id, ", ".join(replaced)))


def _different(
    before: Mapping[str, Any], fields: Mapping[str, Any], apart: set[str]
) -> dict[str, Any]:
    """Return what makes `fields` of what was before, `apart` from some of them."""
    names = {*before, *fields} - apart - {"sessionId"}
    return {name: fields.get(name) for name in names if before.get(name) != fields.get(name)}


async def _add_keys(
    ours: Side, theirs: Side, session_id: str, keys: Iterable[str], done: Copied
) -> None:
    there = set(await theirs.index.keys_of(session_id))
    for key in keys:
        if key in there:
            continue
        holder = await theirs.index.resolve_key(key)
        if holder is not None and not await ours.index.has(holder):
            what = f"the key {key!r} names a session of the target's own there"
            done.left_out.append(Difference(session_id, what))
        else:
            await theirs.index.add_key(key, session_id)


async def _compare_session(
    ours: Side, theirs: Side, metadata: SessionMetadata, progress: Progress
) -> list[Difference]:
    session_id = metadata.session_id
    if "/" in session_id:
        return [Difference(session_id, "an id with a / cannot be copied")]
    found: list[Difference] = []
    for name in LOGS:
        path = f"{session_id}/{name}"
        difference = await _compare_log(ours, theirs, path, progress)
        if difference is not None:
            found.append(Difference(path, difference))
    copy = await theirs.index.fields(session_id)
    if copy is None:
        return [*found, Difference(session_id, "it is not in the target")]
    fields = await ours.index.fields(session_id) or {}
    found += [
        Difference(session_id, f"{name} is {copy.get(name)!r}, not {fields.get(name)!r}")
        for name in sorted(_different(copy, fields, _OF_THE_LOG))
    ]
    try:
        keys = set(await ours.index.keys_of(session_id))
    except SessionNotFoundError:
        keys = set()
    for key in keys ^ set(await theirs.index.keys_of(session_id)):
        where = "source" if key in keys else "target"
        found.append(Difference(session_id, f"the key {key!r} is in the {where} only"))
    return found


async def _compare_log(ours: Side, theirs: Side, path: str, progress: Progress) -> str | None:
    """Return what is different, None if nothing is."""
    size, there = await ours.size(path), await theirs.size(path)
    for at in range(0, min(size, there), PIECE_BYTES):
        end = min(size, there, at + PIECE_BYTES)
        one = await ours.files.read(path, at, end)
        other = await theirs.files.read(path, at, end)
        progress(len(one))
        if one != other:
            pairs = zip(one, other, strict=False)
            place = next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(one), len(other)))
            return f"byte {at + place} differs"
    return None if size == there else f"it has {there} bytes, not {size}"
