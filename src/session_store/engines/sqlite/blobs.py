"""Files as rows: a row of facts for each, and a chunk for each time something was added."""

import time
from typing import Any, Final

import apsw

from session_store.errors import ConflictError, NotFoundError, StorageFullError, UnavailableError
from session_store.files.filesystem import ABSENT, ANY, FileStats, IfVersion

from .schema import MAX_FILE_BYTES, START_BITS

CHUNK_BYTES: Final = 16 << 20
"""What one call gives is stored in pieces of at most so much."""

_FIND: Final = "SELECT number, size, changes, mtime_ms FROM file WHERE folder = ? AND name = ?"
_NOTE: Final = "UPDATE file SET size = ?, changes = ?, mtime_ms = ? WHERE number = ?"
_READ: Final = (
    "SELECT place, data FROM chunk WHERE place < :end AND place >= coalesce("
    "(SELECT max(place) FROM chunk WHERE place >= :first AND place <= :start), :first)"
    " ORDER BY place"
)


class File:
    """The facts of one file."""

    __slots__ = ("changes", "mtime_ms", "number", "size")

    def __init__(self, number: int, size: int, changes: int, mtime_ms: int) -> None:
        self.number = number
        self.size = size
        self.changes = changes
        self.mtime_ms = mtime_ms

    @property
    def stats(self) -> FileStats:
        """Return what is known of the file; a number never comes back, its changes only grow."""
        version = f"{self.number}.{self.changes}"
        return FileStats(size=self.size, mtime_ms=self.mtime_ms, version=version)


def find(connection: apsw.Connection, folder: str, name: str) -> File | None:
    """Return the facts of a file, None if there is none."""
    row: Any = connection.execute(_FIND, (folder, name)).fetchone()
    return None if row is None else File(*row)


def find_to_write(connection: apsw.Connection, folder: str, name: str) -> File | None:
    """Return the facts of a file; `NotFoundError` in the folder of a session that is deleted."""
    found = find(connection, folder, name)
    if found is None and folder:
        session = folder.partition("/")[0]
        if connection.execute("SELECT 1 FROM deleted_session WHERE id = ?", (session,)).fetchone():
            raise NotFoundError(f"{folder}/{name}")
    return found


def check_version(path: str, if_version: IfVersion, found: File | None) -> None:
    """Raise `ConflictError` unless the file is as the precondition says."""
    actual = None if found is None else found.stats.version
    if if_version is ANY or (if_version is ABSENT and actual is None):
        return
    if if_version != actual:
        raise ConflictError(path, expected=if_version, actual=actual)


def create(connection: apsw.Connection, path: str, folder: str, name: str) -> File:
    """Make an empty file, and the folders above it."""
    if connection.execute("SELECT 1 FROM folder WHERE path = ?", (path,)).fetchone():
        raise UnavailableError(path, "it is a folder")
    make_folder(connection, folder, path)
    connection.execute(
        "INSERT INTO file (folder, name, size, changes, mtime_ms) VALUES (?, ?, 0, 0, 0)",
        (folder, name),
    )
    return File(connection.last_insert_rowid(), 0, 0, 0)


def make_folder(connection: apsw.Connection, folder: str, path: str) -> None:
    """Make `folder` and those above it, where they are missing; `path` is what it is for."""
    while folder:
        if connection.execute("SELECT 1 FROM folder WHERE path = ?", (folder,)).fetchone():
            return
        parent, _, name = folder.rpartition("/")
        if find(connection, parent, name) is not None:
            raise UnavailableError(path, f"{folder!r} is a file, not a folder")
        connection.execute("INSERT INTO folder VALUES (?, ?, ?)", (folder, parent, f"{name}/"))
        folder = parent


def add(connection: apsw.Connection, path: str, file: File, data: bytes) -> File:
    """Add `data` at the end of the file, and return its facts as they are then."""
    size = file.size + len(data)
    if size > MAX_FILE_BYTES:
        raise StorageFullError(path, f"a file has at most {MAX_FILE_BYTES} bytes")
    first = file.number << START_BITS | file.size
    at = 0
    while at < len(data):
        piece = data[at : at + CHUNK_BYTES]
        if at + CHUNK_BYTES < len(data):
            # Whole lines, where there are any: the view shows no line that is in two chunks.
            piece = piece[: piece.rfind(b"\n") + 1] or piece
        connection.execute("INSERT INTO chunk VALUES (?, ?)", (first + at, piece))
        at += len(piece)
    after = File(file.number, size, file.changes + 1, time.time_ns() // 1_000_000)
    connection.execute(_NOTE, (after.size, after.changes, after.mtime_ms, after.number))
    return after


def empty(connection: apsw.Connection, file: File) -> File:
    """Take all bytes out of the file, and return its facts as they are then."""
    _forget(connection, file.number)
    return File(file.number, 0, file.changes, file.mtime_ms)


def remove(connection: apsw.Connection, file: File) -> None:
    """Remove the file."""
    _forget(connection, file.number)
    connection.execute("DELETE FROM file WHERE number = ?", (file.number,))


def remove_tree(connection: apsw.Connection, path: str) -> None:
    """Remove the folder with everything in it."""
    # `0` is what follows `/`: all paths below, and no other.
    below = (path, f"{path}/", f"{path}0")
    where = "{0} = ? OR ({0} >= ? AND {0} < ?)"
    files: Any = connection.execute(
        f"SELECT number FROM file WHERE {where.format('folder')}",
        below,
    ).fetchall()
    for (number,) in files:
        _forget(connection, number)
        connection.execute("DELETE FROM file WHERE number = ?", (number,))
    connection.execute(f"DELETE FROM folder WHERE {where.format('path')}", below)


def content(connection: apsw.Connection, file: File, start: int, end: int) -> bytes:
    """Return the bytes from `start` up to `end`, which lies within the file."""
    if start >= end:
        return b""
    first = file.number << START_BITS
    bounds = {"first": first, "start": first + start, "end": first + end}
    rows: Any = connection.execute(_READ, bounds).fetchall()
    begin = rows[0][0] - first if rows else start
    data: bytes = rows[0][1] if len(rows) == 1 else b"".join([piece for _, piece in rows])
    return data[start - begin : end - begin]


def names(connection: apsw.Connection, folder: str, after: str, limit: int) -> list[str]:
    """Return up to `limit` names in a folder behind `after`; a folder's ends in `/`."""
    rows: Any = connection.execute(
        "SELECT name FROM file WHERE folder = :folder AND name > :after"
        " UNION ALL "
        "SELECT name FROM folder WHERE parent = :folder AND name > :after"
        " ORDER BY name LIMIT :limit",
        {"folder": folder, "after": after, "limit": limit},
    ).fetchall()
    return [name for (name,) in rows]


def _forget(connection: apsw.Connection, number: int) -> None:
    first = number << START_BITS
    connection.execute(
        "DELETE FROM chunk WHERE place >= ? AND place < ?", (first, first + MAX_FILE_BYTES)
    )
