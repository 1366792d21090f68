"""The reference: files in a dict, so plain that every other engine is tested against it.

Thread-safe, gone with the process, and never waits: all it does happens under one lock.
"""

import threading
import time
from collections.abc import Sequence

from session_store.errors import ClosedError, ConflictError, NotFoundError, UnavailableError

from .filesystem import ABSENT, ANY, FileStats, IfVersion, Page, Traits
from .paths import check_path


class InMemoryFileSystem:
    """Files that live as long as this object."""

    def __init__(self) -> None:
        self._files: dict[str, _File] = {}
        self._folders: set[str] = {""}
        self._versions = 0
        self._closed = False
        self._guard = threading.Lock()

    @property
    def traits(self) -> Traits:
        """Facts about this engine."""
        return Traits(scope="process", durable=False, blocking=True)

    async def stat(self, path: str) -> FileStats:
        """See `FileSystem.stat`."""
        check_path(path)
        with self._guard:
            return self._file(path).stats()

    async def exists(self, path: str) -> bool:
        """See `FileSystem.exists`."""
        check_path(path)
        with self._guard:
            return self._find(path) is not None

    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        """See `FileSystem.read`."""
        check_path(path)
        with self._guard:
            return bytes(memoryview(self._file(path).data)[start:end])

    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        """See `FileSystem.write`."""
        parts = check_path(path)
        with self._guard:
            self._check_version(path, if_version)
            self._check_is_no_folder(path)
            self._make_folders(parts[:-1], path)
            file = self._files[path] = _File(bytearray(data))
            self._touch(file)
            return file.stats()

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        """See `FileSystem.append`."""
        parts = check_path(path)
        with self._guard:
            file = self._find(path)
            size = len(file.data) if file else 0
            if if_size is not None and if_size != size:
                raise ConflictError(path, expected=if_size, actual=size)
            if file is None:
                self._check_is_no_folder(path)
                self._make_folders(parts[:-1], path)
                file = self._files[path] = _File(bytearray())
            file.data += data
            self._touch(file)
            return len(file.data)

    async def delete(self, path: str, *, if_version: IfVersion = ANY) -> None:
        """See `FileSystem.delete`."""
        check_path(path)
        with self._guard:
            if self._find(path) is not None:
                self._check_version(path, if_version)
                del self._files[path]

    async def delete_tree(self, path: str) -> None:
        """See `FileSystem.delete_tree`."""
        check_path(path)
        with self._guard:
            self._check_open()
            if path in self._folders:
                below = f"{path}/"
                self._files = {k: v for k, v in self._files.items() if not k.startswith(below)}
                self._folders = {
                    name for name in self._folders if name != path and not name.startswith(below)
                }

    async def list(self, path: str, *, after: str = "", limit: int = 1000) -> Page:
        """See `FileSystem.list`."""
        if path:
            check_path(path)
        with self._guard:
            self._check_open()
            names = sorted(name for name in self._names_in(path) if name > after)
        page = names[:limit]
        return Page(page, after=page[-1] if len(names) > limit else None)

    async def mkdir(self, path: str) -> None:
        """See `FileSystem.mkdir`."""
        parts = check_path(path) if path else []
        with self._guard:
            self._check_open()
            self._make_folders(parts, path)

    async def sync(self, path: str) -> None:
        """See `FileSystem.sync`; memory survives no power cut, and `traits` says so."""
        check_path(path)
        with self._guard:
            self._file(path)

    async def close(self) -> None:
        """See `FileSystem.close`."""
        with self._guard:
            self._closed = True
            self._files.clear()

    def _check_open(self) -> None:
        if self._closed:
            raise ClosedError

    def _find(self, path: str) -> "_File | None":
        self._check_open()
        return self._files.get(path)

    def _file(self, path: str) -> "_File":
        file = self._find(path)
        if file is None:
            raise NotFoundError(path)
        return file

    def _check_version(self, path: str, if_version: IfVersion) -> None:
        file = self._find(path)
        found = file.version if file else None
        if if_version is ANY or (if_version is ABSENT and found is None):
            return
        if if_version != found:
            raise ConflictError(path, expected=if_version, actual=found)

    def _check_is_no_folder(self, path: str) -> None:
        if path in self._folders:
            raise UnavailableError(path, "it is a folder")

    def _make_folders(self, parts: Sequence[str], path: str) -> None:
        folders = ["/".join(parts[: n + 1]) for n in range(len(parts))]
        for folder in folders:
            if folder in self._files:
                raise UnavailableError(path, f"{folder!r} is a file, not a folder")
        self._folders.update(folders)

    def _names_in(self, folder: str) -> set[str]:
        below = f"{folder}/" if folder else ""
        files = {name[len(below) :] for name in self._files if name.startswith(below)}
        folders = {name[len(below) :] + "/" for name in self._folders if name.startswith(below)}
        names = files | folders
        return {name for name in names if "/" not in name[:-1] and name != "/"}

    def _touch(self, file: "_File") -> None:
        # A counter: a version never comes back, not even when the content does.
        self._versions += 1
        file.version = str(self._versions)
        file.mtime_ms = time.time_ns() // 1_000_000


class _File:
    __slots__ = ("data", "mtime_ms", "version")

    def __init__(self, data: bytearray) -> None:
        self.data = data
        self.mtime_ms = 0
        self.version = ""

    def stats(self) -> FileStats:
        return FileStats(size=len(self.data), mtime_ms=self.mtime_ms, version=self.version)


__all__ = ["InMemoryFileSystem"]
