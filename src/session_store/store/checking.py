"""`check`: every promise about a store verified, and told as findings."""

from collections.abc import AsyncGenerator, Sequence
from typing import Final

from msgspec.structs import replace

from session_store.errors import (
    FileSystemError,
    InvalidIdError,
    NotFoundError,
    SessionNotFoundError,
)
from session_store.files.filesystem import ABSENT, FileSystem
from session_store.index.fields import number
from session_store.index.manager import SessionIndexManager
from session_store.jsonl.lines import checksum
from session_store.jsonl.scanner import Damage, Scanner, blur
from session_store.locks.decision import is_live
from session_store.locks.disk import load, lock_path
from session_store.model.records import Finding, LogMark, Record, SessionMetadata
from session_store.runtime import Runtime

from .branches import Branches
from .census import Census
from .log import SessionLog
from .logs import Logs
from .records import MESSAGES, Node, Slim, is_control, read_slim
from .replay import count_on

# What is lost or wrong is an error; what was never acknowledged, or is shown otherwise than
# it was meant, is a warning; what is only worth knowing is an info.
_SEVERITY: Final = {
    "damaged_line": "error",
    "nul_run": "error",
    "damaged_checksum": "warning",
    "misplaced_line": "warning",
    "false_seal": "warning",
    "torn_batch": "warning",
    "torn_tail": "warning",
    "sealed_tail": "info",
}

_ODD: Final = (
    ("missing_parent", "message {id!r} names a parent that is missing; it is a root"),
    ("duplicate_id", "the id {id!r} is there before; the first is found by it"),
    ("parent_behind", "message {id!r} stands before its parent"),
)


class CheckReport(Record, frozen=True, kw_only=True):
    """What `check` found, and how much it read.

    `unverified` counts the lines without a checksum, which the original writes.
    """

    findings: list[Finding]
    sessions: int
    messages: int
    bytes: int
    unverified: int

    @property
    def ok(self) -> bool:
        """Return whether nothing is lost or wrong; there may be warnings."""
        return not any(finding.severity == "error" for finding in self.findings)


class _Tally:
    def __init__(self) -> None:
        self.findings: list[Finding] = []
        self.messages = self.bytes = self.unverified = 0


class _Reading:
    """Reads lines without their content, and looks at their checksums."""

    def __init__(self) -> None:
        self.unverified = 0
        self.blurred: list[Damage] = []

    def __call__(self, line: bytes, offset: int) -> Node:
        node = read_slim(line, offset)
        if checksum(line) is None:
            self.unverified += 1
            self.blurred += blur(offset, line)
        return node

    @staticmethod
    def many(lines: Sequence[bytes]) -> list[Slim]:
        """Read lines of which all or none carry a checksum; these are looked at one by one."""
        if checksum(lines[0][:-1]) is None:
            raise ValueError
        return read_slim.many(lines)


class Checker:
    """Reads a whole store, changes nothing."""

    def __init__(
        self,
        files: FileSystem,
        runtime: Runtime,
        index: SessionIndexManager,
        logs: Logs,
        branches: Branches,
    ) -> None:
        self._files = files
        self._runtime = runtime
        self._index = index
        self._logs = logs
        self._branches = branches

    async def check(self) -> CheckReport:
        """Return the report on the whole store."""
        tally = _Tally()
        # An id that is no folder's name is reported below, with its session.
        found = await self._index.findings()
        tally.findings += [finding for finding in found if finding.code != "unsafe_id"]
        ids = await self._index.all_ids()
        for session_id in ids:
            try:
                await self._session(session_id, tally)
            except InvalidIdError as error:
                tally.findings.append(_unsafe(session_id, error.reason))
            except (FileSystemError, SessionNotFoundError) as error:
                if await self._index.has(session_id):  # else it was deleted meanwhile
                    tally.findings.append(_finding("error", "unreadable", session_id, str(error)))
        known = set(ids)
        async for folder in self._folders():
            if folder not in known:
                await self._stray(folder, tally)
        return CheckReport(
            findings=tally.findings,
            sessions=len(ids),
            messages=tally.messages,
            bytes=tally.bytes,
            unverified=tally.unverified,
        )

    async def describe(self, session_id: str) -> SessionMetadata | None:
        """Return what the log of a session tells of it and None if there is no log.

        For a session that the index has lost; `metadata` holds its key, if the log has one.
        """
        # A log of its own: who asks holds the index, and whoever holds a log may wait for that.
        log = SessionLog(self._files, session_id, self._runtime, lambda *_: None, lambda _: None)
        await log.refresh()
        if not log.size:
            return None
        count, first, last = 0, None, None
        scanner = Scanner(read_slim)
        async for entries in log.file.scan(scanner, log.settled):
            count = count_on(count, entries)
            first = first or entries[0][2]
            last = entries[-1][2]
        if first is None or last is None:
            stats = await self._files.stat(log.path)
            return SessionMetadata(
                session_id=session_id, created_at=stats.mtime_ms, updated_at=stats.mtime_ms
            )
        return SessionMetadata(
            session_id=session_id,
            created_at=number(first.timestamp),
            updated_at=number(last.timestamp),
            message_count=count,
            log=LogMark(size=log.settled, messages=count, last_id=last.id),
            metadata={"key": first.key} if first.key else None,
        )

    async def _folders(self) -> AsyncGenerator[str, None]:
        after: str | None = ""
        while after is not None:
            page = await self._files.list("", after=after)
            for name in page.names:
                if name.endswith("/"):
                    yield name[:-1]
            after = page.after

    async def _stray(self, folder: str, tally: _Tally) -> None:
        """Report a folder that no record of the index names."""
        path = f"{folder}/"
        if await self._index.is_deleted(folder):
            text = "what a delete left behind; the next rotation of the index removes it"
            tally.findings.append(_finding("warning", "leftover_folder", path, text))
            return
        try:
            size = (await self._files.stat(f"{folder}/{MESSAGES}")).size
        except NotFoundError:
            size = 0
        if size:
            text = f"{size} bytes of messages that the index does not know: check --repair-index"
            tally.findings.append(_finding("error", "lost_session", path, text))
        elif (await self._files.list(folder, limit=1)).names:
            text = "a folder with no messages in it, which no session owns"
            tally.findings.append(_finding("info", "foreign_folder", path, text))
        else:
            text = "an empty folder, as the original leaves one after a delete"
            tally.findings.append(_finding("info", "empty_folder", path, text))

    async def _session(self, session_id: str, tally: _Tally) -> None:
        found: list[Finding] = []
        async with self._logs.using(session_id) as log:
            await log.refresh()
            census = await self._log(log, tally, found)
            await self._count(log, census.visible, found)
            found += [
                _damage(f"{session_id}/branches.jsonl", damage)
                for damage in await self._branches.damage(session_id)
            ]
            found += await self._branches.findings(log, census.holds)
        found += await self._lock(session_id)
        tally.messages += census.messages
        tally.findings += [replace(finding, session_id=session_id) for finding in found]

    async def _lock(self, session_id: str) -> list[Finding]:
        lock, version = await load(self._files, session_id)
        path = lock_path(session_id)
        if lock is None:
            text = "it cannot be read; it counts as expired, and is fenced off by the next holder"
            return [] if version is ABSENT else [_finding("warning", "bad_lock", path, text)]
        if lock.released or is_live(lock, self._runtime.now_ms()):
            return []
        text = f"{lock.owner!r} never released it, and it has expired"
        return [_finding("info", "expired_lock", path, text)]

    async def _log(self, log: SessionLog, tally: _Tally, found: list[Finding]) -> Census:
        census = Census()
        read = _Reading()
        scanner = Scanner(read)
        async for entries in log.file.scan(scanner, log.size):
            census.extend(entries)
            await self._runtime.sleep(0)
        found += [_damage(log.path, damage) for damage in read.blurred]
        tally.unverified += read.unverified
        tally.bytes += log.size
        found += [_damage(log.path, damage) for damage in scanner.damage]
        if scanner.settled < scanner.position:
            place = (scanner.settled, scanner.position - scanner.settled)
            text = "a batch that was cut off; it is not shown, the next append seals it off"
            found.append(_finding("warning", "pending_batch", log.path, text, *place))
        if scanner.position < log.size:
            place = (scanner.position, log.size - scanner.position)
            text = "bytes without a line end: a write that was cut off; the next append seals it"
            found.append(_finding("warning", "torn_tail", log.path, text, *place))
        await self._tree(log, census, found)
        return census

    async def _tree(self, log: SessionLog, census: Census, found: list[Finding]) -> None:
        """Tell of the messages that contradict each other, by reading them once more."""
        odd = census.oddities()
        if not any(odd):
            return
        seen: set[str] = set()
        told: dict[str, list[Finding]] = {code: [] for code, _ in _ODD}
        ordinal = 0
        async for entries in log.file.scan(Scanner(read_slim), log.size):
            for offset, _, node in entries:
                if node.control is not None and is_control(node):
                    continue
                is_odd = (ordinal in odd.orphans, node.id in seen, ordinal in odd.before_parent)
                for (code, text), true in zip(_ODD, is_odd, strict=True):
                    if true:
                        detail = text.format(id=node.id)
                        told[code].append(_finding("warning", code, log.path, detail, offset))
                if hash(node.id) in odd.doubled:
                    seen.add(node.id)
                ordinal += 1
            await self._runtime.sleep(0)
        for findings in told.values():
            found += findings

    async def _count(self, log: SessionLog, count: int, found: list[Finding]) -> None:
        metadata = await self._index.metadata(log.session_id)
        mark = metadata.log if metadata else None
        if metadata is None or mark is None:
            return
        if log.size < mark.size:
            text = f"it has {log.size} bytes, the index remembers {mark.size}: the rest is lost"
            found.append(_finding("warning", "log_short", log.path, text, log.size))
        elif not await log.holds(mark):
            text = "the index counted another log than this one; it is counted anew when asked"
            found.append(_finding("warning", "stale_count", "sessions.json", text))
        elif mark.size == log.settled and mark.messages != count:
            text = f"the index counts {mark.messages} messages, the log holds {count}"
            found.append(_finding("error", "wrong_count", "sessions.json", text))


def _unsafe(session_id: str, reason: str) -> Finding:
    text = f"the session {session_id!r} is left as it is, its folder is not touched: {reason}"
    return replace(_finding("warning", "unsafe_id", "sessions.json", text), session_id=session_id)


def _damage(path: str, damage: Damage) -> Finding:
    severity = _SEVERITY.get(damage.code, "error")
    return _finding(severity, damage.code, path, damage.reason, damage.offset, damage.length)


def _finding(
    severity: str,
    code: str,
    path: str,
    detail: str,
    offset: int | None = None,
    length: int | None = None,
) -> Finding:
    return Finding(
        severity=severity, code=code, path=path, detail=detail, offset=offset, length=length
    )
