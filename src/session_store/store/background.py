"""What the blocking face does in the background: renew a lock that is held, and sync."""

import threading
from collections.abc import Callable
from contextlib import AbstractContextManager
from types import TracebackType

from session_store.errors import FileSystemError, LeaseLostError, SessionNotFoundError
from session_store.runtime import Driver

from .engine import Engine


class Hold(AbstractContextManager[None]):
    """The lock of a session, held for `with` and renewed while the body runs."""

    def __init__(
        self,
        engine: Engine,
        driver: Driver,
        session_id: str,
        owner_id: str,
        timeout_ms: int | None,
    ) -> None:
        self._engine = engine
        self._run = driver.run
        self._session_id = session_id
        self._owner_id = owner_id
        self._timeout_ms = timeout_ms

    def __enter__(self) -> None:
        self._run(self._engine._hold(self._session_id, self._owner_id, self._timeout_ms))
        locks = self._engine._locks
        self._renewing = Repeat(lambda: locks.renew_every_s(self._session_id), self._renew)

    def _renew(self) -> None:
        try:
            self._run(self._engine._renew(self._session_id))
        except (LeaseLostError, SessionNotFoundError):
            self._renewing.stop()  # the lease remembers it: the body will be told
        except FileSystemError:
            pass  # the next renewal may get through; if none does the lease is lost

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._renewing.stop()
        self._run(self._engine._let_go(self._session_id, self._owner_id, error))


class Repeat:
    """Calls `body` every so often, in a daemon thread, until it is stopped."""

    def __init__(self, every_s: Callable[[], float], body: Callable[[], None]) -> None:
        self._every_s = every_s
        self._body = body
        self._stopped = threading.Event()
        threading.Thread(target=self._loop, name="session-store", daemon=True).start()

    def _loop(self) -> None:
        while not self._stopped.wait(self._every_s()):
            self._body()

    def stop(self) -> None:
        """Call it no more; a call under way is not waited for."""
        self._stopped.set()
