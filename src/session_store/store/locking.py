"""The locks of a store: one owner a session, held across processes."""

from session_store.errors import (
    FileSystemError,
    LeaseLostError,
    LockTimeoutError,
    NotLockOwnerError,
    SessionNotFoundError,
    SessionStoreError,
    UnavailableError,
)
from session_store.model.ids import check_foreign_session_id
from session_store.model.records import Lock, LockResult

from .catalogue import Catalogue


class Locking(Catalogue):
    """The calls about locks."""

    async def acquire_lock(
        self,
        session_id: str,
        owner_id: str,
        *,
        wait: bool = False,
        timeout_ms: int | None = None,
    ) -> LockResult:
        """Try to become the one owner of a session, at once or with `wait`.

        The lock lasts `lock_timeout_ms`; the same owner refreshes it by acquiring it again.
        While this store holds it, what it writes to the session raises `LeaseLostError`
        once somebody else has taken it over. After an error nothing of it is left behind,
        unless that is `unknown`: then `release_lock` may be tried again.
        """
        await self._ready()
        await self._reader.require(session_id)
        known = self._locks.held(session_id)
        mine = known is not None and known.owner == owner_id and not known.lost
        if wait:
            taking = self._locks.wait(session_id, owner_id, timeout_ms=timeout_ms)
        else:
            taking = self._locks.acquire(session_id, owner_id)
        try:
            return await self._locking(session_id, taking)
        except SessionNotFoundError:
            raise
        except BaseException as error:
            if not mine:
                await self._give_back(session_id, owner_id, error)
            raise

    async def _give_back(self, session_id: str, owner_id: str, error: BaseException) -> None:
        """Free the lock that its caller will not know to have; say so if that fails too."""
        try:
            await self._release(session_id, owner_id)
        except (LeaseLostError, NotLockOwnerError, SessionNotFoundError):
            pass
        except FileSystemError as left:
            if isinstance(error, SessionStoreError):
                raise UnavailableError(left.path, str(left), unknown=True) from error

    async def release_lock(self, session_id: str, owner_id: str) -> None:
        """Give a lock back.

        Raises `NotLockOwnerError` for another's, `LeaseLostError` for one taken over.
        """
        await self._ready()
        await self._locking(session_id, self._locks.release(session_id, owner_id))

    async def is_locked(self, session_id: str) -> bool:
        """Return whether somebody holds the lock of a session."""
        await self._ready()
        check_foreign_session_id(session_id)
        return await self._locks.is_locked(session_id)

    async def get_lock(self, session_id: str) -> Lock | None:
        """Return who holds the lock of a session, or None."""
        await self._ready()
        check_foreign_session_id(session_id)
        return await self._locks.get(session_id)

    async def force_release(self, session_id: str) -> None:
        """Take the lock from whoever holds it; what that owner still writes is refused."""
        await self._ready()
        await self._reader.require(session_id)
        await self._locking(session_id, self._locks.force_release(session_id))

    async def _renew(self, session_id: str) -> None:
        """Give the lease its whole life again, or raise `LeaseLostError`."""
        await self._locking(session_id, self._locks.renew(session_id))

    async def _hold(self, session_id: str, owner_id: str, timeout_ms: int | None) -> None:
        """Acquire the lock, waiting for it; raises `LockTimeoutError`."""
        result = await self.acquire_lock(session_id, owner_id, wait=True, timeout_ms=timeout_ms)
        if not result.acquired:
            holder = result.lock.owner_id if result.lock else ""
            raise LockTimeoutError(session_id, holder, timeout_ms or 0)

    async def _let_go(self, session_id: str, owner_id: str, error: BaseException | None) -> None:
        """Release the lock; that it was lost is news only if `error` did not say so.

        A session that was deleted has no lock any more, which is no news to who deleted it.
        """
        try:
            await self._release(session_id, owner_id)
        except SessionNotFoundError:
            pass
        except (LeaseLostError, NotLockOwnerError):
            if error is None:
                raise
