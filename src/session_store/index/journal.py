"""The index on any file system: a snapshot, and a journal that many processes append to."""

from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Any, TypeVar

from session_store.errors import (
    ClosedError,
    ConfigError,
    FileSystemError,
    InvalidIdError,
    NotFoundError,
    SessionNotFoundError,
    UnavailableError,
)
from session_store.files.filesystem import FileSystem, is_direct
from session_store.model.records import Finding, LogMark, SessionMetadata
from session_store.runtime import Runtime, on_fork

from .access import Access, Decision
from .core import Base, Commit, Core
from .fields import fields_of, merge, to_metadata, to_stored
from .lazy import LazyNotes, counts_of, to_records
from .manager import Recount, SessionIndexManager, SessionPage
from .paging import from_cursor, look, make_query, to_cursor
from .records import SNAPSHOT, JournalRecord
from .rotation import recall_deletes
from .snapshot import unsafe
from .spare import spare_findings
from .state import IndexState

T = TypeVar("T")


class JournalIndex(SessionIndexManager):
    """Every change is one line of the journal, appended only where this process has read to.

    So whoever changes something has seen all that was changed before. `commit` makes a file as
    durable as the store's mode says; `recount` tells what the log of a session tells of it,
    with its key in `metadata`. Reads hold the whole index in memory.
    """

    guards_files = False

    def __init__(
        self,
        files: FileSystem,
        runtime: Runtime,
        *,
        commit: Commit,
        recount: Recount,
        save_delay_ms: int = 100,
        io_timeout_ms: int = 10_000,
    ) -> None:
        self._files = files
        self._runtime = runtime
        self._core = Core(
            files, runtime, commit=commit, recount=recount, io_timeout_ms=io_timeout_ms
        )
        self._access = Access(self._core)
        self._lazy = LazyNotes(save_delay_ms)
        self._mutex = runtime.mutex()
        self._recalled: Base | None = None
        self._monotonic = runtime.monotonic
        direct = files if is_direct(files) else None
        self._size_now = None if direct is None else direct.size_now
        self._is_now = None if direct is None else direct.is_now
        on_fork(self)

    def after_fork(self) -> None:
        """Forget, in the child, what the parent noted, and read everything anew."""
        self._mutex = self._runtime.mutex()
        self._lazy.after_fork()
        self._core.after_fork()

    async def load(self) -> None:
        """See `SessionIndexManager.load`."""
        await self.refresh()

    async def refresh(self) -> None:
        """See `SessionIndexManager.refresh`."""
        await self._ask(lambda _: None)

    async def close(self) -> None:
        """See `SessionIndexManager.close`."""
        if self._access.closed:
            return
        try:
            # Who only read writes nothing, and may not be able to.
            if self._core.wrote or self._lazy:
                await self.flush(snapshot=True)
        finally:
            self._access.closed = True

    async def flush(self, *, snapshot: bool = False) -> None:
        """See `SessionIndexManager.flush`."""
        core = self._core
        async with self._mutex:
            await self._access.catch_up()
            await self._write_notes()
            if snapshot:
                await self._access.save()
            path = core.place.path if core.wrote else None
        await core.settle()
        if path is not None:
            await self._sync(path)

    async def sync(self) -> None:
        """See `SessionIndexManager.sync`."""
        async with self._mutex:
            await self._access.catch_up()
            path = self._core.place.path
        await self._sync(path)

    async def _sync(self, path: str) -> None:
        with suppress(NotFoundError):  # another's rotation: a durable snapshot holds all of it
            await self._files.sync(path)

    async def findings(self) -> list[Finding]:
        """See `SessionIndexManager.findings`."""

        def report(_: IndexState) -> list[Finding]:
            core = self._core
            found, base, place = [*core.repairs, *core.findings], core.base, core.place
            if base is not None and (base.epoch, base.size) != (place.epoch, place.offset):
                detail = (
                    "it lags behind the journal; flush(snapshot=True) writes it while it is small"
                )
                found.append(
                    Finding(severity="info", code="snapshot_lags", path=SNAPSHOT, detail=detail)
                )
            if place.tail:
                found.append(
                    Finding(
                        severity="warning",
                        code="torn_tail",
                        path=place.path,
                        detail="a write that was cut off; the next change seals it",
                        offset=place.offset,
                        length=len(place.tail),
                    )
                )
            return found

        found = await self._ask(report)
        async with self._mutex:
            return found + await spare_findings(self._core)

    async def rebuild(self) -> None:
        """See `SessionIndexManager.rebuild`."""
        async with self._mutex:
            await self._access.recover()
        await self._core.settle()

    async def resolve_key(self, key: str) -> str | None:
        """See `SessionIndexManager.resolve_key`."""
        return await self._ask(lambda state: state.resolve(key))

    def resolve_now(self, key: str) -> str | None:
        """Return what `resolve_key` would if that takes no more than a look, else None."""
        core = self._core
        if self._is_now is None or not self._mutex.enter_now():
            return None
        try:
            if not core.stands() or self._lazy.due(self._monotonic()):
                return None
            same = self._is_now(core.place.path, core.place.size)
            return core.state.resolve(key) if same else None
        finally:
            self._mutex.leave()

    async def keys_of(self, session_id: str) -> list[str]:
        """See `SessionIndexManager.keys_of`."""
        return await self._ask(
            lambda state: state.keys_of(session_id) if session_id in state.sessions else []
        )

    async def all_keys(self) -> list[str]:
        """See `SessionIndexManager.all_keys`."""
        return await self._ask(
            lambda state: [key for key, id_ in state.keys.items() if id_ in state.sessions]
        )

    async def all_ids(self) -> list[str]:
        """See `SessionIndexManager.all_ids`."""
        return await self._ask(lambda state: list(state.sessions))

    async def has(self, session_id: str) -> bool:
        """See `SessionIndexManager.has`."""
        return await self._ask(lambda state: session_id in state.sessions)

    def landed_now(
        self, session_id: str, now_ms: int, size: int, count: int | None, last_id: str
    ) -> bool:
        """See `SessionIndexManager.landed_now`."""
        core = self._core
        if not self._mutex.enter_now():
            return False
        try:
            noted = (now_ms, size, count, last_id)
            return (
                self._size_now is not None
                and core.stands()
                and session_id in core.state.sessions
                and self._size_now(core.place.path) == core.place.size
                and self._lazy.put_append(session_id, noted, self._monotonic())
            )
        finally:
            self._mutex.leave()

    async def is_deleted(self, session_id: str) -> bool:
        """See `SessionIndexManager.is_deleted`."""

        def look(state: IndexState) -> bool | None:
            return session_id in state.deleted or (False if session_id in state.sessions else None)

        known = await self._ask(look)
        if known is not None:
            return known
        async with self._mutex:
            await self._access.catch_up()
            if self._recalled is not self._core.base:
                await recall_deletes(self._core)
                self._recalled = self._core.base
            return session_id in self._core.state.deleted

    async def metadata(self, session_id: str) -> SessionMetadata | None:
        """See `SessionIndexManager.metadata`."""
        stored = await self._ask(lambda state: state.sessions.get(session_id))
        return None if stored is None else to_metadata(session_id, stored)

    async def fields(self, session_id: str) -> dict[str, Any] | None:
        """See `SessionIndexManager.fields`."""
        stored = await self._ask(lambda state: state.sessions.get(session_id))
        return None if stored is None else fields_of(stored)

    async def register(self, session_id: str, key: str | None, metadata: SessionMetadata) -> str:
        """See `SessionIndexManager.register`."""
        reason = unsafe(session_id)
        if reason is not None:
            raise InvalidIdError(session_id, reason)

        # The quotes, here and below: what is not quoted is evaluated at every call, for 4 µs.
        def decide(state: IndexState) -> "Decision[str]":
            known = None if key is None else state.resolve(key)
            if known is not None:
                return known, []
            if session_id in state.deleted:
                raise InvalidIdError(session_id, "it was deleted; an id is never used again")
            if session_id not in state.sessions:
                stored = to_stored(metadata)
                return session_id, [self._record("register", session_id, key, metadata=stored)]
            return session_id, [self._record("add_key", session_id, key)] if key else []

        return await self._change(decide)

    async def add_key(self, key: str, session_id: str) -> None:
        """See `SessionIndexManager.add_key`."""

        def decide(state: IndexState) -> "Decision[None]":
            if session_id not in state.sessions:
                raise SessionNotFoundError(session_id)
            there = state.resolve(key) == session_id
            return None, [] if there else [self._record("add_key", session_id, key)]

        await self._change(decide)

    async def remove_key(self, key: str) -> bool:
        """See `SessionIndexManager.remove_key`."""

        def decide(state: IndexState) -> "Decision[bool]":
            records = [self._record("remove_key", None, key)] if key in state.keys else []
            return state.resolve(key) is not None, records

        return await self._change(decide)

    async def delete(self, session_id: str) -> bool:
        """See `SessionIndexManager.delete`."""

        def decide(state: IndexState) -> "Decision[bool]":
            there = session_id in state.sessions
            return there, [self._record("delete", session_id, None)] if there else []

        return await self._change(decide)

    async def update(self, session_id: str, changes: Mapping[str, Any]) -> SessionMetadata:
        """See `SessionIndexManager.update`."""

        def decide(state: IndexState) -> "Decision[SessionMetadata]":
            stored = state.sessions.get(session_id)
            if stored is None:
                raise SessionNotFoundError(session_id)
            after = to_metadata(session_id, merge(stored, changes))
            record = self._record("update", session_id, None, changes=dict(changes))
            return after, [record] if changes else []

        return await self._change(decide)

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
        sessions: list[SessionMetadata] = []
        while True:
            before, wanted = position, limit - len(sessions)
            found = await self._ask(lambda state: look(state, query, before, wanted))  # noqa: B023
            sessions += found.sessions
            position = found.position
            if found.done or position is None:
                return SessionPage(sessions)
            if len(sessions) == limit:
                return SessionPage(sessions, after=to_cursor(sort, position))
            # A filter that matches nothing looks at all: let others run meanwhile.
            await self._runtime.sleep(0)

    def _record(
        self, op: str, session_id: str | None, key: str | None, **fields: Any
    ) -> JournalRecord:
        at = self._runtime.now_ms()
        return JournalRecord(op=op, at=at, session_id=session_id, key=key, **fields)

    async def _ask(self, question: Callable[[IndexState], T]) -> T:
        """Answer from all that others were answered, once that is durable (I2)."""
        async with self._mutex:
            # First: where it fails, the index may have to be opened anew.
            await self._write_notes_if_due()
            await self._access.catch_up()
            answer = question(self._core.state)
        await self._core.settle()
        return answer

    async def _change(self, decide: Callable[[IndexState], Decision[T]]) -> T:
        """Return what `decide` answers when its records stand right behind what it has seen."""
        written: list[JournalRecord] = []

        def deciding(state: IndexState) -> "Decision[T]":
            answer, written[:] = decide(state)
            return answer, written

        async with self._mutex:
            answer = await self._access.write(deciding)
            await self._write_notes_if_due()
        try:
            # Outside of the mutex, so that many who wait share one sync.
            await self._core.settle()
        except UnavailableError as error:
            # What stands in the journal may count, though nobody can say that it will last.
            raise UnavailableError(error.path, error.reason, unknown=bool(written)) from error
        return answer

    async def _note(self, session_id: str, changes: dict[str, Any], *, recount: bool) -> None:
        if self._access.closed:
            raise ClosedError
        self._lazy.put(session_id, changes, recount=recount)
        if self._lazy.due(self._runtime.monotonic()):
            async with self._mutex:
                await self._write_notes_if_due()

    async def _write_notes_if_due(self) -> None:
        if self._lazy.due(self._runtime.monotonic()):
            try:
                await self._write_notes()
            except FileSystemError:
                # They can be counted again; what the caller asked for has happened.
                pass

    async def _write_notes(self) -> None:
        notes = self._lazy.take(self._runtime.monotonic())
        if not notes:
            return
        records = to_records(notes, self._runtime.now_ms())
        try:
            await self._access.write(
                lambda state: (None, [r for r in records if r.session_id in state.sessions])
            )
        except BaseException:
            self._lazy.give_back(notes)
            raise
