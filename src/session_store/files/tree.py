"""From a path to an open folder: component by component, and never through a link.

Somebody who can write below the root must not be able to lead us out of it. Only the root
itself, which the user named, may be a link.
"""

import os
import stat
from collections.abc import Callable
from typing import Final, TypeVar

from session_store.errors import UnavailableError

from . import posix
from .descriptors import Descriptor, Descriptors
from .drafts import Parts, discard_draft

ATTEMPTS: Final = 64

_ROOT: Final = os.O_RDONLY | os.O_DIRECTORY | os.O_NONBLOCK
_FOLDER: Final = _ROOT | os.O_NOFOLLOW
_FILE: Final = os.O_NOFOLLOW | os.O_NONBLOCK

GONE: Final = (
    "the root folder is not in its place any more (moved, removed, or its disk unmounted); "
    "bring it back, or open the store anew"
)

T = TypeVar("T")

Chain = list[Descriptor]
"""The open folders from the root down to the one that was asked for."""


class Tree:
    """The folders below one root."""

    def __init__(self, root: str, descriptors: Descriptors) -> None:
        self.root = root
        self._descriptors = descriptors
        self._unsynced: set[str] = set()
        self._identity: tuple[int, int] | None = None

    def status(self, path: str) -> os.stat_result | None:
        """Return what `path` names right now, by one system call.

        Good for comparing with what was opened safely, not for opening.
        """
        return posix.status(f"{self.root}/{path}" if path else f"{self.root}/.")

    def has_moved(self) -> bool:
        """Return whether another folder, or none, is where the root was."""
        found = self.status("")
        return found is None or (found.st_dev, found.st_ino) != self._identity

    def open(self, parts: Parts, path: str) -> Chain | None:
        """Return the open folders, or None if one of them is not there."""
        root = self._open_root(path)
        if root is None:
            return None
        chain = [root]
        try:
            for name in parts:
                chain.append(self._open_folder(chain[-1], name, path))
        except (FileNotFoundError, NotADirectoryError):
            return None
        return chain

    def make(self, parts: Parts, path: str) -> Chain:
        """Return the open folders, made where they were missing."""
        chain = [self._make_root(path)]
        for name in parts:
            chain.append(self._make_folder(chain[-1], name, path))
        return chain

    def open_file(
        self, folder: Descriptor, name: str, flags: int, path: str
    ) -> tuple[Descriptor, os.stat_result] | None:
        """Open the file `name`, or return None if there is no file; refuse what is none."""
        try:
            descriptor = self._descriptors.open(name, flags | _FILE, folder=folder)
        except FileNotFoundError:
            return None
        except OSError:
            found = posix.status(name, folder=folder.fd)
            if found is None or not posix.is_regular(path, found):
                return None
            raise
        found = os.fstat(descriptor.fd)
        return (descriptor, found) if posix.is_regular(path, found) else None

    def create_file(self, folder: Descriptor, name: str, flags: int) -> Descriptor:
        """Create and open `name`, readable for its owner only, or raise `FileExistsError`."""
        flags |= os.O_CREAT | os.O_EXCL | _FILE
        descriptor = self._descriptors.open(name, flags, folder=folder)
        try:
            if os.fstat(descriptor.fd).st_mode & 0o777 != 0o600:
                # The umask took away more than others' rights.
                os.fchmod(descriptor.fd, 0o600)
        except BaseException:
            discard_draft(folder, name)
            raise
        return descriptor

    def locked(self, folder: Descriptor, parts: Parts, action: Callable[[], T]) -> T:
        """Return `action()`, done while nobody else changes a name in `folder`.

        Raises `BusyError` if somebody does, and `MovedError` if the folder was removed.
        """
        posix.lock(folder.fd)
        try:
            if not self.is_current(folder, parts):
                raise posix.MovedError
            return action()
        finally:
            posix.unlock(folder.fd)

    def is_current(self, folder: Descriptor, parts: Parts) -> bool:
        """Return whether `folder` is still the one at its path."""
        found = self.status("/".join(parts))
        return found is not None and os.path.samestat(found, os.fstat(folder.fd))

    def sync(self, chain: Chain) -> None:
        """Return when the names in these folders survive a power cut, and the root's own."""
        for folder in reversed(chain):
            posix.fsync(folder.fd)
        for above in list(self._unsynced):
            folder = self._descriptors.open(above, _ROOT)
            posix.fsync(folder.fd)
            self._unsynced.discard(above)

    def _open_root(self, path: str) -> Descriptor | None:
        """Return the root, open, or None as long as there was none.

        Once it was there it is that folder and no other: what is in its place when it was
        moved, or its disk unmounted, would become a second store beside the first.
        """
        known = self._identity  # before the look: another thread may be making it
        try:
            root = self._descriptors.open(self.root, _ROOT)
        except FileNotFoundError:
            if known is None:
                return None
            raise UnavailableError(path, GONE) from None
        except NotADirectoryError:
            raise UnavailableError(
                path, "the root, or what should be a folder above it, is a file"
            ) from None
        found = os.fstat(root.fd)
        identity = found.st_dev, found.st_ino
        if known is None:
            self._identity = identity
        elif identity != known:
            raise UnavailableError(path, GONE)
        return root

    def _open_folder(self, parent: Descriptor, name: str, path: str) -> Descriptor:
        try:
            return self._descriptors.open(name, _FOLDER, folder=parent)
        except OSError:
            found = posix.status(name, folder=parent.fd)
            if found is not None and stat.S_ISLNK(found.st_mode):
                raise posix.link_refused(path, name) from None
            raise

    def _make_folder(self, parent: Descriptor, name: str, path: str) -> Descriptor:
        for _ in range(ATTEMPTS):
            try:
                return self._open_folder(parent, name, path)
            except FileNotFoundError:
                self._mkdir(parent, name)
            except NotADirectoryError:
                raise UnavailableError(path, f"{name!r} is a file, not a folder") from None
        raise UnavailableError(path, f"{name!r} keeps being removed")

    def _mkdir(self, parent: Descriptor, name: str) -> None:
        try:
            os.mkdir(name, 0o700, dir_fd=parent.fd)
        except FileExistsError:
            return
        except FileNotFoundError:
            raise posix.MovedError from None
        made = posix.status(name, folder=parent.fd)
        if made is not None and made.st_mode & 0o777 != 0o700:
            os.chmod(name, 0o700, dir_fd=parent.fd)

    def _make_root(self, path: str) -> Descriptor:
        root = self._open_root(path)
        if root is not None:
            return root
        missing = [self.root]
        while not os.path.exists(above := os.path.dirname(missing[-1])):
            missing.append(above)
        for folder in reversed(missing):
            try:
                os.mkdir(folder, 0o700)
            except FileExistsError:
                continue
            os.chmod(folder, 0o700)
            self._unsynced.add(os.path.dirname(folder))
        root = self._open_root(path)
        if root is None:
            raise posix.MovedError
        return root
