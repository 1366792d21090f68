"""The files that are being appended to: open, bounded in number, and what they still owe.

What was appended and not yet synced is remembered (bounded in bytes), because after a failed
fsync the page cache is no longer a witness (PROTOCOLS A7).
"""

import os
import resource
import threading
from collections import OrderedDict, deque
from heapq import merge
from typing import Final

from .descriptors import Descriptor

LOGS_MAX_OPEN: Final = 1024
"""Of these, or of a quarter of what the process may open, whatever is less."""
UNSYNCED_MAX_BYTES: Final = 8 << 20


class Log:
    """One open file, by its inode; while it is held open nobody else gets that inode.

    `failed` is set once, with the first fsync that fails: nothing is written to it any more.
    `poisoned` is then the reason why its bytes could not be saved into a new inode.
    """

    __slots__ = (
        "adopted",
        "descriptor",
        "dev",
        "failed",
        "ino",
        "mutex",
        "name_synced",
        "path",
        "place",
        "poisoned",
        "sync_mutex",
        "syncing",
        "unsynced",
    )

    def __init__(self, path: str, descriptor: Descriptor, found: os.stat_result, root: str) -> None:
        self.path = path
        self.place = f"{root}/{path}"
        self.descriptor = descriptor
        self.dev = found.st_dev
        self.ino = found.st_ino
        # flock belongs to the open file, which threads share: they need one more lock.
        self.mutex = threading.Lock()
        self.sync_mutex = threading.Lock()
        self.syncing = 0
        self.name_synced = False
        self.failed = False
        self.poisoned: str | None = None
        self.adopted = False
        self.unsynced: deque[tuple[int, int, bytes]] = deque()

    def is_at(self, found: os.stat_result | None) -> bool:
        """Return whether what was `found` at the path is this very inode."""
        return found is not None and found.st_ino == self.ino and found.st_dev == self.dev


def _max_open() -> int:
    allowed, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    unlimited = allowed == resource.RLIM_INFINITY
    return LOGS_MAX_OPEN if unlimited else min(LOGS_MAX_OPEN, max(1, allowed // 4))


class Logs:
    """The open logs of one file system, the most recently used ones."""

    def __init__(
        self, max_open: int | None = None, max_unsynced_bytes: int = UNSYNCED_MAX_BYTES
    ) -> None:
        self._max_open = max_open or _max_open()
        self._max_bytes = max_unsynced_bytes
        self._start()

    def _start(self) -> None:
        self._logs: OrderedDict[str, Log] = OrderedDict()
        self._guard = threading.Lock()
        self._owing: set[Log] = set()
        self._bytes = 0
        self._number = 0

    def peek(self, path: str) -> Log | None:
        """Return the open log of `path`, as `get` does, without counting it as a use."""
        return self._logs.get(path)

    def get(self, path: str) -> Log | None:
        """Return the open log of `path`, whether or not it is still the path's."""
        with self._guard:
            log = self._logs.get(path)
            if log is not None:
                self._logs.move_to_end(path)
            return log

    def put(self, log: Log) -> Log:
        """Keep `log` and return it, or the one that another thread has put there before.

        It takes over what the path's former inode still owes.
        """
        with self._guard:
            known = self._logs.get(log.path)
            if known is not None and (known.ino, known.dev) == (log.ino, log.dev):
                return known
            if known is not None:
                self._adopt(known, log)
            self._logs[log.path] = log
            self._logs.move_to_end(log.path)
            self._evict()
            return log

    def below(self, path: str) -> list[Log]:
        """Return the open logs of `path` and of all paths below it."""
        with self._guard:
            return [
                log
                for name, log in self._logs.items()
                if name == path or name.startswith(f"{path}/")
            ]

    def drop(self, log: Log) -> None:
        """Let go of `log`; it owes nothing any more."""
        with self._guard:
            if self._logs.get(log.path) is log:
                del self._logs[log.path]
            self._drop(log)

    def begin_sync(self, log: Log) -> None:
        """Keep `log` open until `end_sync`."""
        with self._guard:
            log.syncing += 1

    def end_sync(self, log: Log) -> None:
        """Undo `begin_sync`."""
        with self._guard:
            log.syncing -= 1

    def remember(self, log: Log, offset: int, data: bytes) -> None:
        """Note that `data` was appended at `offset`; the oldest bytes of all make room."""
        with self._guard:
            self._number += 1
            if not log.unsynced:
                self._owing.add(log)
            log.unsynced.append((self._number, offset, data))
            self._bytes += len(data)
            if self._bytes > self._max_bytes:
                self._make_room()

    def owed(self, log: Log) -> list[tuple[int, int, bytes]]:
        """Return what is remembered of `log`: (number, offset, bytes), oldest first."""
        with self._guard:
            return list(log.unsynced)

    def settle(self, log: Log, upto: int | None = None) -> None:
        """Forget what is durable now: the entries up to the number `upto`, or all."""
        with self._guard:
            self._forget(log, upto)

    def clear(self) -> None:
        """Let go of everything."""
        with self._guard:
            for log in self._logs.values():
                self._drop(log)
            self._logs.clear()

    def after_fork(self) -> None:
        """Forget all in the child; the locks may be held by threads that it has not."""
        self._start()

    def _adopt(self, former: Log, log: Log) -> None:
        log.adopted = bool(former.unsynced)
        log.unsynced, former.unsynced = former.unsynced, log.unsynced
        for either in (log, former):
            (self._owing.add if either.unsynced else self._owing.discard)(either)

    def _evict(self) -> None:
        # One that is being synced, or has failed, must stay: a second descriptor of the same
        # inode would not be told of the error.
        surplus = len(self._logs) - self._max_open
        if surplus > 0:
            idle = [log for log in self._logs.values() if not (log.syncing or log.failed)]
            for log in idle[:surplus]:
                self._drop(self._logs.pop(log.path))

    def _drop(self, log: Log) -> None:
        self._forget(log, None)

    def _forget(self, log: Log, upto: int | None) -> None:
        unsynced = log.unsynced
        while unsynced and (upto is None or unsynced[0][0] <= upto):
            self._bytes -= len(unsynced.popleft()[2])
        if not unsynced:
            self._owing.discard(log)

    def _make_room(self) -> None:
        """Forget the oldest of what all logs owe, but never the newest.

        An eighth at once: to look for the oldest at every append took a tenth of its time.
        """
        surplus = self._bytes - self._max_bytes * 7 // 8
        upto = 0
        for number, _, data in merge(*[log.unsynced for log in self._owing]):
            if surplus <= 0 or number == self._number:
                break
            surplus -= len(data)
            upto = number
        for log in list(self._owing):
            self._forget(log, upto)
