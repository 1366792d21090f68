"""Whole folders: their names in pages, and their end."""

import errno
import os
from contextlib import suppress
from typing import Final

from session_store.errors import InvalidIdError, UnavailableError

from .descriptors import Descriptor
from .drafts import is_draft
from .filesystem import Page
from .paths import check_component

_ATTEMPTS: Final = 64
_FOLDER: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def page(folder: Descriptor, after: str, limit: int) -> Page:
    """Return up to `limit` of the names that sort after `after`."""
    names = sorted(name for name in _names(folder) if name > after)
    if len(names) <= limit:
        return Page(names)
    return Page(names[:limit], after=names[limit - 1])


def remove(parent: Descriptor, name: str, path: str) -> None:
    """Remove the folder `name` with all that is in it; links are removed, not followed."""
    for _ in range(_ATTEMPTS):
        try:
            return _remove(parent, name)
        except FileNotFoundError:
            return None
        except OSError as error:
            if error.errno not in {errno.ENOTEMPTY, errno.EEXIST}:
                raise
    raise UnavailableError(path, "somebody keeps writing into it", unknown=True)


def _remove(parent: Descriptor, name: str) -> None:
    # Not recursive: how deep it is was not decided by us.
    levels = [_Level(parent, name)]
    while levels:
        level = levels[-1]
        if level.folders:
            levels.append(_Level(level.folder, level.folders.pop()))
        else:
            os.rmdir(level.name, dir_fd=level.parent.fd)
            levels.pop()


class _Level:
    """A folder on the way down: its files are gone, its folders are to be visited."""

    def __init__(self, parent: Descriptor, name: str) -> None:
        self.parent = parent
        self.name = name
        self.folder = Descriptor(os.open(name, _FOLDER, dir_fd=parent.fd))
        self.folders: list[str] = []
        with os.scandir(self.folder.fd) as entries:
            for entry in entries:
                if entry.is_dir(follow_symlinks=False):
                    self.folders.append(entry.name)
                else:
                    self._unlink(entry.name)

    def _unlink(self, name: str) -> None:
        # A writer may take its draft away at the same time.
        with suppress(FileNotFoundError):
            os.unlink(name, dir_fd=self.folder.fd)


def _names(folder: Descriptor) -> list[str]:
    names: list[str] = []
    with os.scandir(folder.fd) as entries:
        for entry in entries:
            if not _has_path(entry.name):
                continue
            if entry.is_dir(follow_symlinks=False):
                names.append(f"{entry.name}/")
            elif entry.is_file(follow_symlinks=False):
                names.append(entry.name)
    return names


def _has_path(name: str) -> bool:
    """Return whether `name` can be asked for: no draft, and no bytes that are not UTF-8."""
    try:
        check_component(name)
    except InvalidIdError:
        return False
    return not is_draft(name)
