"""Stores with one safety step taken out: the tests of the tests. For processes of their own."""

from collections.abc import Callable
from typing import Any
from weakref import WeakSet

from proc_work import under_way

from session_store import runtime
from session_store.files import RealFileSystem
from session_store.files.descriptors import Descriptor
from session_store.store.log import SessionLog
from session_store.store.writer import LogFences, Writer

Sabotage = Callable[[], None]


def nothing() -> None:
    """Leave the store as it is."""


def acknowledge_before_the_write() -> None:
    """Say that it is done, and then do it."""
    send = Writer._send

    async def hasty(self: Writer, log: SessionLog, data: bytes, last: str) -> int:
        for call in under_way:
            call.ok()
        return await send(self, log, data, last)

    Writer._send = hasty  # type: ignore[method-assign]


def append_without_precondition() -> None:
    """Append at whatever size the log has (A1 off)."""
    append = RealFileSystem.append

    async def blind(self: RealFileSystem, path: str, data: bytes, **_: Any) -> int:
        return await append(self, path, data)

    append_now = RealFileSystem.append_now

    def blind_now(self: RealFileSystem, path: str, data: bytes, size: int) -> bool:
        return append_now(self, path, data, self.size_now(path) or size)

    RealFileSystem.append = blind  # type: ignore[method-assign, assignment]
    RealFileSystem.append_now = blind_now  # type: ignore[method-assign]


def take_over_without_fence() -> None:
    """Write nothing into the log when a lease is taken over (L2 off)."""

    async def none(_: LogFences, session_id: str, *, size: int, **__: Any) -> int | None:
        return size

    LogFences.append_fence = none  # type: ignore[method-assign, assignment]


def append_without_looking_back() -> None:
    """Do not look after an append whether the session is still there (D1 off)."""

    async def trust(_: Writer, __: str) -> None:
        return None

    Writer.still_there = trust  # type: ignore[method-assign]


def fork_without_closing() -> None:
    """Let a child go on with what its parent has open and holds."""

    class Nobody(WeakSet[runtime.Forked]):
        def add(self, item: runtime.Forked) -> None:
            return None

    runtime._forked = Nobody()


def sync_each_alone() -> None:
    """Let every append have a sync of its own, shared with nobody."""

    async def alone(_: runtime.GroupCommit, __: str, call: Any) -> None:
        await call()

    runtime.GroupCommit.run = alone  # type: ignore[method-assign]


def leak_descriptors() -> None:
    """Never close a file."""
    Descriptor.close = lambda _: None  # type: ignore[method-assign]
