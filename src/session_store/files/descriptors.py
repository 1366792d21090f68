"""Open files that cannot be closed under somebody who still uses them.

A descriptor is a number that the system gives out again: a thread that writes to one which
another thread has just closed writes into a stranger's file. So it is closed when the last
one who holds the object lets go.
"""

import os
from contextlib import suppress
from weakref import WeakSet


class Descriptor:
    """An open file or folder, closed with the last reference to this object."""

    __slots__ = ("__weakref__", "fd")

    def __init__(self, fd: int) -> None:
        self.fd = fd

    def __del__(self) -> None:
        self.close()

    def close(self) -> None:
        """Close it now, whoever may still hold it."""
        fd, self.fd = self.fd, -1
        if fd >= 0:
            # Refused or not, the number is free; what is owed to the disk is told by its sync.
            with suppress(OSError):
                os.close(fd)


class Descriptors:
    """All that one file system has open."""

    def __init__(self) -> None:
        self._open: WeakSet[Descriptor] = WeakSet()

    def open(self, name: str, flags: int, *, folder: Descriptor | None = None) -> Descriptor:
        """Open `name`, in `folder` if one is given; what it creates has the mode 0600."""
        at = None if folder is None else folder.fd
        descriptor = Descriptor(os.open(name, flags | os.O_CLOEXEC, 0o600, dir_fd=at))
        self._open.add(descriptor)
        return descriptor

    def after_fork(self) -> None:
        """Close in the child what the parent has open, without giving up its locks."""
        inherited, self._open = list(self._open), WeakSet()
        for descriptor in inherited:
            descriptor.close()
