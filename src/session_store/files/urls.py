"""From a URL or a path to the file system it names."""

import os
from urllib.parse import unquote, urlsplit

from session_store.errors import ConfigError

from .filesystem import FileSystem
from .local import RealFileSystem
from .memory import InMemoryFileSystem


def open_files(url: str | os.PathLike[str]) -> FileSystem:
    """Return the file system at a path, a `file:` URL, or `memory:` (empty, yours alone)."""
    if not isinstance(url, str):
        return RealFileSystem(url)
    scheme, separator, rest = url.partition(":")
    if not separator or len(scheme) < 2 or not scheme.replace("+", "").isalnum():
        if not url:
            raise ConfigError("url", "empty; give a folder such as './sessions', or memory:")
        return RealFileSystem(url)
    if scheme == "memory":
        return InMemoryFileSystem()
    if scheme != "file":
        # The rest may hold a password.
        raise ConfigError("url", f"no engine for {scheme!r}: there are file: and memory:")
    path = rest
    if rest.startswith("//"):
        parts = urlsplit(url)
        if parts.netloc not in {"", "localhost"}:
            raise ConfigError("url", "a file: URL names a folder of this host: file:///folder")
        path = parts.path
    if not path:
        raise ConfigError("url", "a file: URL needs a folder: file:./sessions")
    return RealFileSystem(unquote(path))
