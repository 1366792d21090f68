"""From a URL or a path to the file system it names."""

import importlib
import os
from types import ModuleType
from typing import Final

from session_store.errors import ConfigError

from .filesystem import FileSystem
from .local import RealFileSystem
from .memory import InMemoryFileSystem

ENGINES: Final = {
    "sqlite": "sqlite",
    "postgres": "postgres",
    "postgresql": "postgres",
    "redis": "redis",
    "redis+cluster": "redis",
    "rediss": "redis",
    "rediss+cluster": "redis",
    "s3": "objects",
    "gs": "objects",
    "az": "objects",
}
"""The rooms in `session_store.engines`, by the schemes they serve: each is imported by its name
when it is asked for, since it is above this floor and needs an extra."""


def open_files(url: str | os.PathLike[str], *, io_timeout_ms: int = 10_000) -> FileSystem:
    """Return the file system at a path, a `file:` URL, `memory:` (empty, yours alone) or an engine.

    `file:folder?allow_network=1` takes a folder on a network file system too. What an engine's
    URL may say is told in docs/engines.md. Raises `ConfigError` for a URL that is wrong, and
    `MissingExtraError` if the engine's library is not installed. Nothing is connected yet.
    """
    if url == "memory:":
        return InMemoryFileSystem()
    if isinstance(url, str):
        room = room_of(url)
        if room is not None:
            files: FileSystem = room.open_files(url, io_timeout_ms=io_timeout_ms)
            return files
        folder, allow_network = _folder(url)
        return RealFileSystem(folder, io_timeout_ms=io_timeout_ms, allow_network=allow_network)
    if isinstance(url, os.PathLike):
        return RealFileSystem(url, io_timeout_ms=io_timeout_ms)
    raise ConfigError("url", f"a path or a URL, not {type(url).__name__}")


def room_of(url: str) -> ModuleType | None:
    """Return the room of the engine that a URL names; None for a folder or `memory:`.

    Besides `open_files` it has `place_in(url, name)`, the URL of another store beside that one,
    and the coroutines `is_made(url)`, which tells whether there is a store at a URL and makes
    none, and `erase(url)`, which removes it.
    """
    engine = ENGINES.get(url.partition(":")[0])
    return None if engine is None else importlib.import_module(f"session_store.engines.{engine}")


def _folder(url: str) -> tuple[str, bool]:
    """Return the folder, and whether it may be on a network."""
    scheme, separator, rest = url.partition(":")
    is_scheme = len(scheme) > 1 and scheme.replace("+", "").isalnum()
    if not separator or not (is_scheme or rest.startswith("//")):
        if not url:
            raise ConfigError("url", "empty; give a folder such as './sessions', or memory:")
        return url, False
    if scheme != "file":
        # The rest may hold a password.
        known = ", ".join(f"{name}:" for name in ("file", "memory", *ENGINES))
        raise ConfigError("url", f"no engine for {scheme!r}: there are {known}")
    from urllib.parse import unquote, urlsplit  # 3 ms that a plain path does not wait for

    path, _, query = rest.partition("?")
    if query not in {"", "allow_network=1"}:
        raise ConfigError("url", "a file: URL takes only ?allow_network=1 (a ? in a name is %3F)")
    if rest.startswith("//"):
        try:
            parts = urlsplit(url)
        except ValueError:
            raise ConfigError("url", "no file: URL: file:///folder") from None
        if parts.netloc not in {"", "localhost"}:
            raise ConfigError("url", "a file: URL names a folder of this host: file:///folder")
        path = parts.path
    if not path:
        raise ConfigError("url", "a file: URL needs a folder: file:./sessions")
    folder = unquote(path)
    if "\0" in folder:
        raise ConfigError("url", "a file: URL cannot hold NUL")
    return folder, bool(query)
