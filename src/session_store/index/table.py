"""The index of an engine that answers by itself: the contract over a few questions to a table.

What all such engines share is here: what is noted and written later, who is right when two
change one session, filters, cursors, and sessions that are found by their folders.
"""

from collections.abc import AsyncGenerator, Mapping, Sequence
from typing import Any, Final

from msgspec.structs import replace

from session_store.errors import (
    ClosedError,
    ConfigError,
    FileSystemError,
    InvalidIdError,
    NotFoundError,
    SessionNotFoundError,
    SessionStoreError,
    UnavailableError,
)
from session_store.files.filesystem import FileSystem
from session_store.model.records import Finding, LogMark, SessionMetadata
from session_store.runtime import Runtime

from .fields import (
    SORTS,
    Stored,
    fields_of,
    merge,
    merge_noted,
    times_of,
    to_metadata,
    to_stored,
)
from .lazy import LazyNotes, Noted, counts_of
from .manager import Recount, SessionIndexManager, SessionPage
from .paging import from_cursor, make_query, matches, to_cursor
from .questions import Change, Row, Table
from .rebuild import MESSAGES, finding_of
from .snapshot import unsafe

FEWEST_ROWS: Final = 100
"""A filter that the table does not know is tried on so many sessions at a time."""


class TableIndex(SessionIndexManager):
    """The index in the `table` of an engine, whose sessions' folders are in `files`."""

    guards_files = True

    def __init__(
        self,
        table: Table,
        files: FileSystem,
        runtime: Runtime,
        *,
        recount: Recount,
        save_delay_ms: int,
        io_timeout_ms: int,
    ) -> None:
        self._table = table
        self._files = files
        self._runtime = runtime
        self._recount = recount
        self._io_timeout = io_timeout_ms / 1000
        self._notes = LazyNotes(save_delay_ms)
        self._found: list[Finding] = []
        self._closed = False

    async def load(self) -> None:
        """See `SessionIndexManager.load`."""
        self._check_open()
        await self._table.prepare()

    async def close(self) -> None:
        """See `SessionIndexManager.close`."""
        if self._closed:
            return
        try:
            await self._write_notes()
        finally:
            self._closed = True

    async def flush(self, *, snapshot: bool = False) -> None:
        """See `SessionIndexManager.flush`."""
        self._check_open()
        await self._write_notes()

    async def refresh(self) -> None:
        """See `SessionIndexManager.refresh`; every answer is fresh."""
        await self._ready()

    async def sync(self) -> None:
        """See `SessionIndexManager.sync`; every change is durable when it is answered."""
        await self._ready()

    async def findings(self) -> list[Finding]:
        """See `SessionIndexManager.findings`."""
        await self._ready()
        return list(self._found)

    async def rebuild(self) -> None:
        """See `SessionIndexManager.rebuild`."""
        await self._ready()
        found = [metadata async for metadata in self._lost()]
        # Of two that name one key the later made wins, and it comes last (PROTOCOLS I4).
        found.sort(key=lambda metadata: (metadata.created_at, metadata.session_id))
        for metadata in found:
            key = (metadata.metadata or {}).get("key")
            await self._take_in(replace(metadata, metadata=None), key)

    async def resolve_key(self, key: str) -> str | None:
        """See `SessionIndexManager.resolve_key`."""
        await self._ready()
        return await self._table.resolve(key)

    async def register(self, session_id: str, key: str | None, metadata: SessionMetadata) -> str:
        """See `SessionIndexManager.register`."""
        reason = unsafe(session_id)
        if reason is not None:
            raise InvalidIdError(session_id, reason)
        await self._ready()
        stored = to_stored(metadata)
        made = await self._table.register(session_id, key, bytes(stored), times_of(stored))
        if made is None:
            raise InvalidIdError(session_id, "it was deleted; an id is never used again")
        return made

    async def add_key(self, key: str, session_id: str) -> None:
        """See `SessionIndexManager.add_key`."""
        await self._ready()
        if unsafe(session_id) or not await self._table.add_key(key, session_id):
            raise SessionNotFoundError(session_id)

    async def remove_key(self, key: str) -> bool:
        """See `SessionIndexManager.remove_key`."""
        await self._ready()
        return await self._table.remove_key(key)

    async def keys_of(self, session_id: str) -> list[str]:
        """See `SessionIndexManager.keys_of`."""
        await self._ready()
        return [] if unsafe(session_id) else await self._table.keys_of(session_id)

    async def all_keys(self) -> list[str]:
        """See `SessionIndexManager.all_keys`."""
        await self._ready()
        return await self._table.all_keys()

    async def all_ids(self) -> list[str]:
        """See `SessionIndexManager.all_ids`."""
        await self._ready()
        return await self._table.all_ids()

    async def has(self, session_id: str) -> bool:
        """See `SessionIndexManager.has`."""
        await self._ready()
        return bool(await self._rows([session_id]))

    async def is_deleted(self, session_id: str) -> bool:
        """See `SessionIndexManager.is_deleted`."""
        await self._ready()
        return not unsafe(session_id) and await self._table.is_deleted(session_id)

    async def delete(self, session_id: str) -> bool:
        """See `SessionIndexManager.delete`."""
        await self._ready()
        return not unsafe(session_id) and await self._table.delete(session_id)

    async def metadata(self, session_id: str) -> SessionMetadata | None:
        """See `SessionIndexManager.metadata`."""
        await self._ready()
        for row in await self._rows([session_id]):
            return to_metadata(session_id, row.stored)
        return None

    async def fields(self, session_id: str) -> dict[str, Any] | None:
        """See `SessionIndexManager.fields`."""
        await self._ready()
        for row in await self._rows([session_id]):
            return fields_of(row.stored)
        return None

    async def update(self, session_id: str, changes: Mapping[str, Any]) -> SessionMetadata:
        """See `SessionIndexManager.update`."""
        await self._ready()
        noted: Noted = {session_id: (dict(changes), True)}
        after = await self._merge(noted, durable=True)
        if session_id not in after:
            raise SessionNotFoundError(session_id)
        return to_metadata(session_id, after[session_id])

    def landed_now(
        self, session_id: str, now_ms: int, size: int, count: int | None, last_id: str
    ) -> bool:
        """See `SessionIndexManager.landed_now`; a session that had ended took no append."""
        noted = (now_ms, size, count, last_id)
        return not self._closed and self._notes.put_append(
            session_id, noted, self._runtime.monotonic()
        )

    async def note_append(
        self, session_id: str, updated_at: int | float, mark: LogMark | None
    ) -> None:
        """See `SessionIndexManager.note_append`."""
        counts = {} if mark is None else counts_of(mark)
        await self._note(session_id, {"updatedAt": updated_at, **counts}, recount=False)

    async def note_count(self, session_id: str, mark: LogMark) -> None:
        """See `SessionIndexManager.note_count`."""
        await self._note(session_id, counts_of(mark), recount=True)

    async def page(
        self,
        *,
        sort: str = "updated",
        where: Mapping[str, Any] | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> SessionPage:
        """See `SessionIndexManager.page`."""
        if limit < 1:
            raise ConfigError("limit", f"it must be at least 1, not {limit}")
        query, position = make_query(sort, where), from_cursor(sort, after)
        await self._ready()
        sessions: list[SessionMetadata] = []
        while True:
            count = limit - len(sessions)
            if query.wanted:
                count = max(count, FEWEST_ROWS)
            # One more than are looked at: whether there is one is what the page has to tell.
            rows = await self._table.page(query, position, count + 1)
            for place, row in enumerate(rows[:count], 1):
                position = getattr(times_of(row.stored), SORTS[sort]), row.session_id
                if matches(row.session_id, row.stored, query):
                    sessions.append(to_metadata(row.session_id, row.stored))
                    if len(sessions) == limit:
                        more = place < len(rows)
                        return SessionPage(sessions, to_cursor(sort, position) if more else None)
            if len(rows) <= count:
                return SessionPage(sessions)

    async def _rows(self, session_ids: Sequence[str]) -> list[Row]:
        # What can be no session's id is not asked for: an engine may not even take the text.
        return await self._table.rows([one for one in session_ids if not unsafe(one)])

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError

    async def _ready(self) -> None:
        """Raise if closed; write what was noted long enough ago."""
        self._check_open()
        if self._notes.due(self._runtime.monotonic()):
            try:
                await self._write_notes()
            except FileSystemError:
                pass  # they can be counted again

    async def _note(self, session_id: str, changes: dict[str, Any], *, recount: bool) -> None:
        self._check_open()
        self._notes.put(session_id, changes, recount=recount)
        await self._ready()

    async def _write_notes(self) -> None:
        notes = self._notes.take(self._runtime.monotonic())
        if not notes:
            return
        try:
            await self._merge(notes, durable=False)
        except BaseException:
            self._notes.give_back(notes)
            raise

    async def _merge(self, notes: Noted, *, durable: bool) -> dict[str, Stored]:
        """Return what is stored of the sessions that are there, with the changes made.

        A change that is exact stands as it is; of counts and times the larger win.
        """
        merged: dict[str, Stored] = {}
        left = list(notes)
        deadline = self._runtime.monotonic() + self._io_timeout
        while left:
            changes: list[Change] = []
            for session_id, stored, version in await self._rows(left):
                given, exact = notes[session_id]
                after = merge(stored, given) if exact else merge_noted(stored, given)
                merged[session_id] = after
                changes.append(Change(session_id, version, after, times_of(after)))
            left = await self._table.replace(changes, durable=durable) if changes else []
            if left and self._runtime.monotonic() > deadline:
                raise UnavailableError(left[0], "others change it without a pause")
        return merged

    async def _lost(self) -> AsyncGenerator[SessionMetadata, None]:
        """Yield what tells of the folders with messages that no session is known of."""
        after: str | None = ""
        while after is not None:
            page = await self._files.list("", after=after)
            after = page.after
            names = [name[:-1] for name in page.names if name.endswith("/")]
            known = {row.session_id for row in await self._table.rows(names)}
            for name in names:
                if name not in known and not unsafe(name):
                    metadata = await self._describe(name)
                    if metadata is not None:
                        yield metadata

    async def _describe(self, session_id: str) -> SessionMetadata | None:
        path = f"{session_id}/{MESSAGES}"
        try:
            return await self._recount(session_id) if await self._files.exists(path) else None
        except NotFoundError:
            return None
        except SessionStoreError as error:
            self._found.append(
                Finding(severity="error", code="unreadable", path=path, detail=str(error))
            )
            return None

    async def _take_in(self, metadata: SessionMetadata, key: object) -> None:
        stored = to_stored(metadata)
        session_id, times = metadata.session_id, times_of(stored)
        free = isinstance(key, str) and await self._table.resolve(key) is None
        named = key if free and isinstance(key, str) else None
        if await self._table.register(session_id, named, bytes(stored), times) is not None:
            self._found.append(finding_of(session_id))


__all__ = ["Change", "Row", "Table", "TableIndex"]
