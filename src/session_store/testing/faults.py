"""Files whose n-th call fails, to see what your code makes of storage in trouble.

SQLite's loop finds what no example does: let the first call fail, then the second, the third,
until the operation gets through, and look at what is left each time.

    for n in itertools.count(1):
        files = FaultyFileSystem(InMemoryFileSystem())
        store = SessionStore(files)
        files.fail(lost_answer, at=n)
        ...  # try the operation; whatever it raises is a `SessionStoreError`
        files.heal()
        ...  # look at what is left, and do it again
        if not files.struck:
            break
"""

import asyncio
from collections.abc import Awaitable, Callable, Collection
from fnmatch import fnmatchcase
from typing import Any, Final, NamedTuple

from session_store.errors import (
    ConflictError,
    NotFoundError,
    StorageFullError,
    UnavailableError,
)
from session_store.files.filesystem import (
    ANY,
    Bindable,
    FileStats,
    FileSystem,
    IfVersion,
    Page,
    Traits,
)
from session_store.runtime import Runtime

CHANGING: Final = frozenset({"write", "append", "delete", "delete_tree", "mkdir", "sync"})
"""The verbs after which something may be different."""


class Call(NamedTuple):
    """One call of a verb that a fault may do, do in part, or not do.

    `data` is what it would write, and `expected` its precondition, None for none.
    """

    verb: str
    path: str
    proceed: Callable[[], Awaitable[Any]]
    data: bytes = b""
    expected: object = None
    append_only: Callable[[bytes], Awaitable[Any]] | None = None

    def __str__(self) -> str:
        return f"{self.verb} {self.path}" if self.path else self.verb


class Fault(NamedTuple):
    """A way to fail, and the calls that can fail so; those are counted.

    `fail` takes the place of the call: it does the call or not, and raises or returns.
    """

    name: str
    fail: Callable[[Call], Awaitable[Any]]
    fits: Callable[[Call], bool] = lambda _: True


class FaultyFileSystem:
    """The files of another file system, some of whose calls fail as `fail` says.

    `struck` names the calls that failed, and `calls` counts those that could have.
    """

    def __init__(self, files: FileSystem) -> None:
        self._files = files
        self._plan = _Plan()

    @property
    def calls(self) -> int:
        """How many calls the fault fits were made since `fail`."""
        return self._plan.calls

    @property
    def struck(self) -> list[str]:
        """The calls that failed since `fail`, each as its verb and its path."""
        return self._plan.struck

    def fail(
        self,
        fault: Fault,
        *,
        at: int = 1,
        times: int | None = 1,
        verbs: Collection[str] | None = None,
        paths: str = "*",
    ) -> None:
        """Let the call number `at` fail, and those that follow: `times` in all, None for all.

        Counted are from now on the calls that the fault fits, of these `verbs` (None: of all),
        whose path matches the pattern `paths`.
        """
        self._plan.set(fault, at, times, verbs, paths)

    def heal(self) -> None:
        """Let nothing fail any more; `calls` and `struck` stay as they are."""
        self._plan.fault = None

    def bind(self, runtime: Runtime) -> "FaultyFileSystem":
        """Return the same files and faults, waiting by `runtime`."""
        if not isinstance(self._files, Bindable):
            return self
        bound = FaultyFileSystem(self._files.bind(runtime))
        bound._plan = self._plan
        return bound

    @property
    def traits(self) -> Traits:
        """Those of the files within."""
        return self._files.traits

    async def stat(self, path: str) -> FileStats:
        """See `FileSystem.stat`."""
        call = Call("stat", path, lambda: self._files.stat(path))
        stats: FileStats = await self._plan.make(call)
        return stats

    async def exists(self, path: str) -> bool:
        """See `FileSystem.exists`."""
        call = Call("exists", path, lambda: self._files.exists(path))
        found: bool = await self._plan.make(call)
        return found

    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        """See `FileSystem.read`."""
        call = Call("read", path, lambda: self._files.read(path, start, end))
        data: bytes = await self._plan.make(call)
        return data

    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        """See `FileSystem.write`."""

        def proceed() -> Awaitable[FileStats]:
            return self._files.write(path, data, if_version=if_version, durable=durable)

        expected = None if if_version is ANY else if_version
        stats: FileStats = await self._plan.make(Call("write", path, proceed, data, expected))
        return stats

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        """See `FileSystem.append`."""

        def append(part: bytes) -> Awaitable[int]:
            return self._files.append(path, part, if_size=if_size)

        call = Call("append", path, lambda: append(data), data, if_size, append)
        size: int = await self._plan.make(call)
        return size

    async def delete(self, path: str, *, if_version: IfVersion = ANY) -> None:
        """See `FileSystem.delete`."""
        expected = None if if_version is ANY else if_version
        proceed = lambda: self._files.delete(path, if_version=if_version)  # noqa: E731
        await self._plan.make(Call("delete", path, proceed, b"", expected))

    async def delete_tree(self, path: str) -> None:
        """See `FileSystem.delete_tree`."""
        await self._plan.make(Call("delete_tree", path, lambda: self._files.delete_tree(path)))

    async def list(self, path: str, *, after: str = "", limit: int = 1000) -> Page:
        """See `FileSystem.list`."""
        proceed = lambda: self._files.list(path, after=after, limit=limit)  # noqa: E731
        page: Page = await self._plan.make(Call("list", path, proceed))
        return page

    async def mkdir(self, path: str) -> None:
        """See `FileSystem.mkdir`."""
        await self._plan.make(Call("mkdir", path, lambda: self._files.mkdir(path)))

    async def sync(self, path: str) -> None:
        """See `FileSystem.sync`."""
        await self._plan.make(Call("sync", path, lambda: self._files.sync(path)))

    async def close(self) -> None:
        """See `FileSystem.close`."""
        await self._plan.make(Call("close", "", self._files.close))


class _Plan:
    """Which calls fail, shared by all who are bound to the same files."""

    def __init__(self) -> None:
        self.set(None, 1, 1, None, "*")

    def set(
        self,
        fault: Fault | None,
        at: int,
        times: int | None,
        verbs: Collection[str] | None,
        paths: str,
    ) -> None:
        """Begin to count anew."""
        self.fault = fault
        self.calls = 0
        self.struck: list[str] = []
        self._first = at
        self._times = times
        self._verbs = verbs
        self._paths = paths

    async def make(self, call: Call) -> Any:
        """Do the call, or what the fault makes of it."""
        fault = self.fault
        if (
            fault is None
            or not fault.fits(call)
            or (self._verbs is not None and call.verb not in self._verbs)
            or not fnmatchcase(call.path, self._paths)
        ):
            return await call.proceed()
        self.calls += 1
        if self.calls < self._first:
            return await call.proceed()
        if self._times is not None and len(self.struck) >= self._times:
            return await call.proceed()
        self.struck.append(str(call))
        return await fault.fail(call)


def _changes(call: Call) -> bool:
    return call.verb in CHANGING


async def _refuse(call: Call) -> Any:
    raise UnavailableError(call.path, "it was refused")


async def _refuse_for_space(call: Call) -> Any:
    raise StorageFullError(call.path, "no space left")


async def _lose_call(call: Call) -> Any:
    raise UnavailableError(call.path, "the call was lost", unknown=True)


async def _lose_answer(call: Call) -> Any:
    await call.proceed()
    raise UnavailableError(call.path, "the answer was lost", unknown=True)


async def _conflict(call: Call) -> Any:
    raise ConflictError(call.path, expected=call.expected, actual="what another wrote")


async def _vanish(call: Call) -> Any:
    raise NotFoundError(call.path)


async def _cancel(_call: Call) -> Any:
    task = asyncio.current_task()
    if task is not None:
        task.cancel()
    await asyncio.sleep(0)


async def _cancel_after(call: Call) -> Any:
    await call.proceed()
    await _cancel(call)


refused: Final = Fault("refused", _refuse)
"""`UnavailableError`, and nothing has happened."""

full: Final = Fault(
    "full", _refuse_for_space, lambda call: call.verb in {"write", "append", "mkdir"}
)
"""`StorageFullError`, and nothing has happened."""

lost_call: Final = Fault("lost call", _lose_call, _changes)
"""`UnavailableError` with `unknown`; nothing has happened."""

lost_answer: Final = Fault("lost answer", _lose_answer, _changes)
"""`UnavailableError` with `unknown`; it has happened."""

conflicting: Final = Fault("conflict", _conflict, lambda call: call.expected is not None)
"""`ConflictError`, as if another had been faster; nothing has happened."""

vanished: Final = Fault("vanished", _vanish, lambda call: call.verb in {"stat", "read", "sync"})
"""`NotFoundError`, as if another had removed the file just then."""

cancelled: Final = Fault("cancelled", _cancel)
"""The task that made the call is cancelled before it has happened."""

cancelled_after: Final = Fault("cancelled after", _cancel_after, _changes)
"""The task that made the call is cancelled when it has happened."""


def torn(keep: float) -> Fault:
    """Return a fault that appends only the share `keep` of the bytes; the answer is lost.

    At least one byte stands, and at least one is missing. For engines that can be
    interrupted in the midst of an append.
    """

    async def fail(call: Call) -> Any:
        assert call.append_only is not None
        count = min(max(1, round(len(call.data) * keep)), len(call.data) - 1)
        await call.append_only(call.data[:count])
        raise UnavailableError(call.path, "it was torn", unknown=True)

    return Fault(f"torn at {keep}", fail, lambda call: len(call.data) > 1 and call.verb == "append")


def raising(error: BaseException | type[BaseException], *, after: bool = False) -> Fault:
    """Return a fault that raises `error`, `after` the call has happened or instead of it."""

    async def fail(call: Call) -> Any:
        if after:
            await call.proceed()
        raise error

    said = error.__name__ if isinstance(error, type) else type(error).__name__
    return Fault(f"{said}{' after' if after else ''}", fail, _changes if after else lambda _: True)


__all__ = [
    "CHANGING",
    "Call",
    "Fault",
    "FaultyFileSystem",
    "cancelled",
    "cancelled_after",
    "conflicting",
    "full",
    "lost_answer",
    "lost_call",
    "raising",
    "refused",
    "torn",
    "vanished",
]
