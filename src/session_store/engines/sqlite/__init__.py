"""SQLite: one database file on one host, for millions of sessions."""

import os
from typing import Final
from urllib.parse import unquote

from session_store.errors import ConfigError, MissingExtraError

try:
    from .files import SQLiteFileSystem
except ModuleNotFoundError as error:
    if error.name != "apsw":
        raise
    raise MissingExtraError("sqlite") from error

_SAYS: Final = "sqlite:///sessions.db is in this folder, sqlite:////srv/sessions.db anywhere"


def open_files(url: str, *, io_timeout_ms: int) -> SQLiteFileSystem:
    """Return the files in the database that a `sqlite:` URL names; made when it is first used."""
    return SQLiteFileSystem(_path(url), io_timeout_ms=io_timeout_ms)


def place_in(url: str, name: str) -> str:
    """Return the URL of a database of its own, beside the one at `url`."""
    stem, ending = os.path.splitext(url)
    return f"{stem}-{name}{ending}"


async def is_made(url: str) -> bool:
    """Return whether there is a database at `url`; none is made."""
    return os.access(_path(url), os.F_OK)


async def erase(url: str) -> None:
    """Remove the database at `url`, which nobody may have open."""
    for ending in ("", "-wal", "-shm"):
        try:
            os.remove(_path(url) + ending)
        except FileNotFoundError:
            continue


def _path(url: str) -> str:
    # Not by `urlsplit`: it drops tabs and line breaks, which are another file's name then.
    before, found, rest = url.partition("sqlite:///")
    path = unquote(rest)
    if before or not found or not path or path == ":memory:":
        raise ConfigError("url", f"a sqlite: URL names a file: {_SAYS}")
    if "?" in rest or "#" in rest:
        raise ConfigError("url", "a sqlite: URL has no ? and no # (in a name: %3F and %23)")
    if "\0" in path:
        raise ConfigError("url", "a sqlite: URL cannot hold NUL")
    try:
        path.encode()
    except UnicodeEncodeError:
        raise ConfigError("url", "a sqlite: URL cannot hold half a surrogate pair") from None
    return path


__all__ = ["SQLiteFileSystem", "erase", "is_made", "open_files", "place_in"]
