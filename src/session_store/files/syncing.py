"""How appended bytes become durable, and what happens when the disk refuses.

Runs where blocking harms nobody, from beginning to end: a caller that is cancelled halfway
leaves no file that is neither repaired nor given up.
"""

from collections.abc import Callable

from session_store.errors import NotFoundError, UnavailableError

from . import posix
from .drafts import Parts, draft_name, split_path
from .logs import Log, Logs
from .posix import BusyError
from .replacement import holds, replace
from .tree import Chain, Tree

Token = Callable[[], str]


class Syncing:
    """Syncs the logs of one tree."""

    def __init__(self, tree: Tree, logs: Logs, io_timeout: float) -> None:
        self._tree = tree
        self._logs = logs
        self._io_timeout = io_timeout

    def run(self, log: Log, parts: Parts, token: Token) -> bool:
        """Bring the bytes of `log` to the disk, in a new inode if it must be.

        Returns False if the path has another inode, which must be looked at.
        """
        self._logs.begin_sync(log)
        try:
            # One at a time: the system reports an error once for each open file.
            with log.sync_mutex:
                if log.failed:
                    if log.poisoned and log.is_at(self._tree.status(log.path)):
                        raise UnavailableError(log.path, log.poisoned)
                    return False
                return self._run(log, parts, token)
        finally:
            self._logs.end_sync(log)

    def run_now(self, log: Log, token: Token) -> bool:
        """Do what `run` does, or nothing if somebody else syncs the log or it needs a look."""
        if log.failed or log.adopted or not log.sync_mutex.acquire(False):
            return False
        self._logs.begin_sync(log)
        try:
            return not log.failed and self._run(log, split_path(log.path), token)
        finally:
            self._logs.end_sync(log)
            log.sync_mutex.release()

    def _run(self, log: Log, parts: Parts, token: Token) -> bool:
        owed = self._logs.owed(log)
        if log.adopted:
            if not log.is_at(self._tree.status(log.path)):
                return False
            self._check_adopted(log, [(offset, data) for _, offset, data in owed])
        try:
            posix.fdatasync(log.descriptor.fd)
        except OSError as error:
            with log.mutex:
                log.failed = True
            return self._repair(log, parts, token, error)
        if not log.name_synced:
            self._sync_name(log, self._chain(log, parts))
        if not log.is_at(self._tree.status(log.path)):
            return False  # and it still owes its bytes to whatever has replaced it
        if owed:
            self._logs.settle(log, owed[-1][0])
        return True

    def _check_adopted(self, log: Log, owed: list[tuple[int, bytes]]) -> None:
        """Somebody replaced the file: see that the copy has what was appended here before."""
        intact = holds(log, owed)
        log.adopted = False
        if not intact:
            self._logs.settle(log)
            raise UnavailableError(
                log.path, "it was replaced, and bytes appended here are not in the new one"
            )

    def _repair(self, log: Log, parts: Parts, token: Token, cause: OSError) -> bool:
        try:
            chain = self._chain(log, parts)
            successor = self._replace(log, chain, parts[-1], draft_name(token()))
        except NotFoundError:
            raise
        except (OSError, BusyError) as error:
            what = posix.reason_of(error) if isinstance(error, OSError) else "it is locked"
            reason = f"{posix.reason_of(cause)} in fsync, and no copy could be made: {what}"
            raise self._poison(log, reason) from error
        if successor is None:
            return False
        self._logs.settle(log)
        successor = self._logs.put(successor)
        self._sync_name(successor, chain)
        return successor.is_at(self._tree.status(log.path))

    def _replace(self, log: Log, chain: Chain, name: str, draft: str) -> Log | None:
        owed = [(offset, data) for _, offset, data in self._logs.owed(log)]
        folder, file = chain[-1].fd, log.descriptor.fd
        posix.lock_within(folder, self._io_timeout)
        try:
            posix.lock_within(file, self._io_timeout)
            try:
                return replace(self._tree, log, chain[-1], name, draft, owed)
            finally:
                posix.unlock(file)
        finally:
            posix.unlock(folder)

    def _sync_name(self, log: Log, chain: Chain) -> None:
        try:
            self._tree.sync(chain)
        except OSError as error:
            # A folder cannot be replaced, and to ask it again would only get a false OK.
            reason = f"{posix.reason_of(error)} in fsync of its folder"
            raise self._poison(log, reason) from error
        log.name_synced = True

    def _poison(self, log: Log, reason: str) -> UnavailableError:
        """Make `log` read-only for this process, and return the error that says so."""
        with log.mutex:
            log.failed = True
            log.poisoned = f"the disk failed ({reason}), so nothing more is written to it"
        return UnavailableError(log.path, log.poisoned)

    def _chain(self, log: Log, parts: Parts) -> Chain:
        chain = self._tree.open(parts[:-1], log.path)
        if chain is None:
            raise NotFoundError(log.path)
        return chain
