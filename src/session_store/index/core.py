"""The place in the chain of journals, and the two things one can do there: read on, append.

Thin: it moves bytes and keeps `IndexState` in step with them. Used under one mutex.
"""

from collections.abc import Awaitable, Callable
from typing import Final, NamedTuple

from session_store.errors import (
    ConflictError,
    FileSystemError,
    NotFoundError,
    StorageFullError,
    UnavailableError,
)
from session_store.files.filesystem import ABSENT, FileSystem, IfVersion, is_direct
from session_store.jsonl.lines import TAIL_END, TAIL_MARK
from session_store.model.records import Finding
from session_store.runtime import Runtime

from .manager import Recount
from .records import (
    SNAPSHOT,
    JournalRecord,
    Retracted,
    encode,
    is_header,
    journal_path,
    scan,
)
from .snapshot import MAX_FINDINGS, check_format
from .state import IndexState

CHUNK_BYTES: Final = 4 << 20
PLAIN: Final = {"register", "update", "delete", "add_key", "remove_key"}
"""What changes nothing but the state."""
HEADER_BYTES: Final = 4096
RETRY_SECONDS: Final = 0.01
MAX_READS: Final = 100
MAX_PASSED: Final = 16

_SEVERITY: Final = {"unknown_op": "info", "sealed_tail": "info", "damaged_checksum": "warning"}

Commit = Callable[[str], Awaitable[None]]


class StaleError(Exception):
    """What is in memory no longer leads to the journal: load the snapshot again."""


class RetractedError(StaleError):
    """A line was taken for a record before its seal could be seen: read everything anew."""


class Base(NamedTuple):
    """The snapshot that the state in memory began with; `version` None if there is none."""

    version: str | None
    bytes: int
    epoch: int
    size: int
    foreign: bool = False
    damaged: bool = False

    @property
    def if_version(self) -> IfVersion:
        """Return the precondition under which this snapshot may be replaced."""
        return ABSENT if self.version is None else self.version


class Place:
    """How far the journal at `path` was read: whole lines to `offset`, a torn tail to `size`."""

    __slots__ = ("epoch", "last", "offset", "path", "size", "tail")

    def __init__(self, epoch: int, offset: int) -> None:
        self.epoch = epoch
        self.path = journal_path(epoch)
        self.offset = self.size = offset
        self.tail = b""
        self.last = -1


class Core:
    """The index in memory, with the place in the journals that it stands for."""

    def __init__(
        self,
        files: FileSystem,
        runtime: Runtime,
        *,
        commit: Commit,
        recount: Recount,
        io_timeout_ms: int,
    ) -> None:
        self.files = files
        self.runtime = runtime
        self.recount = recount
        self.io_timeout = io_timeout_ms / 1000
        self.state = IndexState()
        self.place = Place(0, 0)
        self.base: Base | None = None
        self.broken = False
        self.wrote = False
        self.corrections: list[JournalRecord] = []
        self.unwritten: FileSystemError | None = None
        self.findings: list[Finding] = []
        self.repairs: list[Finding] = []
        self._append_now = files.append_now if is_direct(files) else None
        self._commit = commit
        self._unsynced: dict[str, int] = {}
        self._growths = 0

    def reset(self, state: IndexState, place: Place, base: Base, broken: bool) -> None:
        """Stand at `place` with `state`; the deletes known before stay known."""
        state.deleted |= self.state.deleted - state.sessions.keys()
        self.state, self.place, self.base, self.broken = state, place, base, broken
        self.corrections = []

    def after_fork(self) -> None:
        """Stand nowhere: another thread may have been in the midst of a change."""
        self.base = None
        self.wrote = False
        self._unsynced.clear()

    def find(self, severity: str, code: str, path: str, detail: str) -> None:
        """Remember that something is not as it should be."""
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(Finding(severity=severity, code=code, path=path, detail=detail))

    async def version(self, path: str) -> str | None:
        """Return the version of the file at `path`, None if there is none."""
        try:
            return (await self.files.stat(path)).version
        except NotFoundError:
            return None

    def stands(self) -> bool:
        """Return whether the state is known, and all of it durable."""
        return not (self.base is None or self.broken or self._unsynced)

    async def read_whole(self, path: str) -> tuple[bytes | None, str | None]:
        """Return the content of the file at `path` together with its version."""
        for _ in range(MAX_READS):
            version = await self.version(path)
            if version is None:
                return None, None
            try:
                data = await self.files.read(path)
            except NotFoundError:
                continue
            if await self.version(path) == version:
                return data, version
        raise UnavailableError(path, "it is replaced without a pause")

    async def catch_up(self) -> None:
        """Read what was appended since, through seals, to the end of the last journal.

        Raises `StaleError` if the journal does not go on from where it was read.
        """
        if self.broken:
            # There is no journal to look at: what changes then is the snapshot.
            if self.base is None or await self.version(SNAPSHOT) != self.base.version:
                raise StaleError
            return
        want = CHUNK_BYTES
        deadline = self.runtime.monotonic() + self.io_timeout
        while True:
            place = self.place
            try:
                size = (await self.files.stat(place.path)).size
                if size == place.size:
                    if not size:
                        raise StaleError
                    return
                if size < place.size:
                    raise StaleError
                stop = min(size, place.offset + want)
                data = await self.files.read(place.path, place.offset, stop)
            except NotFoundError:
                raise StaleError from None
            if len(data) < stop - place.offset:
                # A storage whose answers do not agree yet; the bytes are not lost for that.
                if self.runtime.monotonic() > deadline:
                    raise UnavailableError(place.path, "it has fewer bytes than it says")
                await self.runtime.sleep(RETRY_SECONDS)
                continue
            start = place.offset
            if stop < size:
                # A line and its seal are read at once, or the line would count until then.
                whole = data.rsplit(b"\n", 3)
                data = whole[0] + b"\n" if len(whole) > 3 else b""
            self._feed(data, promised=True)
            # A line longer than what was read at once is read anew, with more.
            want = want * 2 if place.offset == start else CHUNK_BYTES

    async def append(self, *records: JournalRecord) -> None:
        """Add records where the journal was read to, or raise `ConflictError`.

        They are in the state when it returns, and durable after `settle`.
        """
        place, lines = self.place, encode(*records)
        if self.broken or not place.size:
            raise StaleError
        if place.tail:
            length = len(place.tail) + len(TAIL_MARK)
            torn = JournalRecord(op="torn", at=records[0].at, offset=place.offset, length=length)
            lines = TAIL_END + encode(torn) + lines
        await self._send(place.path, lines, place.size)
        self.wrote = True
        promised = any(record.promises for record in records)
        if len(records) == 1 and records[0].op in PLAIN and not place.tail:
            # Not read back: what was written is known.
            place.last, place.offset = place.size, place.size + len(lines)
            place.size = place.offset
            self._grew(promised=promised)
            self.state.apply(records[0])
        else:
            self._feed(place.tail + lines, promised=promised)

    async def _send(self, path: str, data: bytes, size: int) -> None:
        deadline = self.runtime.monotonic() + self.io_timeout
        unknown = False
        while True:
            try:
                if self._append_now is None or not self._append_now(path, data, size):
                    await self.files.append(path, data, if_size=size)
                return
            except UnavailableError as error:
                unknown = unknown or error.unknown
                if not unknown or self.runtime.monotonic() > deadline:
                    raise UnavailableError(path, error.reason, unknown=unknown) from error
                await self.runtime.sleep(RETRY_SECONDS)
            except ConflictError:
                if unknown and await self._stands(path, data, size):
                    return
                raise
            except StorageFullError as error:
                # That is the answer to this attempt; the one before may have landed.
                if not unknown:
                    raise
                if await self._stands(path, data, size):
                    return
                raise UnavailableError(path, str(error), unknown=True) from error

    async def _stands(self, path: str, data: bytes, size: int) -> bool:
        try:
            return await self.files.read(path, size, size + len(data)) == data
        except NotFoundError:
            return False
        except UnavailableError as error:
            raise UnavailableError(path, error.reason, unknown=True) from error

    def _feed(self, data: bytes, *, promised: bool) -> None:
        place = self.place
        try:
            found = scan(data, place.offset, place.last)
        except Retracted:
            raise RetractedError from None
        records = found.records
        ops = {record.op for record in records}
        for record in records if "open" in ops else ():
            if record.op == "open":
                # Before anything of it counts: a newer journal is not read on behind its header.
                check_format(place.path, record.format)
        place.tail = data[found.end - place.offset :]
        place.size = place.offset + len(data)
        place.offset, place.last = found.end, found.last
        for code, offset, length, reason in found.damage:
            self._note_damage(place.path, code, offset, length, reason)
        self._grew(promised=promised and any(record.promises for record in records))
        if ops == {"register"}:
            self.state.register_all(records)
            return
        apply = self.state.apply
        for record in records:
            if record.op == "seal" and record.next is not None and record.next > place.epoch:
                self.place = Place(record.next, 0)
                return
            apply(record)

    def _grew(self, *, promised: bool) -> None:
        if promised:
            self._growths += 1
            self._unsynced[self.place.path] = self._growths

    def _note_damage(self, path: str, code: str, offset: int, length: int, reason: str) -> None:
        severity = _SEVERITY.get(code, "error")
        if len(self.findings) < MAX_FINDINGS:
            self.findings.append(
                Finding(
                    severity=severity,
                    code=code,
                    path=path,
                    detail=reason,
                    offset=offset,
                    length=length,
                )
            )

    async def settle(self) -> None:
        """Return when everything the state held at the call is durable (PROTOCOLS I2).

        In the order of the journals: none may be durable while its seal is not.
        """
        for path, growth in list(self._unsynced.items()):
            try:
                await self._commit(path)
            except NotFoundError:
                # Removed by a rotation: a durable snapshot holds all of it.
                pass
            if self._unsynced.get(path) == growth:
                self._unsynced.pop(path, None)

    async def sync(self) -> None:
        """Settle, and make what was only noted durable too: a snapshot must not be ahead of it."""
        await self.settle()
        await self.keep(self.place.path)

    async def keep(self, path: str) -> None:
        """Make a journal durable that others may not have synced yet, before anything names it."""
        try:
            await self.files.sync(path)
        except NotFoundError:
            raise StaleError from None

    async def new_journal(self, after: str) -> tuple[int, int]:
        """Make a journal with nothing but a header; return its number and its size.

        One that others made for the same purpose, and have not used, is taken. A name that
        something else has, a folder perhaps, is passed over and reported.
        """
        epoch = max(self.place.epoch, self.base.epoch if self.base else 0) + 1
        deadline = self.runtime.monotonic() + self.io_timeout
        passed: list[Finding] = []
        while self.runtime.monotonic() <= deadline:
            path = journal_path(epoch)
            header = encode(
                JournalRecord(
                    op="open", at=self.runtime.now_ms(), epoch=epoch, format=1, after=after
                )
            )
            try:
                await self.files.write(path, header, if_version=ABSENT)
                self.repairs += passed
                return epoch, len(header)
            except ConflictError:
                found = await self.head(path)
                if is_header(found, after):
                    await self.keep(path)
                    self.repairs += passed
                    return epoch, len(found)
            except UnavailableError as error:
                # An outage looks the same under every name, and is raised in the end.
                if error.unknown or len(passed) == MAX_PASSED or await self.version(path):
                    raise
                passed.append(
                    Finding(severity="warning", code="name_taken", path=path, detail=error.reason)
                )
            epoch += 1
        raise UnavailableError(journal_path(epoch), "the names of journals are taken")

    async def head(self, path: str) -> bytes:
        """Return the first bytes of a file, where the header of a journal is; none if absent."""
        try:
            return await self.files.read(path, 0, HEADER_BYTES)
        except NotFoundError:
            return b""

    async def seal(self, epoch: int) -> None:
        """End the journal and go on in `epoch`; `ConflictError` if others were first."""
        await self.append(JournalRecord(op="seal", at=self.runtime.now_ms(), next=epoch))
        await self.catch_up()


__all__ = ["Base", "Commit", "Core", "Place", "RetractedError", "StaleError"]
