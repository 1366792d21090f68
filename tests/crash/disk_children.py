"""Processes that are forked from a warm parent, answer in JSON, and are ended by their number."""

import contextlib
import ctypes
import json
import mmap
import os
import signal
import struct
import sys
import time
import traceback
import warnings
from collections.abc import Callable
from typing import Any, NoReturn

PATIENCE_SECONDS = 120.0
NOBODY = 65534

_PARENT_DEATH_SIGNAL = 1


class Numbers:
    """A few counters that forked processes share."""

    def __init__(self, count: int) -> None:
        self._memory = mmap.mmap(-1, max(mmap.PAGESIZE, 8 * count))

    def __getitem__(self, place: int) -> int:
        (value,) = struct.unpack_from("q", self._memory, 8 * place)
        return int(value)

    def __setitem__(self, place: int, value: int) -> None:
        struct.pack_into("q", self._memory, 8 * place, value)


class Child:
    """A process that runs one function, with its standard error as ours."""

    def __init__(self, work: Callable[[], object]) -> None:
        self.status: int | None = None
        with warnings.catch_warnings():
            # Python warns where a test runner has threads; they hold nothing that we need.
            warnings.simplefilter("ignore", DeprecationWarning)
            self.pid = os.fork()
        if not self.pid:
            _live(work)

    def wait(self) -> int:
        """Return how it ended: 0, what it exited with, or minus the signal."""
        try:
            if self.status is None:
                self._done(0)
        except BaseException:
            self.kill()
            raise
        assert self.status is not None
        return self.status

    def gone(self) -> bool:
        """Return whether it has ended."""
        if self.status is None:
            self._done(os.WNOHANG)
        return self.status is not None

    def kill(self) -> None:
        """End it, if it has not ended, and wait for its end."""
        if not self.gone():
            os.kill(self.pid, signal.SIGKILL)
        self.wait()

    def _done(self, options: int) -> None:
        pid, status = os.waitpid(self.pid, options)
        if pid:
            self.status = os.waitstatus_to_exitcode(status)


def answer_of(work: Callable[[], Any]) -> Any:
    """Return what `work` returns in a process of its own, as JSON would give it back."""
    reading, writing = os.pipe()

    def tell() -> None:
        os.close(reading)
        with os.fdopen(writing, "w") as pipe:
            json.dump(work(), pipe)

    child = Child(tell)
    os.close(writing)
    with os.fdopen(reading) as pipe:
        try:
            text = pipe.read()
        except BaseException:
            child.kill()
            raise
    if child.wait():
        raise RuntimeError(f"a child ended with {child.status}")
    return json.loads(text)


def become_nobody() -> None:
    """Give up the rights of root, for good: only in a process of its own."""
    if not os.geteuid():
        os.setgroups([])
        os.setgid(NOBODY)
        os.setuid(NOBODY)


def wait_until(true: Callable[[], bool], what: str) -> None:
    """Return when `true()` is; a thing that never comes true is an error of the test."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not true():
        if time.monotonic() > deadline:
            raise RuntimeError(f"waited in vain: {what}")
        time.sleep(0.0002)


def end_politely_on_sigterm() -> None:
    """Let SIGTERM unwind the stack, so that all is cleaned up."""

    def leave(*_: object) -> NoReturn:
        raise SystemExit(143)

    signal.signal(signal.SIGTERM, leave)


def _live(work: Callable[[], object]) -> NoReturn:
    code = 1
    try:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        if sys.platform == "linux":
            # Nothing outlives a parent that was killed: no mount, no program below a disk.
            ctypes.CDLL(None).prctl(_PARENT_DEATH_SIGNAL, signal.SIGKILL)
        work()
        code = 0
    except BaseException:
        traceback.print_exc()
    finally:
        with contextlib.suppress(BaseException):
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
