"""How bytes get to the end of a file, whole, exactly once, and only into the right file.

Every method is one attempt that never waits: whoever meets a taken lock gets `BusyError`.
"""

import errno
import fcntl
import os
from functools import partial
from typing import Final

from session_store.errors import ConflictError, FileSystemError, NotFoundError, UnavailableError

from . import posix
from .descriptors import Descriptor
from .drafts import Parts
from .logs import Log, Logs
from .posix import BusyError, MovedError
from .tree import ATTEMPTS, GONE, Tree

_FLAGS: Final = os.O_RDWR | os.O_APPEND
_LOCK: Final = fcntl.LOCK_EX | fcntl.LOCK_NB
_READ_ONLY: Final = {errno.EACCES, errno.EPERM, errno.EROFS}


class Appending:
    """Appends to the logs of one tree."""

    def __init__(self, tree: Tree, logs: Logs) -> None:
        self._tree = tree
        self._logs = logs

    def known(self, path: str) -> tuple[Log, os.stat_result] | None:
        """Return the log that is open for `path`, with its stats, if it still is the path's."""
        log = self._logs.get(path)
        if log is None:
            return None
        found = self._tree.status(path)
        if found is None or not log.is_at(found):
            return None
        return log, found

    def current(self, path: str, parts: Parts) -> Log:
        """Return the log that is the path's right now, open, or raise `NotFoundError`.

        For who may not write it is open for reading, which is enough to sync it.
        """
        known = self.known(path)
        try:
            log = known[0] if known else self._open(path, parts)
        except OSError as error:
            if error.errno not in _READ_ONLY:
                raise
            # Not kept: whoever may write later shall not meet a descriptor that cannot.
            log = self._opened(path, parts, os.O_RDONLY)
        if log is None:
            self.let_go(path)
            raise NotFoundError(path)
        return log

    def append(self, path: str, parts: Parts, data: bytes, if_size: int | None) -> int:
        """Do what `FileSystem.append` says, at once or not at all."""
        log = self._logs.get(path)
        for _ in range(ATTEMPTS):
            log = log or self._open(path, parts)
            if log is None:
                self.let_go(path)
                if if_size:
                    raise ConflictError(path, expected=if_size, actual=0)
                log = self._create(path, parts)
            size = None if log is None else self._add(log, data, if_size)
            if size is not None:
                return size
            log = None
        raise UnavailableError(path, "it keeps being replaced")

    def append_now(self, path: str, data: bytes, size: int) -> bool:
        """Do what `Direct.append_now` says, if the file is open."""
        log = self._logs.peek(path)
        if log is None or log.failed or not log.mutex.acquire(False):
            return False
        fd = log.descriptor.fd
        try:
            # As `posix.lock` does: each call of Python's here is one per cent of an append.
            fcntl.flock(fd, _LOCK)
            try:
                if os.lseek(fd, 0, os.SEEK_END) != size:
                    return False
                posix.append_all(fd, path, size, data)
                if not self._landed(log):
                    return False
                self._logs.remember(log, size, data)
                return True
            finally:
                posix.unlock(fd)
        except BlockingIOError:
            return False
        except FileSystemError:
            raise
        except OSError as error:
            raise posix.translate(path, error) from error
        finally:
            log.mutex.release()

    def _landed(self, log: Log) -> bool:
        """Return whether the path has the inode that was written to; else nothing has happened.

        Raises `UnavailableError` with `unknown` if that cannot be told.
        """
        try:
            found = os.lstat(log.place)
            if found.st_ino == log.ino and found.st_dev == log.dev:
                return True
        except (FileNotFoundError, NotADirectoryError):
            pass
        except OSError as error:
            raise UnavailableError(log.path, posix.reason_of(error), unknown=True) from error
        with posix.translated(log.path, unknown=True):
            if self._tree.has_moved():
                # With what was written in it, and it may come back.
                raise UnavailableError(log.path, GONE, unknown=True)
        return False

    def let_go(self, path: str) -> None:
        """Close what was open at `path` or below and was removed or replaced there on purpose."""
        for log in self._logs.below(path):
            if not log.is_at(self._tree.status(log.path)):
                self._logs.drop(log)

    def _add(self, log: Log, data: bytes, if_size: int | None) -> int | None:
        """Return the new size, or None if `log` is not, or no longer, what its path names."""
        path = log.path
        fd = log.descriptor.fd
        with log.mutex:
            if log.failed:
                self._refuse(log)
                return None
            posix.lock(fd)
            try:
                found = self._tree.status(path)
                if found is None or not log.is_at(found):
                    return None
                start = found.st_size
                if if_size is not None and if_size != start:
                    raise ConflictError(path, expected=if_size, actual=start)
                posix.append_all(fd, path, start, data)
                if not self._landed(log):
                    return None
                self._logs.remember(log, start, data)
                return start + len(data)
            finally:
                posix.unlock(fd)

    def _refuse(self, log: Log) -> None:
        """Return only if the path has another inode by now."""
        if log.is_at(self._tree.status(log.path)):
            if log.poisoned:
                raise UnavailableError(log.path, log.poisoned)
            # The thread that saw the failed fsync is saving the bytes just now.
            raise BusyError

    def _open(self, path: str, parts: Parts) -> Log | None:
        log = self._opened(path, parts, _FLAGS)
        return None if log is None else self._logs.put(log)

    def _opened(self, path: str, parts: Parts, flags: int) -> Log | None:
        chain = self._tree.open(parts[:-1], path)
        if chain is None:
            return None
        opened = self._tree.open_file(chain[-1], parts[-1], flags, path)
        return None if opened is None else Log(path, *opened, self._tree.root)

    def _create(self, path: str, parts: Parts) -> Log | None:
        """Return the new, empty log, or None if it has to be looked for again."""
        above, name = parts[:-1], parts[-1]
        try:
            folder = self._tree.make(above, path)[-1]
            create = partial(self._create_in, folder, path, name)
            return self._tree.locked(folder, above, create)
        except MovedError:
            return None

    def _create_in(self, folder: Descriptor, path: str, name: str) -> Log | None:
        try:
            descriptor = self._tree.create_file(folder, name, _FLAGS)
        except FileExistsError:
            found = posix.status(name, folder=folder.fd)
            if found is not None and not posix.is_regular(path, found):
                raise UnavailableError(path, "it is a folder") from None
            return None
        return self._logs.put(Log(path, descriptor, os.fstat(descriptor.fd), self._tree.root))
