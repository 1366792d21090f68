"""Names that stand for a file in the making, and that nobody else may use or sees."""

import os
from contextlib import suppress
from functools import lru_cache
from typing import Final, TypeAlias

from session_store.errors import InvalidIdError

from .descriptors import Descriptor
from .paths import check_path

Parts: TypeAlias = tuple[str, ...]
"""A path, component by component."""

_PREFIX: Final = ".tmp-"


def draft_name(token: str) -> str:
    """Return a name that no path can have."""
    return f"{_PREFIX}{token}"


def is_draft(name: str) -> bool:
    """Return whether `name` is that of a draft."""
    return name.startswith(_PREFIX)


@lru_cache(maxsize=1024)
def split_path(path: str) -> Parts:
    """Return the components of `path`, or raise `InvalidIdError`."""
    parts = tuple(check_path(path))
    if _PREFIX in path:
        for part in parts:
            if is_draft(part):
                raise InvalidIdError(part, f"names that start with {_PREFIX!r} are for drafts")
    return parts


def discard_draft(folder: Descriptor, name: str) -> None:
    """Remove a draft if it is there; for use where another error is already on its way."""
    # If the disk refuses: the draft has a name of its own and is in nobody's way.
    with suppress(OSError):
        os.unlink(name, dir_fd=folder.fd)
