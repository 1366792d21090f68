"""What one store object believes to hold, session by session, and whose turn it is.

In memory only. Several threads or tasks use one store object at once; here they queue.
"""

import threading
from collections.abc import AsyncGenerator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from session_store.runtime import Runtime

from .lease import Lease


class Desk:
    """The leases of one session, and the queue before them."""

    __slots__ = ("claim", "lease", "leaving", "mutex", "users")

    def __init__(self, mutex: AbstractAsyncContextManager[Any]) -> None:
        self.mutex = mutex
        self.users = 0
        self.lease: Lease | None = None
        """The lease that is held, or was until somebody took over."""
        self.claim: Lease | None = None
        """The lease that is being taken."""
        self.leaving: Lease | None = None
        """The lease whose release may not have arrived, or whose acquisition was broken off."""


class Desks:
    """A desk for each session whose lock is in use or held, and for no other."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self.forget()

    def forget(self) -> None:
        """Hold nothing any more, and be nobody that held something before."""
        self.token = self._runtime.token()
        """How every nonce of this object begins."""
        self._guard = threading.Lock()
        self._desks: dict[str, Desk] = {}

    @asynccontextmanager
    async def at(self, session_id: str) -> AsyncGenerator[Desk, None]:
        """Let one caller at a time use the desk of a session."""
        with self._guard:
            desk = self._desks.get(session_id)
            if desk is None:
                desk = self._desks[session_id] = Desk(self._runtime.mutex())
            desk.users += 1
        try:
            async with desk.mutex:
                yield desk
        finally:
            with self._guard:
                desk.users -= 1
                unused = not (desk.users or desk.lease or desk.leaving)
                # Another one may stand in its place, if the process was forked meanwhile.
                if unused and self._desks.get(session_id) is desk:
                    del self._desks[session_id]

    def lease(self, session_id: str) -> Lease | None:
        """Return the lease of a session, lost or not."""
        desk = self._desks.get(session_id)
        return desk.lease if desk else None

    def held(self) -> list[str]:
        """Return the sessions whose lease is held and not lost."""
        with self._guard:
            desks = list(self._desks.items())
        return [session_id for session_id, desk in desks if desk.lease and not desk.lease.lost]

    def saw_fence(self, session_id: str, offset: int, nonce: str) -> None:
        """Tell whoever holds or takes the lease of a fence in the log."""
        desk = self._desks.get(session_id)
        if desk is not None:
            with self._guard:
                for lease in (desk.lease, desk.claim):
                    if lease is not None:
                        lease.saw_fence(offset, nonce)
