"""Connections to one database, and transactions that never wait for others inside SQLite.

SQLite waits for a lock by sleeping in the thread, up to 100 ms at a time. Here every attempt is
made at once or not at all, and who has to wait does so by the runtime.
"""

import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Final, NoReturn, TypeVar, cast

import apsw

from session_store.errors import (
    ClosedError,
    ConfigError,
    CorruptionError,
    SessionStoreError,
    StorageFullError,
    UnavailableError,
)
from session_store.files import posix
from session_store.files.mounts import network_of

from . import schema

T = TypeVar("T")

FLAGS: Final = apsw.SQLITE_OPEN_READWRITE | apsw.SQLITE_OPEN_CREATE | apsw.SQLITE_OPEN_NOMUTEX
IDLE_MAX: Final = 8
CHECKPOINT_PAGES: Final = 1_000
"""From 4 MiB of write-ahead log on it is moved into the database, and written over: to make a
file longer costs a sync twice as much as to write what is there anew."""
LONG_PAGES: Final = 8 * CHECKPOINT_PAGES
"""From so much on writers are kept out meanwhile: where somebody always writes the log is never
moved to its end otherwise, and grows without bound."""
LOG_LIMIT_BYTES: Final = 64 << 20
"""A log that grew longer for once is cut to so much when it is written over."""
FORK_WAIT_SECONDS: Final = 1
BUSY: Final = (apsw.BusyError, apsw.LockedError, apsw.ProtocolError)
"""The last says that many tries to read failed because others were just writing each time."""


class BusyError(Exception):
    """Somebody else writes just now. Never leaves this room."""


class Database:
    """Connections, each used by one thread at a time; opened when they are first needed.

    A commit survives the death of the process; a power cut, once `sync` has returned.
    """

    def __init__(self, path: str) -> None:
        # SQLite puts the log beside what a link leads to.
        self.path = os.path.realpath(path)
        self._closed = False
        self._start()

    def _start(self) -> None:
        self._idle: list[apsw.Connection] = []
        self._used = 0
        self._guard = threading.Condition()
        self._place: tuple[int, int] | None = None
        self._log: int | None = None
        self._log_is_named = False
        self._pages = self._pages_tried = 0
        self._failure: str | None = None

    def look(self, question: Callable[[apsw.Connection], T]) -> T:
        """Return `question(connection)`, which is one statement: that sees one state by itself."""
        with _Use(self) as connection, _told:
            result = question(connection)
        self._see_that_it_stands()
        return result

    def read(self, question: Callable[[apsw.Connection], T]) -> T:
        """Return `question(connection)`, all its statements asked of one state of the database."""
        with _Use(self) as connection, _told:
            connection.execute("BEGIN")
            try:
                result = question(connection)
            finally:
                # After some errors SQLite itself has done so.
                if connection.in_transaction:
                    connection.execute("ROLLBACK")
        self._see_that_it_stands()
        return result

    def change(self, deed: Callable[[apsw.Connection], T]) -> T:
        """Return `deed(connection)`, done wholly or not at all.

        Raises `BusyError`, with nothing done, if others write just now.
        """
        self._check_sound()
        with _Use(self) as connection:
            result = _change(connection, deed)
        # Behind the commit: what was written may have gone into a file that nobody finds.
        self._see_that_it_stands()
        return result

    def sync(self) -> None:
        """Return when all that was committed before survives a power cut.

        The write-ahead log is one file, and a checkpoint syncs what it takes from there: so one
        `fdatasync` is what SQLite does for each commit with `synchronous=FULL`, but it can be
        shared by many, and nobody holds the database meanwhile. SQLite has no locks on this
        file that closing it would drop.
        """
        self._check_sound()
        if self._log is None:
            with _Use(self):
                pass  # opens it
        try:
            if not self._log_is_named:
                _sync_folder(os.path.dirname(self.path))
                self._log_is_named = True
            posix.fdatasync(cast("int", self._log))
        except OSError as error:
            # The system may have dropped what it could not write, and shows it all the same.
            self._fail(f"{error.strerror}: what was written last may be lost")

    def _check_sound(self) -> None:
        if self._failure is not None:
            raise UnavailableError("", self._failure)

    def _fail(self, reason: str) -> NoReturn:
        self._failure = f"{reason}; open it anew"
        raise UnavailableError("", self._failure, unknown=True)

    def _see_that_it_stands(self) -> None:
        """Raise if the database or its log is no longer what others find under its name.

        A log goes when somebody believes to be the last who closes, as another process does once
        a second library of SQLite in this one has let go of the locks of both.
        """
        try:
            stands = _place_of(self.path) == self._place
            stands = stands and (self._log is None or _has_name(self._log))
        except OSError:
            stands = False
        if not stands and not self._closed:
            self._fail("the file was moved, replaced or removed, or its write-ahead log was")

    @property
    def log_is_long(self) -> bool:
        """Return whether it is time for a `checkpoint`, or for one more where one was hindered."""
        return self._pages >= self._pages_tried + CHECKPOINT_PAGES

    def checkpoint(self) -> None:
        """Move the write-ahead log into the database, as far as nobody reads from it."""
        mode = apsw.SQLITE_CHECKPOINT_PASSIVE
        if self._pages >= LONG_PAGES:
            mode = apsw.SQLITE_CHECKPOINT_RESTART
        self._pages_tried = self._pages
        with _Use(self) as connection, _told:
            connection.wal_checkpoint(mode=mode)

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

    def before_fork(self) -> None:
        """Let no connection be in use while the process is forked."""
        self._guard.acquire()
        self._guard.wait_for(lambda: not self._used, FORK_WAIT_SECONDS)

    def after_fork_in_parent(self) -> None:
        """Go on."""
        self._guard.release()

    def after_fork(self) -> None:
        """Close in the child what the parent has open, and open anew when it is needed.

        In its memory SQLite holds locks there that the kernel gave to the parent alone. As long
        as one connection is left it asks for none, and a parent that closes removes the log that
        the child writes to. Closing here takes nothing from the parent: it still has its locks,
        so nobody takes the child for the last.
        """
        for connection in self._idle:
            with suppress(apsw.Error):
                connection.close()
        if self._log is not None:
            os.close(self._log)
        self._start()

    def _take(self) -> apsw.Connection:
        with self._guard:
            if self._closed:
                raise ClosedError
            self._used += 1
            if self._idle:
                return self._idle.pop()
        try:
            return self._open()
        except BaseException:
            self._give_back(None)
            raise

    def _give_back(self, connection: apsw.Connection | None) -> None:
        with self._guard:
            self._used -= 1
            kept = not self._closed and len(self._idle) < IDLE_MAX
            if kept and connection is not None:
                self._idle.append(connection)
            self._guard.notify_all()
        if not kept and connection is not None:
            connection.close()

    def _committed(self, _connection: apsw.Connection, _schema: str, pages: int) -> int:
        if pages < self._pages:
            self._pages_tried = 0
        self._pages = pages
        return int(apsw.SQLITE_OK)

    def _open(self) -> apsw.Connection:
        if self._place is None:
            _refuse_network(self.path)
        with _told:
            try:
                # What was there and is gone is not made anew.
                flags = FLAGS if self._place is None else FLAGS & ~apsw.SQLITE_OPEN_CREATE
                connection = apsw.Connection(self.path, flags=flags)
            except apsw.CantOpenError:
                if self._place is not None:
                    self._see_that_it_stands()
                raise ConfigError("url", _unopened(self.path)) from None
            try:
                if self._place is not None:
                    self._see_that_it_stands()
                # Before anything is changed: it may belong to somebody else. Of one state, or
                # what others are just making would look so.
                connection.execute("BEGIN")
                schema.check(connection)
                connection.execute("ROLLBACK")
                if connection.pragma("journal_mode", "WAL") != "wal":
                    raise ConfigError("url", "its file system allows no write-ahead log")
                connection.pragma("synchronous", "NORMAL")
                connection.pragma("journal_size_limit", LOG_LIMIT_BYTES)
                connection.wal_autocheckpoint(0)
                connection.set_wal_hook(self._committed)
                if not schema.is_current(connection):
                    _change(connection, schema.prepare)
                self._remember_place()
            except BaseException:
                connection.close()
                raise
        return connection

    def _remember_place(self) -> None:
        """Note, with a connection open, which files these are; nobody removes them while it is."""
        with self._guard:
            if self._place is None:
                try:
                    self._log = os.open(f"{self.path}-wal", os.O_RDONLY | os.O_CLOEXEC)
                    self._place = _place_of(self.path)
                except OSError as error:
                    raise UnavailableError("", posix.reason_of(error)) from error


def _change(connection: apsw.Connection, deed: Callable[[apsw.Connection], T]) -> T:
    with _told:
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
                if isinstance(error, BUSY):
                    raise BusyError from error
        raise _typed(error, unknown=True) from error
    return result


def _sync_folder(path: str) -> None:
    folder = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        posix.fsync(folder)
    finally:
        os.close(folder)


def _has_name(fd: int) -> bool:
    """Return whether an open file has a name still.

    Not by `fstat`: since Linux 6.13 the next sync of a file whose times somebody has asked for
    takes half as long again, for it writes them anew.
    """
    try:
        return not os.readlink(f"/proc/self/fd/{fd}").endswith(" (deleted)")
    except OSError:
        return os.fstat(fd).st_nlink > 0


def _place_of(path: str) -> tuple[int, int]:
    found = os.stat(path)
    return found.st_dev, found.st_ino


def _refuse_network(path: str) -> None:
    kind = network_of(path)
    if kind is not None:
        reason = (
            f"{path!r} is on a network file system ({kind}), where hosts damage what they share"
        )
        raise ConfigError("url", f"{reason}: take a disk of this host, or another engine")


def _unopened(path: str) -> str:
    folder = os.path.dirname(path)
    if not os.path.isdir(folder):
        return f"there is no folder {folder!r} to keep the database in; make it first"
    return f"{path!r} cannot be opened: may this process read and write it, and its folder?"


class _Use:
    """`with _Use(database) as connection`: one for this thread alone.

    A class, as `_told`: what `contextmanager` makes of a generator costs a tenth of an append.
    """

    __slots__ = ("_connection", "_database")

    def __init__(self, database: Database) -> None:
        self._database = database

    def __enter__(self) -> apsw.Connection:
        self._connection = self._database._take()
        return self._connection

    def __exit__(self, *_: object) -> None:
        self._database._give_back(self._connection)


class _Told:
    """Turns SQLite's errors into ours."""

    def __enter__(self) -> None:
        pass

    def __exit__(self, _kind: object, error: BaseException | None, _trace: object) -> None:
        if isinstance(error, BUSY):
            raise BusyError from error
        if isinstance(error, apsw.Error):
            raise _typed(error, unknown=False) from error


_told: Final = _Told()


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
