"""A store in miniature for tests of the locks: a log with fences, and guarded appends."""

import json
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Any

from session_store.errors import ConflictError, NotFoundError, UnavailableError
from session_store.files.filesystem import ANY, FileStats, FileSystem, IfVersion
from session_store.files.memory import InMemoryFileSystem
from session_store.locks import LockManager
from session_store.runtime import BlockingRuntime, Runtime, run

SESSION = "s1"
LOG = f"{SESSION}/messages.jsonl"
LOCK = f"{SESSION}/lock.json"
TTL_MS = 1000


@dataclass(frozen=True)
class Fence:
    offset: int
    epoch: int
    nonce: str


class MiniStore:
    """What the real store does around its locks, for one session, in few lines."""

    def __init__(
        self, files: FileSystem, runtime: Runtime, *, fencing: bool = True, ttl_ms: int = TTL_MS
    ) -> None:
        self.files = files
        self.fencing = fencing
        self.known = 0
        self.fences: list[Fence] = []
        self.locks = LockManager(files, runtime, self, lock_timeout_ms=ttl_ms, poll_interval_ms=20)

    async def position(self, session_id: str) -> tuple[int, int]:
        assert session_id == SESSION
        await self.catch_up()
        return self.known, max((fence.epoch for fence in self.fences), default=0)

    async def append_fence(
        self, session_id: str, *, epoch: int, nonce: str, owner: str, size: int
    ) -> int | None:
        assert session_id == SESSION
        if not self.fencing:
            return size
        line = log_line({"fence": nonce, "epoch": epoch, "owner": owner})
        for _ in range(1000):
            try:
                await self.files.append(LOG, line, if_size=size)
            except ConflictError:
                await self.catch_up()
                met = [fence for fence in self.fences if fence.offset >= size]
                if any(fence.epoch >= epoch and fence.nonce != nonce for fence in met):
                    return None
                size = self.known
            else:
                return size
        raise AssertionError("the log never stood still")

    async def catch_up(self) -> None:
        """Read what is new in the log and tell the locks of every fence in it."""
        start = self.known
        try:
            data = await self.files.read(LOG, start)
        except NotFoundError:
            return
        for offset, line in parse(data, start):
            if "fence" in line and offset >= self.known:
                fence = Fence(offset, line["epoch"], line["fence"])
                if fence not in self.fences:
                    self.fences.append(fence)
                self.locks.saw_fence(SESSION, offset, fence.nonce)
        self.known = max(self.known, start + data.rfind(b"\n") + 1)

    async def append(self, text: str) -> None:
        """Append a message; under a lease, guarded by it."""
        for _ in range(1000):
            size = self.known
            self.locks.check(SESSION)
            lease = self.locks.held(SESSION)
            facts = {"nonce": lease.nonce, "since": lease.since} if lease else {}
            try:
                await self.files.append(LOG, log_line({"text": text, **facts}), if_size=size)
            except ConflictError:
                await self.catch_up()
            else:
                return
        raise AssertionError("the log never stood still")


def parse(data: bytes, start: int = 0) -> list[tuple[int, dict[str, Any]]]:
    """Return the whole lines of a log with their offsets."""
    lines = []
    for line in data.split(b"\n")[:-1]:
        lines.append((start, json.loads(line)))
        start += len(line) + 1
    return lines


def order_violations(log: bytes) -> list[str]:
    """Return where the log shows that two leases were in force at once."""
    found: list[str] = []
    fences: list[tuple[int, str]] = []
    past: set[str] = set()
    last: str | None = None
    for offset, line in parse(log):
        if "fence" in line:
            fences.append((offset, line["fence"]))
            continue
        nonce = line.get("nonce")
        if nonce is None:
            continue
        if any(at >= line["since"] and other != nonce for at, other in fences):
            found.append(f"{offset}: written under a lease that a fence had ended")
        if nonce != last:
            if nonce in past:
                found.append(f"{offset}: written under a lease after another one's message")
            past.add(nonce)
            last = nonce
    return found


class ManualRuntime(BlockingRuntime):
    """Clocks that move only when told, or when somebody sleeps."""

    def __init__(self) -> None:
        self.wall_ms = 1_700_000_000_000
        self.seconds = 100.0
        self.on_sleep: list[Any] = []

    def now_ms(self) -> int:
        return self.wall_ms

    def monotonic(self) -> float:
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.pass_ms(seconds * 1000)
        for call in self.on_sleep:
            await call()

    def pass_ms(self, ms: float) -> None:
        self.wall_ms += round(ms)
        self.seconds += ms / 1000


class FaultyFiles(InMemoryFileSystem):
    """Fails the next write of the lock file when told, before or after its effect."""

    def __init__(self) -> None:
        super().__init__()
        self.fail: str | None = None
        self.before_write: list[Awaitable[object]] = []

    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        fail, self.fail = self.fail, None
        if fail == "before":
            raise UnavailableError(path, "told to")
        if self.before_write:
            await self.before_write.pop()
        stats = await super().write(path, data, if_version=if_version, durable=durable)
        if fail == "after":
            raise UnavailableError(path, "told to")
        return stats


def log_of(files: InMemoryFileSystem) -> bytes:
    return run(files.read(LOG)) if run(files.exists(LOG)) else b""


def fences(files: InMemoryFileSystem) -> int:
    return sum("fence" in line for _, line in parse(log_of(files)))


def lock_of(files: InMemoryFileSystem) -> dict[str, object]:
    lock: dict[str, object] = json.loads(run(files.read(LOCK)))
    return lock


def acquired(store: MiniStore, owner: str) -> bool:
    return run(store.locks.acquire(SESSION, owner)).acquired


def log_line(value: dict[str, Any]) -> bytes:
    """Return a line of the log."""
    return json.dumps(value).encode() + b"\n"
