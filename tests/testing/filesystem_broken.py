"""File systems that break one sentence of the contract each, and where that must be found."""

import asyncio
import threading
import time
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

from filesystem_sound import Bound, Disk, Handle, Memory, Prompt, Suspending, Watching

from session_store.errors import ClosedError, ConflictError, NotFoundError, UnavailableError
from session_store.files.filesystem import (
    ABSENT,
    ANY,
    FileStats,
    FileSystem,
    IfVersion,
    Page,
    Traits,
)
from session_store.files.local import RealFileSystem
from session_store.runtime import run

GAP_SECONDS = 0.0005


# write


class WritesOverWhatIsThere(Memory):
    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        if_version = ANY if if_version is ABSENT else if_version
        return await super().write(path, data, if_version=if_version, durable=durable)


class IgnoresTheVersion(Memory):
    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        if_version = ANY if isinstance(if_version, str) else if_version
        return await super().write(path, data, if_version=if_version, durable=durable)


class WritesBeforeItLooks(Memory):
    """The conflict is raised, and the bytes are there."""

    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        try:
            return await super().write(path, data, if_version=if_version, durable=durable)
        except ConflictError:
            await super().write(path, data)
            raise


class LooksThenWrites(Memory):
    """The precondition holds when it looks, and no longer when it writes."""

    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        with self._guard:
            self._check_version(path, if_version)
        time.sleep(GAP_SECONDS)
        return await super().write(path, data)


class Tears(Memory):
    """Half of the content is seen before the other half comes."""

    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        await super().write(path, data[: len(data) // 2], if_version=if_version)
        time.sleep(GAP_SECONDS)
        return await super().write(path, data)


class MakesNoParents(Memory):
    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        before = set(self._folders)
        stats = await super().write(path, data, if_version=if_version)
        self._folders = before
        return stats


class LeavesDrafts(Memory):
    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        await super().write(f"{path}.tmp", data)
        stats = await super().write(path, data, if_version=if_version)
        await super().delete(f"{path}.tmp")
        return stats


class TellsOldStats(Memory):
    """What `write` returns is what was there before."""

    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        before = self._files.get(path)
        old = before.stats() if before else None
        stats = await super().write(path, data, if_version=if_version)
        return old or stats


class HidesWhatIsFound(Memory):
    """A conflict, and no word of what is there."""

    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        try:
            return await super().write(path, data, if_version=if_version)
        except ConflictError as error:
            raise ConflictError(path, expected=if_version, actual=None) from error


# stat


class VersionIsTheSize(Memory):
    async def stat(self, path: str) -> FileStats:
        stats = await super().stat(path)
        return FileStats(size=stats.size, mtime_ms=stats.mtime_ms, version=str(stats.size))

    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        await super().write(path, data)
        return await self.stat(path)


class VersionOutlivesAppends(Memory):
    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        file = self._files.get(path)
        version = file.version if file else None
        size = await super().append(path, data, if_size=if_size)
        if version:
            self._files[path].version = version
        return size


class TellsSeconds(Memory):
    async def stat(self, path: str) -> FileStats:
        stats = await super().stat(path)
        return FileStats(size=stats.size, mtime_ms=stats.mtime_ms // 1000, version=stats.version)


class RemembersStats(Memory):
    def __init__(self) -> None:
        super().__init__()
        self._known: dict[str, FileStats] = {}

    async def stat(self, path: str) -> FileStats:
        if path not in self._known:
            self._known[path] = await super().stat(path)
        return self._known[path]


class RaisesItsOwnErrors(Memory):
    async def stat(self, path: str) -> FileStats:
        try:
            return await super().stat(path)
        except NotFoundError:
            raise KeyError(path) from None


class FindsFolders(Memory):
    async def exists(self, path: str) -> bool:
        return await super().exists(path) or path in self._folders


# read


class StumblesPastTheEnd(Memory):
    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        data = await super().read(path)
        if start > len(data):
            raise UnavailableError(path, "416 range not satisfiable")
        return data[start:end]


class DropsTheLastByte(Memory):
    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        data = await super().read(path)
        return data[start : -1 if end == len(data) else end]


class CountsTheEndIn(Memory):
    """As HTTP does."""

    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        return await super().read(path, start, None if end is None else end + 1)


class ReadsNothingAsEmpty(Memory):
    """An engine that swallows errors."""

    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        try:
            return await super().read(path, start, end)
        except NotFoundError:
            return b""


class MendsLineEnds(Memory):
    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        return (await super().read(path, start, end)).replace(b"\r\n", b"\n")


class ForgetsLargeTails(Memory):
    """A second piece of 4 MiB is one byte off."""

    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        data = await super().read(path)
        return (data[: 4 << 20] + data[(4 << 20) + 1 :])[start:end]


# append


class IgnoresTheSize(Memory):
    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        return await super().append(path, data)


class ReturnsWhatItAdded(Memory):
    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        await super().append(path, data, if_size=if_size)
        return len(data)


class AppendsInTwoSteps(Memory):
    """Others come between the look at the size and the bytes."""

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        before = bytes(self.data_at(path) or b"")
        if if_size is not None and if_size != len(before):
            raise ConflictError(path, expected=if_size, actual=len(before))
        time.sleep(GAP_SECONDS)
        return (await super().write(path, before + data)).size


class SwallowsConflicts(Memory):
    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        try:
            return await super().append(path, data, if_size=if_size)
        except ConflictError as error:
            assert isinstance(error.actual, int)
            return error.actual


class AppendsToTheDead(Memory):
    """It keeps files open, and does not see that they were replaced."""

    def __init__(self) -> None:
        super().__init__()
        self._open: dict[str, Any] = {}

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        if path in self._open and (if_size or 0) <= len(self._open[path].data):
            file = self._open[path]
            file.data += data
            self._touch(file)
            return len(file.data)
        size = await super().append(path, data, if_size=if_size)
        self._open[path] = self._files[path]
        return size


class MakesFilesBeforeItLooks(Memory):
    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        if not await super().exists(path):
            await super().append(path, b"")
        return await super().append(path, data, if_size=if_size)


# delete


class MissesWhatIsGone(Memory):
    async def delete(self, path: str, *, if_version: IfVersion = ANY) -> None:
        await super().stat(path)
        await super().delete(path, if_version=if_version)


class DeletesAnyVersion(Memory):
    async def delete(self, path: str, *, if_version: IfVersion = ANY) -> None:
        await super().delete(path)


class LooksThenDeletes(Memory):
    async def delete(self, path: str, *, if_version: IfVersion = ANY) -> None:
        with self._guard:
            if self._find(path) is not None:
                self._check_version(path, if_version)
        time.sleep(GAP_SECONDS)
        await super().delete(path)


class DeletesWhatBeginsAlike(Memory):
    async def delete_tree(self, path: str) -> None:
        await super().delete_tree(path)
        self._files = {k: v for k, v in self._files.items() if not k.startswith(path)}
        self._folders = {name for name in self._folders if not name.startswith(path)}


class LeavesWhatIsDeep(Memory):
    async def delete_tree(self, path: str) -> None:
        for name in (await self.list(path)).names:
            await super().delete(f"{path}/{name}")


class DeletesOnePage(Memory):
    async def delete_tree(self, path: str) -> None:
        if sum(name.startswith(f"{path}/") for name in self._files) <= 1000:
            await super().delete_tree(path)
            return
        for name in (await self.list(path)).names:
            await super().delete(f"{path}/{name}")


# list, mkdir


class SkipsAtBorders(Memory):
    async def list(self, path: str, *, after: str = "", limit: int = 1000) -> Page:
        page = await super().list(path, after=after, limit=limit)
        if page.after is None:
            return page
        more = await super().list(path, after=page.after, limit=1)
        return Page(page.names, after=more.names[0])


class RepeatsAtBorders(Memory):
    async def list(self, path: str, *, after: str = "", limit: int = 1000) -> Page:
        page = await super().list(path, after=after, limit=limit)
        return Page([after, *page.names][:limit] if after else page.names, after=page.after)


class CountsInItsCursor(Memory):
    """The cursor is a number of names, and names come and go."""

    async def list(self, path: str, *, after: str = "", limit: int = 1000) -> Page:
        names = (await super().list(path, limit=1 << 30)).names
        start = int(after or 0)
        end = start + limit
        return Page(names[start:end], after=str(end) if end < len(names) else None)


class StopsAfterOnePage(Memory):
    async def list(self, path: str, *, after: str = "", limit: int = 1000) -> Page:
        return Page((await super().list(path, after=after, limit=limit)).names)


class TakesNoNotice(Memory):
    """Of the limit."""

    async def list(self, path: str, *, after: str = "", limit: int = 1000) -> Page:
        return await super().list(path, after=after, limit=1 << 30)


class ShowsDrafts(Memory):
    async def list(self, path: str, *, after: str = "", limit: int = 1000) -> Page:
        page = await super().list(path, after=after, limit=limit)
        return Page([*page.names, ".tmp-1"] if page.after is None else page.names, page.after)


class ListsWhatIsBelow(Memory):
    def _names_in(self, folder: str) -> set[str]:
        below = f"{folder}/" if folder else ""
        return {name[len(below) :] for name in self._files if name.startswith(below)}


class MakesFoldersOfFiles(Memory):
    async def mkdir(self, path: str) -> None:
        self._files.pop(path, None)
        await super().mkdir(path)


# sync, close, traits, and what is optional


class SyncsNothing(Memory):
    async def sync(self, path: str) -> None:
        if self._closed:
            raise ClosedError
        if path.startswith("/") or path == "":
            await super().sync(path)


class StaysOpen(Memory):
    async def close(self) -> None:
        """Nothing."""


class StaysOpenForWriters(Memory):
    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        closed, self._closed = self._closed, False
        try:
            return await super().append(path, data, if_size=if_size)
        finally:
            self._closed = closed


class WaitsAndDeniesIt(Memory):
    async def sync(self, path: str) -> None:
        await asyncio.sleep(0)
        await super().sync(path)


class ChangesItsTraits(Memory):
    @property
    def traits(self) -> Traits:
        return Traits(scope="process", durable=bool(self._files), blocking=True)


class BoundOnce(Bound):
    """What is bound goes on when the first one is closed."""

    forgets = True


class Deaf(Watching):
    deaf = True


class Overslept(Watching):
    """It hears what comes, and does not look at what came before it was asked."""

    async def changed(self, path: str, size: int, timeout: float) -> None:
        with self._news:
            self._news.wait(timeout)


# direct


class AddsAtAnySize(Prompt):
    def append_now(self, path: str, data: bytes, size: int) -> bool:
        return super().append_now(path, data, self.size_now(path) or 0)


class AddsAndDeniesIt(Prompt):
    def append_now(self, path: str, data: bytes, size: int) -> bool:
        super().append_now(path, data, size)
        return False


class BringsBackWhatIsGone(Prompt):
    def append_now(self, path: str, data: bytes, size: int) -> bool:
        if self.data_at(path) is None:
            run(self.append(path, data))
            return True
        return super().append_now(path, data, size)


class RemembersTheSize(Prompt):
    """It tells of the size that the file had when it was first asked."""

    def __init__(self) -> None:
        super().__init__()
        self._sizes: dict[str, int | None] = {}

    def size_now(self, path: str) -> int | None:
        return self._sizes.setdefault(path, super().size_now(path))


class ReadsToTheEnd(Prompt):
    def read_now(self, path: str, start: int, end: int) -> bytes:
        return super().read_now(path, start, end + 5)


class SaysYesToLess(Prompt):
    def is_now(self, path: str, size: int) -> bool:
        return size <= (self.size_now(path) or 0)


class SyncsWhatIsNot(Prompt):
    def sync_now(self, path: str) -> bool:
        return True


# paths


class ChecksNoPath(Memory):
    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        return await super().append("/".join(filter(None, path.split("/"))), data, if_size=if_size)


class MakesFoldersOfBadPaths(Memory):
    """The bad component is found when the folders before it are made."""

    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        parts = path.split("/")
        for number in range(1, len(parts)):
            await super().mkdir("/".join(parts[:number]))
        return await super().write(path, data, if_version=if_version)


class Renames(Memory):
    """What the verbs are given stands for another name."""

    def rename(self, path: str) -> str:
        raise NotImplementedError

    async def stat(self, path: str) -> FileStats:
        return await super().stat(self.rename(path))

    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        return await super().read(self.rename(path), start, end)

    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        return await super().write(self.rename(path), data, if_version=if_version)

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        return await super().append(self.rename(path), data, if_size=if_size)

    async def list(self, path: str, *, after: str = "", limit: int = 1000) -> Page:
        return await super().list(self.rename(path), after=after, limit=limit)


class FoldsCase(Renames):
    def rename(self, path: str) -> str:
        return path.lower()


class Strips(Renames):
    def rename(self, path: str) -> str:
        return path.rstrip(" .") or path


# several handles, tasks and processes


class StaleHandle(Handle):
    """It reads each file once."""

    def __init__(self, files: Any) -> None:
        super().__init__(files)
        self._known: dict[str, bytes] = {}

    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        if path not in self._known:
            self._known[path] = await self._files.read(path)
        return self._known[path][start:end]


class ClosingHandle(Handle):
    async def close(self) -> None:
        await super().close()
        await self._files.close()


class TornByCancelling(Suspending):
    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        size = await super().append(path, data[:3], if_size=if_size)
        return await super().append(path, data[3:], if_size=size) if data[3:] else size


class DraftsOfTheCancelled(Suspending):
    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        await super().write(f"{path}.tmp", data)
        stats = await super().write(path, data, if_version=if_version)
        await super().delete(f"{path}.tmp")
        return stats


class OneSyncForAll(Suspending):
    """The callers share one task, and who is cancelled cancels it."""

    _task: Any = None

    async def sync(self, path: str) -> None:
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(super().sync(path))
        await self._task


class LosesAmongTasks(Suspending):
    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        before = bytes(self.data_at(path) or b"")
        if if_size is not None and if_size != len(before):
            raise ConflictError(path, expected=if_size, actual=len(before))
        await self._turn()
        return (await super().write(path, before + data)).size


class ForThreadsOnly(RealFileSystem):
    """Its lock is one of this process, and others are no part of it."""

    _lock = threading.Lock()

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        with self._lock:
            size = (await self.stat(path)).size if await self.exists(path) else 0
            if if_size is not None and if_size != size:
                raise ConflictError(path, expected=if_size, actual=size)
            time.sleep(GAP_SECONDS)
            await super().append(path, data)
            return size + len(data)


# power cuts


class SyncsTheFirstBytes(Disk):
    """A second `sync` of a file finds it clean."""

    async def sync(self, path: str) -> None:
        if path not in self.platter:
            await super().sync(path)
        else:
            await Memory.sync(self, path)


class WritesToTheCache(Disk):
    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        return await super().write(path, data, if_version=if_version, durable=False)


class WritesInPlace(Disk):
    """Without `durable` the old bytes are half gone, and the new ones half there."""

    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        stats = await super().write(path, data, if_version=if_version, durable=durable)
        if not durable:
            half = len(data) // 2
            self.platter[path] = data[:half] + self.platter.get(path, b"")[half:]
        return stats


class Case(NamedTuple):
    """A file system, and the verbs under whose name its fault must be found."""

    opened: Callable[..., FileSystem]
    verbs: tuple[str, ...]
    handle: Callable[[FileSystem], Any] | None = None
    on_disk: bool = False


def _cases(verb: str, *kinds: Callable[..., FileSystem]) -> dict[str, Case]:
    return {getattr(kind, "__name__", ""): Case(kind, (verb,)) for kind in kinds}


BROKEN: dict[str, Case] = {
    **_cases(
        "write",
        WritesOverWhatIsThere,
        IgnoresTheVersion,
        WritesBeforeItLooks,
        LooksThenWrites,
        Tears,
        MakesNoParents,
        TellsOldStats,
        HidesWhatIsFound,
        WritesToTheCache,
        WritesInPlace,
    ),
    **_cases(
        "stat",
        VersionIsTheSize,
        VersionOutlivesAppends,
        TellsSeconds,
        RemembersStats,
        RaisesItsOwnErrors,
    ),
    **_cases("exists", FindsFolders),
    **_cases(
        "read",
        StumblesPastTheEnd,
        DropsTheLastByte,
        CountsTheEndIn,
        ReadsNothingAsEmpty,
        MendsLineEnds,
        ForgetsLargeTails,
    ),
    **_cases(
        "append",
        IgnoresTheSize,
        ReturnsWhatItAdded,
        AppendsInTwoSteps,
        SwallowsConflicts,
        AppendsToTheDead,
        MakesFilesBeforeItLooks,
        LosesAmongTasks,
    ),
    **_cases("delete", MissesWhatIsGone, DeletesAnyVersion, LooksThenDeletes),
    **_cases("delete_tree", DeletesWhatBeginsAlike, LeavesWhatIsDeep, DeletesOnePage),
    **_cases(
        "list",
        SkipsAtBorders,
        RepeatsAtBorders,
        CountsInItsCursor,
        StopsAfterOnePage,
        TakesNoNotice,
        ShowsDrafts,
        ListsWhatIsBelow,
    ),
    **_cases("mkdir", MakesFoldersOfFiles),
    **_cases("sync", SyncsNothing, SyncsTheFirstBytes, WaitsAndDeniesIt),
    **_cases("close", StaysOpen, StaysOpenForWriters),
    **_cases("traits", ChangesItsTraits),
    **_cases("bind", BoundOnce),
    **_cases("watch", Deaf, Overslept),
    **_cases(
        "direct",
        AddsAtAnySize,
        AddsAndDeniesIt,
        BringsBackWhatIsGone,
        RemembersTheSize,
        ReadsToTheEnd,
        SaysYesToLess,
        SyncsWhatIsNot,
    ),
    **_cases("path", ChecksNoPath, MakesFoldersOfBadPaths, FoldsCase, Strips),
    **_cases("cancel", TornByCancelling, DraftsOfTheCancelled, OneSyncForAll),
    "LeavesDraftsToRacers": Case(LeavesDrafts, ("list_race", "write")),
    "StaleHandle": Case(Memory, ("handles",), StaleHandle),
    "ClosingHandle": Case(Memory, ("close",), ClosingHandle),
    "ForThreadsOnly": Case(ForThreadsOnly, ("append_race",), on_disk=True),
    # The state machine by itself, without the examples.
    "IgnoresTheSizeModel": Case(IgnoresTheSize, ("model",)),
    "DeletesWhatBeginsAlikeModel": Case(DeletesWhatBeginsAlike, ("model",)),
    "SkipsAtBordersModel": Case(SkipsAtBorders, ("model",)),
    "IgnoresTheVersionModel": Case(IgnoresTheVersion, ("model",)),
    "StaleHandleModel": Case(Memory, ("model",), StaleHandle),
}


def opened(case: Case, root: str) -> FileSystem:
    """Return the file system of this case."""
    return case.opened(root) if case.on_disk else case.opened()


def reopener(case: Case, files: FileSystem, root: str) -> Callable[[], FileSystem] | None:
    """Return what opens another one on the same files, if this case has that."""
    if case.on_disk:
        return partial(case.opened, root)
    return None if case.handle is None else partial(case.handle, files)
