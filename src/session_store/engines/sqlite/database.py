"""Connections to one database, and transactions that never wait for others inside SQLite.

SQLite waits for a lock by sleeping in the thread, up to 100 ms at a time. Here every attempt is
made at once or not at all, and who has to wait does so by the runtime.
"""

import os
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Final, TypeVar

import apsw

from session_store.errors import (
    ClosedError,
    ConfigError,
    CorruptionError,
    SessionStoreError,
    StorageFullError,
    UnavailableError,
)

from . import schema

T = TypeVar("T")

FLAGS: Final = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_NOMUTEX
IDLE_MAX: Final = 8
CHECKPOINT_PAGES: Final = 1_000
"""From 4 MiB of write-ahead log on it is moved into the database, and written over: to make a
file longer costs a sync twice as much as to write what is there anew."""


class BusyError(Exception):
    """Somebody else writes just now. Never leaves this room."""


class Database:
    """Connections, each used by one thread at a time; opened when they are first needed.

    A commit survives the death of the process; a power cut, once `sync` has returned.
    """

    def __init__(self, path: str) -> None:
        self.path = path
        self._closed = False
        self._start()

    def _start(self) -> None:
        self._idle: list[apsw.Connection] = []
        self._guard = threading.Lock()
        self._log: int | None = None
        self._pages = 0
        self._unsynced: str | None = None

    def read(self, question: Callable[[apsw.Connection], T]) -> T:
        """Return `question(connection)`, asked of one state of the database."""
        with self._connection() as connection, _told():
            connection.execute("BEGIN")
            try:
                return question(connection)
            finally:
                connection.execute("ROLLBACK")

    def change(self, deed: Callable[[apsw.Connection], T]) -> T:
        """Return `deed(connection)`, done wholly or not at all.

        Raises `BusyError`, with nothing done, if others write just now.
        """
        if self._unsynced is not None:
            raise UnavailableError("", self._unsynced)
        with self._connection() as connection:
            return _change(connection, deed)

    def sync(self) -> None:
        """Return when all that was committed before survives a power cut.

        The write-ahead log is one file, and a checkpoint syncs what it takes from there: so one
        `fdatasync` is what SQLite does for each commit with `synchronous=FULL`, but it can be
        shared by many, and nobody holds the database meanwhile. SQLite has no locks on this
        file that closing it would drop.
        """
        if self._unsynced is not None:
            raise UnavailableError("", self._unsynced)
        if self._log is None:
            # One connection stays open from here on, so nobody removes the log.
            with self._connection(), self._guard:
                if self._log is None:
                    self._log = _open_log(self.path)
        try:
            if self._log is not None:
                os.fdatasync(self._log)
        except OSError as error:
            # The system may have dropped what it could not write, and shows it all the same.
            self._unsynced = f"{error.strerror}: what was written last may be lost; open it anew"
            raise UnavailableError("", self._unsynced, unknown=True) from error

    @property
    def log_is_long(self) -> bool:
        """Return whether it is time for a `checkpoint`."""
        return self._pages >= CHECKPOINT_PAGES

    def checkpoint(self) -> None:
        """Move the write-ahead log into the database, as far as nobody reads from it."""
        self._pages = 0
        with self._connection() as connection, _told():
            connection.wal_checkpoint(mode=apsw.SQLITE_CHECKPOINT_PASSIVE)

    def close(self) -> None:
        """Close what is open; later calls raise `ClosedError`."""
        with self._guard:
            self._closed = True
            idle, self._idle = self._idle, []
            log, self._log = self._log, None
        for connection in idle:
            connection.close()
        if log is not None:
            os.close(log)

    def after_fork(self) -> None:
        """Open anew in the child; what the parent has is left alone, for closing would harm."""
        _left_to_the_parent.extend(self._idle)
        if self._log is not None:
            os.close(self._log)
        self._start()

    @contextmanager
    def _connection(self) -> Iterator[apsw.Connection]:
        with self._guard:
            if self._closed:
                raise ClosedError
            connection = self._idle.pop() if self._idle else None
        if connection is None:
            connection = self._open()
        try:
            yield connection
        finally:
            with self._guard:
                kept = not self._closed and len(self._idle) < IDLE_MAX
                if kept:
                    self._idle.append(connection)
            if not kept:
                connection.close()

    def _committed(self, _connection: apsw.Connection, _schema: str, pages: int) -> int:
        self._pages = pages
        return int(apsw.SQLITE_OK)

    def _open(self) -> apsw.Connection:
        with _told():
            try:
                connection = apsw.Connection(self.path, flags=FLAGS)
            except apsw.CantOpenError:
                raise ConfigError("url", _unopened(self.path)) from None
            try:
                if not schema.is_current(connection):
                    # Before anything is changed: it may belong to somebody else.
                    schema.check(connection)
                connection.pragma("journal_mode", "WAL")
                connection.pragma("synchronous", "NORMAL")
                connection.wal_autocheckpoint(0)
                connection.set_wal_hook(self._committed)
                if not schema.is_current(connection):
                    _change(connection, schema.prepare)
            except BaseException:
                connection.close()
                raise
        return connection


_left_to_the_parent: list[apsw.Connection] = []


def _change(connection: apsw.Connection, deed: Callable[[apsw.Connection], T]) -> T:
    with _told():
        connection.execute("BEGIN IMMEDIATE")
        try:
            result = deed(connection)
        except BaseException:
            # SQLite itself has done so where the disk is full.
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise
    try:
        connection.execute("COMMIT")
    except apsw.Error as error:
        with suppress(apsw.Error):
            if connection.in_transaction:
                connection.execute("ROLLBACK")
                if isinstance(error, apsw.BusyError | apsw.LockedError):
                    raise BusyError from error
        raise _typed(error, unknown=True) from error
    return result


def _open_log(path: str) -> int | None:
    """Return a descriptor of the write-ahead log, its name durable; None if there is none."""
    try:
        log = os.open(f"{path}-wal", os.O_RDWR | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    folder = os.open(os.path.dirname(path), os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    except BaseException:
        os.close(log)
        raise
    finally:
        os.close(folder)
    return log


def _unopened(path: str) -> str:
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        return f"there is no folder {folder!r} to keep the database in; make it first"
    return f"{path!r} cannot be opened: may this process read and write it, and its folder?"


@contextmanager
def _told() -> Iterator[None]:
    """Turn SQLite's errors into ours."""
    try:
        yield
    except (apsw.BusyError, apsw.LockedError) as error:
        raise BusyError from error
    except apsw.Error as error:
        raise _typed(error, unknown=False) from error


def _typed(error: apsw.Error, *, unknown: bool) -> SessionStoreError:
    reason = str(error) or type(error).__name__
    if isinstance(error, apsw.FullError | apsw.TooBigError):
        return StorageFullError("", reason)
    if isinstance(error, apsw.NotADBError):
        return ConfigError("url", "the file is no SQLite database")
    if isinstance(error, apsw.CorruptError):
        return CorruptionError("", 0, f"{reason} (`sqlite3 FILE .recover` saves what it can)")
    return UnavailableError("", reason, unknown=unknown)


__all__ = ["BusyError", "Database"]
