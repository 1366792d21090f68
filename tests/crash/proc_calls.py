"""The system calls of this process, counted: in the N-th of them it can end or stop itself.

Only where a test asks for it: the functions of `os` and `fcntl.flock` are replaced in a process
that was forked for the purpose, and only the thread that asked is counted.
"""

import fcntl
import os
import threading
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Literal

Phase = Literal["before", "amid", "after"]

PHASES: tuple[Phase, ...] = ("before", "amid", "after")
LASTING = ("write", "fsync", "fdatasync", "rename")
"""The calls that leave something behind."""

_OTHERS = (
    "open",
    "pread",
    "lseek",
    "stat",
    "lstat",
    "fstat",
    "mkdir",
    "rmdir",
    "unlink",
    "utime",
    "scandir",
)


class Calls:
    """Calls `act` in the N-th system call after `arm`, once."""

    def __init__(self, act: Callable[[str], None], kinds: tuple[str, ...] = ()) -> None:
        self.names: list[str] = []
        """The calls that were counted."""
        self.held: dict[int, str] = {}
        """The files and folders whose flock this thread has, by their descriptors."""
        self._act = act
        self._kinds = kinds
        self._armed = False
        self._number = 0
        self._phase: Phase = "before"
        self._thread = threading.get_ident()
        for name in (*LASTING, *_OTHERS):
            setattr(os, name, self._counted(name, getattr(os, name)))
        self._flock = fcntl.flock
        fcntl.flock = self._counted("flock", self._locking)  # type: ignore[assignment]

    def arm(self, number: int, phase: Phase = "before") -> None:
        """Count from now on, and act in the call with this number; 0 is none."""
        self.names, self._number, self._phase = [], number, phase
        self._armed = True

    def disarm(self) -> None:
        """Count no more."""
        self._armed = False

    def _locking(self, fd: int, operation: int) -> None:
        self._flock(fd, operation)
        if threading.get_ident() != self._thread:
            return
        if operation & fcntl.LOCK_UN:
            self.held.pop(fd, None)
        else:
            with suppress(OSError):
                self.held[fd] = os.readlink(f"/proc/self/fd/{fd}")

    def _counted(self, name: str, real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*args: Any, **named: Any) -> Any:
            if not self._meant(name):
                return real(*args, **named)
            if self._phase == "after":
                result = real(*args, **named)
                self._act(f"after {name}")
                return result
            if self._phase == "amid" and name == "write":
                fd, data = args
                written = real(fd, bytes(data)[: max(1, len(data) // 2)])
                self._act(f"amid {name}")
                return written
            self._act(f"before {name}")
            return real(*args, **named)

        return call

    def _meant(self, name: str) -> bool:
        if not self._armed or threading.get_ident() != self._thread:
            return False
        if self._kinds and name not in self._kinds:
            return False
        self.names.append(name)
        if len(self.names) != self._number:
            return False
        self._armed = False
        return True
