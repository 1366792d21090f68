"""A store copied into another: raw logs first, then the session, so nobody sees half of one.

A log of the target is always a prefix of its source, and each piece is appended only where the
one before it ended; so whatever cut a copy off, doing it again goes on from there.
"""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from typing import Any, Final

import msgspec

from session_store.errors import ConfigError, ConflictError, NotFoundError, SessionNotFoundError
from session_store.event_loop import AsyncRuntime
from session_store.files.filesystem import FileSystem
from session_store.files.urls import open_files
from session_store.index.manager import SessionIndexManager
from session_store.model.config import StoreConfig
from session_store.model.records import SessionMetadata
from session_store.store.engine import Engine
from session_store.store.records import BRANCHES, MESSAGES

PIECE_BYTES: Final = 1 << 20
AT_ONCE: Final = 8
PAGE: Final = 200
LOGS: Final = (MESSAGES, BRANCHES)
_SET: Final = ("userId", "tokenEstimate", "modelOverrides", "metadata")
"""What others may have set of a session; times and counts come with its log."""

Progress = Callable[[int], None]


class Copied(msgspec.Struct, rename="camel"):
    """What a copy has done; `left_out` are ids that no store of ours can hold."""

    sessions: int = 0
    bytes: int = 0
    left_out: list[str] = msgspec.field(default_factory=list)


class Difference(msgspec.Struct, frozen=True, rename="camel"):
    """Where a copy is not what it was made of."""

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
    only what is missing is added, also of sessions that have grown since. Sessions that are
    written to meanwhile are copied as far as they were; doing it again brings the rest. What
    was deleted from the source since stays in the target. Locks are not copied. `progress` is
    told of bytes. Raises `ConflictError` if a log of the target is no beginning of its source.
    """
    done = Copied()
    async with _opened(source) as ours, _opened(target) as theirs:
        if not resume and not await _is_empty(theirs):
            reason = "the target holds sessions: take an empty one, or go on with --resume"
            raise ConfigError("target", reason)

        async def one(metadata: SessionMetadata) -> None:
            await _copy_session(ours, theirs, metadata, done, progress)

        await _for_each(ours.sessions(), one)
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
        done.left_out.append(session_id)
        return
    # What there was to be said of it before its log was read: never more than was copied.
    keys = await ours.index.keys_of(session_id)
    for name in LOGS:
        added = await _copy_log(ours, theirs, f"{session_id}/{name}", progress)
        done.bytes += added  # apart: others add to it during the wait
    await _register(theirs, metadata, keys)
    done.sessions += 1


async def _copy_log(ours: Side, theirs: Side, path: str, progress: Progress) -> int:
    """Return how many bytes were added, durably."""
    size, there = await ours.size(path), await theirs.size(path)
    await _check_prefix(ours, theirs, path, size, there)
    progress(there)
    at = there
    while at < size:
        data = await ours.files.read(path, at, min(size, at + PIECE_BYTES))
        if not data:
            break  # the session was deleted, or begun anew, while it was copied
        # Whole lines, where there are any: an engine may show what one call brought as records.
        data = data[: data.rfind(b"\n") + 1] or data
        at = await theirs.files.append(path, data, if_size=at)
        progress(len(data))
    if at > there:
        await theirs.files.sync(path)
    return at - there


async def _check_prefix(ours: Side, theirs: Side, path: str, size: int, there: int) -> None:
    """Raise `ConflictError` unless the end of what is there stands at the same place in ours."""
    if there <= size:
        start = max(0, there - PIECE_BYTES)
        if not there or await ours.files.read(path, start, there) == await theirs.files.read(
            path, start, there
        ):
            return
    raise ConflictError(path, expected=size, actual=there)


async def _register(theirs: Side, metadata: SessionMetadata, keys: Iterable[str]) -> None:
    session_id = metadata.session_id
    fields: dict[str, Any] = msgspec.to_builtins(metadata)
    if await theirs.index.has(session_id):
        changes = {name: fields.get(name) for name in _SET}
        await theirs.index.update(session_id, changes)
    else:
        await theirs.index.register(session_id, None, metadata)
    if metadata.log is not None:
        await theirs.index.note_append(session_id, metadata.updated_at, metadata.log)
    there = set(await theirs.index.keys_of(session_id))
    for key in keys:
        if key not in there:
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
    copy = await theirs.index.metadata(session_id)
    if copy is None:
        return [*found, Difference(session_id, "it is not in the target")]
    one, other = msgspec.to_builtins(metadata), msgspec.to_builtins(copy)
    found += [
        Difference(session_id, f"{name} is {other.get(name)!r}, not {one.get(name)!r}")
        for name in (*_SET, "createdAt")
        if one.get(name) != other.get(name)
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
