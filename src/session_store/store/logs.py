"""The logs that a store object knows, within its budget of memory, one user at a time."""

import threading
from typing import Final

from session_store.errors import NotFoundError, SessionNotFoundError
from session_store.files.filesystem import FileSystem
from session_store.model.ids import check_foreign_session_id
from session_store.runtime import Runtime

from .log import LeaseSince, OnFence, SessionLog

CHARGE_BYTES: Final = 1 << 16
"""By so much a log may grow before the budget is looked at."""


class Logs:
    """The logs in use and those used last, within a budget of memory."""

    def __init__(
        self,
        files: FileSystem,
        runtime: Runtime,
        max_bytes: int,
        on_fence: OnFence,
        lease_since: LeaseSince,
    ) -> None:
        self._files = files
        self._runtime = runtime
        self._max_bytes = max_bytes
        self._on_fence = on_fence
        self._lease_since = lease_since
        self._logs: dict[str, SessionLog] = {}
        self._held = 0
        self._guard = threading.Lock()

    def using(self, session_id: str) -> "LogUse":
        """Return the log for `async with`, nobody else's as long as that lasts."""
        return LogUse(self, session_id)

    def take(self, session_id: str) -> SessionLog:
        """Return the log, which stays cached until it is given back.

        Raises `InvalidIdError` for an id of the original's that is no folder's name.
        """
        with self._guard:
            log = self._logs.pop(session_id, None)
            if log is None:
                check_foreign_session_id(session_id)
                log = SessionLog(
                    self._files, session_id, self._runtime, self._on_fence, self._lease_since
                )
            self._logs[session_id] = log  # the last in order is the last used
            log.users += 1
            return log

    def try_take(self, session_id: str) -> SessionLog | None:
        """Return the log, nobody else's until `leave`, if it is known and may be taken now."""
        log = self._logs.get(session_id)
        return log if log is not None and log.mutex.enter_now() else None

    def leave(self, log: SessionLog) -> None:
        """Give back what `try_take` took."""
        charge = log.size - log.charged_at > CHARGE_BYTES
        log.mutex.leave()
        if charge:
            with self._guard:
                log.users += 1
            self.give_back(log)

    def give_back(self, log: SessionLog) -> None:
        """Let the log go, and whatever is over the budget, the longest unused first."""
        with self._guard:
            log.users -= 1
            log.charged_at = log.size
            if self._logs.get(log.session_id) is log:
                cost = log.cost
                self._held += cost - log.charged
                log.charged = cost
            if self._held > self._max_bytes:
                self._trim()

    def drop(self, session_id: str) -> None:
        """Forget the log of a session that is gone."""
        with self._guard:
            log = self._logs.pop(session_id, None)
            if log is not None:
                self._held -= log.charged

    def clear(self) -> None:
        """Forget every log, in use or not: the process was forked."""
        self._guard = threading.Lock()
        self._logs = {}
        self._held = 0

    def _trim(self) -> None:
        for session_id, log in list(self._logs.items()):
            if self._held <= self._max_bytes:
                return
            if log.users or not log.mutex.try_enter():
                continue
            try:
                log.let_go()
            finally:
                log.mutex.leave()
            self._held += log.cost - log.charged
            log.charged = log.cost
            if self._held > self._max_bytes and self._lease_since(session_id) is None:
                del self._logs[session_id]
                self._held -= log.charged


class LogUse:
    """`async with logs.using(session_id) as log`.

    A log that goes while it is in use is `SessionNotFoundError`: its session was deleted.
    """

    __slots__ = ("_log", "_logs", "_session_id")

    def __init__(self, logs: Logs, session_id: str) -> None:
        self._logs = logs
        self._session_id = session_id

    async def __aenter__(self) -> SessionLog:
        self._log = self._logs.take(self._session_id)
        try:
            await self._log.mutex.__aenter__()
        except BaseException:
            self._logs.give_back(self._log)
            raise
        return self._log

    async def __aexit__(self, _kind: object, error: object, _trace: object) -> None:
        await self._log.mutex.__aexit__(None, None, None)
        self._logs.give_back(self._log)
        if isinstance(error, NotFoundError):
            raise SessionNotFoundError(self._session_id) from error
