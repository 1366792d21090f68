"""Files in one folder of this host, shared by its threads and processes.

The rules behind it (PROTOCOLS A4, A6, A7, C1): who makes, replaces or removes a name holds
the flock of its folder; who appends, or replaces or removes one version, holds that of the
file. Both are tried and never awaited inside the system, and held for a few system calls
only; an fsync never happens under them, unless a failed one is being repaired.
"""

import os
from collections.abc import Awaitable, Callable
from copy import copy
from functools import partial
from typing import Final, TypeVar

from session_store.errors import ClosedError, NotFoundError, UnavailableError
from session_store.runtime import BlockingRuntime, GroupCommit, Runtime, on_fork

from . import folders, posix
from .appending import Appending
from .descriptors import Descriptor, Descriptors
from .drafts import Parts, discard_draft, draft_name, split_path
from .filesystem import ANY, FileStats, IfVersion, Page, Traits
from .logs import Logs
from .mounts import refuse_network
from .posix import BusyError, MovedError, translated
from .swapping import check_version, install, remove, stats_of
from .syncing import Syncing
from .tree import ATTEMPTS, Chain, Tree
from .watching import Watching

IO_TIMEOUT_MS: Final = 10_000
READ_IN_PLACE_BYTES: Final = 1 << 20

T = TypeVar("T")


class RealFileSystem:
    """The files below the folder `root` (POSIX).

    The folder is made by the first write, and nobody but its owner can read what is made in
    it. Once it was there it must stay: with another in its place, or none (its disk was
    unmounted, perhaps), every call that opens a file raises `UnavailableError`. Links below it
    are refused. A call that others keep waiting for longer than `io_timeout_ms` raises
    `UnavailableError`. A folder on a network file system is refused by `ConfigError`: with
    `allow_network` it is taken, and what is promised is up to that network.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        runtime: Runtime | None = None,
        io_timeout_ms: int = IO_TIMEOUT_MS,
        allow_network: bool = False,
    ) -> None:
        self._runtime = runtime or BlockingRuntime()
        self._io_timeout = io_timeout_ms / 1000
        if not allow_network:
            refuse_network(os.fspath(root))
        self._shared = _Shared(os.path.abspath(os.fspath(root)), self._io_timeout)
        self._tree = self._shared.tree
        self._appending = self._shared.appending
        self._logs = self._shared.logs

    def bind(self, runtime: Runtime) -> "RealFileSystem":
        """Return the same files, waiting by `runtime`; closing either closes both."""
        bound = copy(self)
        bound._runtime = runtime
        return bound

    @property
    def traits(self) -> Traits:
        """Facts about this engine."""
        return Traits(scope="host", durable=True, blocking=self._runtime.blocking)

    async def stat(self, path: str) -> FileStats:
        """See `FileSystem.stat`."""
        parts = self._split(path)
        with translated(path):
            known = self._appending.known(path)
            found = known[1] if known else self._look(path, parts)
        if found is None:
            raise NotFoundError(path)
        return stats_of(found)

    async def exists(self, path: str) -> bool:
        """See `FileSystem.exists`."""
        try:
            await self.stat(path)
        except NotFoundError:
            return False
        return True

    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        """See `FileSystem.read`."""
        parts = self._split(path)
        with translated(path):
            descriptor, size = self._open_to_read(path, parts)
            count = (size if end is None else min(end, size)) - start
            if count <= 0:
                return b""
            if count <= READ_IN_PLACE_BYTES:
                return _read(descriptor, start, count)
            return await self._runtime.offload(_read, descriptor, start, count)

    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        """See `FileSystem.write`."""
        parts = self._split(path)
        with translated(path):
            if if_version is not ANY:
                # Before anything is made; what counts is the look under the flock.
                check_version(path, self._look(path, parts), if_version)
            write = partial(self._write, path, parts, data, if_version, durable)
            stats, chain = await self._while_moving(path, write)
            with translated(path, unknown=True):
                self._appending.let_go(path)
                if durable:
                    await self._runtime.offload(self._tree.sync, chain)
            return stats

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        """See `FileSystem.append`."""
        parts = self._split(path)
        attempt = partial(self._appending.append, path, parts, data, if_size)
        with translated(path):
            return await self._when_free(path, attempt)

    def append_now(self, path: str, data: bytes, size: int) -> bool:
        """See `Direct.append_now`."""
        return self._appending.append_now(path, data, size)

    def size_now(self, path: str) -> int | None:
        """See `Direct.size_now`."""
        log = self._logs.peek(path)
        try:
            # Not `fstat`, which takes four times as long to build its answer.
            return None if log is None else os.lseek(log.descriptor.fd, 0, os.SEEK_END)
        except OSError:
            return None

    def read_now(self, path: str, start: int, end: int) -> bytes:
        """See `Direct.read_now`."""
        log = self._logs.peek(path)
        with translated(path):
            return b"" if log is None else posix.read_range(log.descriptor.fd, start, end - start)

    def is_now(self, path: str, size: int) -> bool:
        """See `Direct.is_now`."""
        try:
            return os.lstat(f"{self._tree.root}/{path}").st_size == size
        except OSError:
            return False

    def sync_now(self, path: str) -> bool:
        """See `Direct.sync_now`."""
        log = self._logs.peek(path)
        with translated(path):
            return log is not None and self._shared.syncing.run_now(log, self._runtime.token)

    async def delete(self, path: str, *, if_version: IfVersion = ANY) -> None:
        """See `FileSystem.delete`."""
        parts = self._split(path)
        with translated(path):
            folder = await self._while_moving(path, partial(self._unlink, path, parts, if_version))
            if folder is not None:
                with translated(path, unknown=True):
                    self._appending.let_go(path)
                    # Also if there was nothing: it may have gone a moment ago, not yet for good.
                    await self._runtime.offload(_fsync, folder)

    async def delete_tree(self, path: str) -> None:
        """See `FileSystem.delete_tree`."""
        parts = self._split(path)
        with translated(path):
            above = self._tree.open(parts[:-1], path)
            if above is None:
                return
            chain = self._tree.open(parts, path)
            if chain is not None:
                await self._empty(path, parts, chain)
            with translated(path, unknown=True):
                await self._runtime.offload(_fsync, above[-1])

    async def list(self, path: str, *, after: str = "", limit: int = 1000) -> Page:
        """See `FileSystem.list`."""
        parts = self._split_folder(path)
        with translated(path):
            chain = self._tree.open(parts, path)
            if chain is None:
                return Page([])
            # However few names are asked for, the folder may be long.
            return await self._runtime.offload(folders.page, chain[-1], after, limit)

    async def mkdir(self, path: str) -> None:
        """See `FileSystem.mkdir`."""
        parts = self._split_folder(path)
        with translated(path):
            await self._while_moving(path, partial(self._mkdir, path, parts))

    async def sync(self, path: str) -> None:
        """See `FileSystem.sync`."""
        parts = self._split(path)
        with translated(path):
            commit = self._shared.commit(self._runtime)
            await commit.run(path, partial(self._sync, path, parts))

    def changed(self, path: str, size: int, timeout: float) -> Awaitable[None]:
        """See `Watch.changed`."""
        self._split(path)
        return self._shared.watching(self._runtime).changed(path, size, timeout)

    async def close(self) -> None:
        """See `FileSystem.close`."""
        self._shared.closed = True
        self._logs.clear()

    def _split(self, path: str) -> Parts:
        if self._shared.closed:
            raise ClosedError
        return split_path(path)

    def _split_folder(self, path: str) -> Parts:
        if path or self._shared.closed:
            return self._split(path)
        return ()

    def _look(self, path: str, parts: Parts) -> os.stat_result | None:
        """Return the stats of the file, None if there is none."""
        chain = self._tree.open(parts[:-1], path)
        found = None if chain is None else posix.status(parts[-1], folder=chain[-1].fd)
        return found if found is not None and posix.is_regular(path, found) else None

    def _open_to_read(self, path: str, parts: Parts) -> tuple[Descriptor, int]:
        known = self._appending.known(path)
        if known is not None:
            return known[0].descriptor, known[1].st_size
        chain = self._tree.open(parts[:-1], path)
        if chain is not None:
            opened = self._tree.open_file(chain[-1], parts[-1], os.O_RDONLY, path)
            if opened is not None:
                return opened[0], opened[1].st_size
        raise NotFoundError(path)

    async def _write(
        self, path: str, parts: Parts, data: bytes, if_version: IfVersion, durable: bool
    ) -> tuple[FileStats, Chain]:
        above, name = parts[:-1], parts[-1]
        chain = self._tree.make(above, path)
        folder = chain[-1]
        draft_of = draft_name(self._runtime.token())
        try:
            draft = self._tree.create_file(folder, draft_of, os.O_WRONLY)
        except FileNotFoundError:
            raise MovedError from None
        try:
            posix.write_all(draft.fd, data)
            if durable:
                # Before the rename: some file systems commit names ahead of contents.
                await self._runtime.offload(_fsync, draft)
            names = (draft_of, name)
            put = partial(install, self._tree, folder, draft, names, path, if_version)
            attempt = partial(self._tree.locked, folder, above, put)
            return await self._when_free(path, attempt), chain
        except BaseException:
            discard_draft(folder, draft_of)
            raise

    async def _unlink(self, path: str, parts: Parts, if_version: IfVersion) -> Descriptor | None:
        """Return the folder in which there is no such file any more, None if there is none."""
        above, name = parts[:-1], parts[-1]
        chain = self._tree.open(above, path)
        if chain is None:
            return None
        folder = chain[-1]
        unlink = partial(remove, self._tree, folder, name, path, if_version)
        await self._when_free(path, partial(self._tree.locked, folder, above, unlink))
        return folder

    async def _empty(self, path: str, parts: Parts, chain: Chain) -> None:
        parent, folder = chain[-2:]
        # Held to the end: nobody makes a name in a folder that is being removed.
        await self._when_free(path, partial(posix.lock, folder.fd))
        try:
            if self._tree.is_current(folder, parts):
                with translated(path, unknown=True):
                    await self._runtime.offload(folders.remove, parent, parts[-1], path)
        finally:
            posix.unlock(folder.fd)
            with translated(path, unknown=True):
                self._appending.let_go(path)

    async def _mkdir(self, path: str, parts: Parts) -> None:
        self._tree.make(parts, path)

    async def _sync(self, path: str, parts: Parts) -> None:
        # Not looked at before: what counts is that it is the path's afterwards.
        log = self._logs.get(path)
        for _ in range(ATTEMPTS):
            log = log or self._appending.current(path, parts)
            token = self._runtime.token
            if await self._runtime.offload(self._shared.syncing.run, log, parts, token):
                return
            log = None
        raise UnavailableError(path, "it keeps being replaced")

    async def _when_free(self, path: str, attempt: Callable[[], T]) -> T:
        """Return `attempt()`, tried again while it meets a lock of others."""
        pause = posix.FIRST_PAUSE_SECONDS
        deadline = None
        while True:
            try:
                return attempt()
            except BusyError:
                now = self._runtime.monotonic()
            if deadline is None:
                deadline = now + self._io_timeout
            if now >= deadline:
                reason = f"another writer held it for {self._io_timeout:g} s (is one stopped?)"
                raise UnavailableError(path, reason)
            await self._runtime.sleep(pause)
            pause = min(2 * pause, posix.LONGEST_PAUSE_SECONDS)

    async def _while_moving(self, path: str, call: Callable[[], Awaitable[T]]) -> T:
        """Return `await call()`, begun again while others remove the folder under it."""
        for _ in range(ATTEMPTS):
            try:
                return await call()
            except MovedError:
                continue
        raise UnavailableError(path, "its folder keeps being removed")


class _Shared:
    """What all views of one file system have in common."""

    def __init__(self, root: str, io_timeout: float) -> None:
        self.closed = False
        self.descriptors = Descriptors()
        self.tree = Tree(root, self.descriptors)
        self.logs = Logs()
        self.appending = Appending(self.tree, self.logs)
        self.syncing = Syncing(self.tree, self.logs, io_timeout)
        self._commits: dict[Runtime, GroupCommit] = {}
        self._watching: dict[Runtime, Watching] = {}
        on_fork(self)

    def commit(self, runtime: Runtime) -> GroupCommit:
        """Return what lets the callers that wait by `runtime` share their syncs."""
        found = self._commits.get(runtime)
        return found or self._commits.setdefault(runtime, GroupCommit(runtime))

    def watching(self, runtime: Runtime) -> Watching:
        """Return what looks at files for the callers that wait by `runtime`."""
        found = self._watching.get(runtime)
        if found is None:
            made = Watching(self.tree, runtime, lambda: self.closed)
            found = self._watching.setdefault(runtime, made)
        return found

    def after_fork(self) -> None:
        """Begin anew in the child: what is open, and who waits, belongs to the parent."""
        self.descriptors.after_fork()
        self.logs.after_fork()
        self._commits = {}
        self._watching = {}


def _read(descriptor: Descriptor, start: int, count: int) -> bytes:
    # The object, not its number: it keeps the file open until the thread is done.
    return posix.read_range(descriptor.fd, start, count)


def _fsync(descriptor: Descriptor) -> None:
    posix.fsync(descriptor.fd)


__all__ = ["RealFileSystem"]
