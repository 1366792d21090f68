"""The locks of sessions: leases that hold across threads, processes and hosts.

Without this room two workers would answer one user at the same time. `lock.json` only says
who should write; that nobody else can is the work of a `fence` in the session's log, which
every guarded append would have to pass.
"""

from typing import NamedTuple, Protocol

import msgspec

from session_store.errors import (
    ConfigError,
    FileSystemError,
    InvalidIdError,
    LeaseLostError,
    NotLockOwnerError,
    UnavailableError,
)
from session_store.files.filesystem import FileSystem, IfVersion
from session_store.model.records import Lock, LockResult
from session_store.runtime import Runtime, on_fork

from .decision import Decision, LockFile, Silence, decide, is_live, lock_file, shown
from .desks import Desk, Desks
from .disk import Found, load, lock_path, swap
from .lease import Lease

FIRST_PAUSE_S = 0.002
MAX_SWAPS = 16
"""How often one call tries to replace a `lock.json` that keeps changing under it."""
MAX_OWNER_LENGTH = 1024
MAX_TTL_MS = 2**48

_FORCED = "force_release"


class Fences(Protocol):
    """The fences in the logs of sessions, kept by whoever knows logs."""

    async def position(self, session_id: str) -> tuple[int, int]:
        """Return the log's size now and the highest epoch of the fences known in it.

        0 if there are none. Every fence below that size was told to `saw_fence`.
        """
        ...

    async def append_fence(
        self, session_id: str, *, epoch: int, nonce: str, owner: str, size: int
    ) -> int | None:
        """Append a fence at `size` or later and return the offset where it stands.

        Returns None, and appends nothing, if a fence of another nonce with an epoch as
        high or higher was met first.
        """
        ...


class LockManager:
    """The leases of one store object: what it may do, and what it believes to hold."""

    def __init__(
        self,
        files: FileSystem,
        runtime: Runtime,
        fences: Fences,
        *,
        lock_timeout_ms: int,
        poll_interval_ms: int,
    ) -> None:
        self._files = files
        self._runtime = runtime
        self._fences = fences
        self._ttl_ms = lock_timeout_ms
        self._poll_s = poll_interval_ms / 1000
        self._desks = Desks(runtime)
        on_fork(self)

    async def acquire(
        self, session_id: str, owner: str, *, ttl_ms: int | None = None
    ) -> LockResult:
        """Take the lock if it is free, or refresh it if `owner` has it; answer at once.

        Free is also what nobody renewed in time, by the wall clock, and what the same
        owner held through another store object.
        """
        return await self._attempt(session_id, self._claim(owner, ttl_ms), None)

    async def wait(
        self,
        session_id: str,
        owner: str,
        *,
        timeout_ms: int | None = None,
        ttl_ms: int | None = None,
    ) -> LockResult:
        """Take the lock as soon as it is free; give up after `timeout_ms` (None: never).

        A holder that gives no sign of life for as long as its lease lasts, by this
        waiter's own clock, is passed over.
        """
        claim = self._claim(owner, ttl_ms)
        silence = Silence()
        asked = self._runtime.monotonic()
        pause = FIRST_PAUSE_S
        while True:
            result = await self._attempt(session_id, claim, silence)
            if result.acquired:
                return result
            pause = min(pause, self._poll_s)
            if timeout_ms is not None:
                left = asked + timeout_ms / 1000 - self._runtime.monotonic()
                if left <= 0:
                    reason = f"{result.reason}, after waiting for {timeout_ms} ms"
                    return msgspec.structs.replace(result, reason=reason)
                pause = min(pause, left)
            await self._runtime.sleep(pause)
            pause *= 2

    async def renew(self, session_id: str) -> None:
        """Give the lease its whole life again, or raise `LeaseLostError`."""
        async with self._desks.at(session_id) as desk:
            if desk.lease is None:
                raise LeaseLostError(session_id, "this store object")
            await self._rewrite(session_id, desk.lease)

    def renew_every_s(self, session_id: str) -> float:
        """Return after how many seconds to renew the lease: a third of its life."""
        lease = self.held(session_id)
        return (lease.ttl_ms if lease else self._ttl_ms) / 3000

    async def release(self, session_id: str, owner: str) -> None:
        """Give the lock back; from now on it is free.

        Raises `NotLockOwnerError` if `owner` does not hold it through this object, and
        `LeaseLostError` if somebody took it over, after which it is forgotten. After any
        other error it is no longer held, and may be released again; so may what `acquire`
        or `wait` left when they failed.
        """
        async with self._desks.at(session_id) as desk:
            lease = desk.lease or desk.leaving
            if lease is None or lease.owner != owner:
                raise NotLockOwnerError(session_id, owner)
            # Forgotten before the write: were only its answer lost, the next holder would
            # come without a fence, and nothing would tell this one.
            desk.lease, desk.leaving = None, lease
            try:
                await self._rewrite(session_id, lease, released=True)
            except LeaseLostError:
                desk.leaving = None
                raise
            desk.leaving = None

    async def force_release(self, session_id: str) -> None:
        """Free the lock, whoever holds it; the holder will find its lease lost.

        An error is `unknown` once others may see the lock as free.
        """
        async with self._desks.at(session_id):
            for _ in range(MAX_SWAPS):
                found = await load(self._files, session_id)
                size, known = await self._fences.position(session_id)
                if not found.needs_fence(size):
                    return
                # No life of its own: should this call die half-way, nobody waits for it.
                lease = self._new_lease(_Claim(_FORCED, ttl_ms=0))
                lease.epoch = found.next_epoch(known)
                version = await self._swap(session_id, lease, found.version)
                if version is not None:
                    break
            else:
                raise _keeps_changing(session_id)
            try:
                await self._force(session_id, lease, size, version)
            except FileSystemError as error:
                raise UnavailableError(error.path, str(error), unknown=True) from error

    async def _force(self, session_id: str, lease: Lease, size: int, version: IfVersion) -> None:
        since = await self._fence(session_id, lease, size)
        if since is not None:
            self.saw_fence(session_id, since, lease.nonce)
            lease.covered = True
            # Refused only if somebody took over meanwhile, with a fence of its own.
            await self._swap(session_id, lease, version, released=True)

    async def get(self, session_id: str) -> Lock | None:
        """Return who holds the lock, or None if it is free, released or expired."""
        lock = (await load(self._files, session_id)).lock
        if lock is None or not is_live(lock, self._runtime.now_ms()):
            return None
        return shown(session_id, lock)

    async def is_locked(self, session_id: str) -> bool:
        """Return whether somebody holds the lock."""
        return await self.get(session_id) is not None

    def held(self, session_id: str) -> Lease | None:
        """Return the lease that this object holds or, if it says `lost`, held."""
        return self._desks.lease(session_id)

    def sessions_held(self) -> list[str]:
        """Return the ids of the sessions whose lease this object holds."""
        return self._desks.held()

    def check(self, session_id: str) -> None:
        """Raise `LeaseLostError` if this object's lease of the session was taken over.

        It stays so until the lease is released or acquired anew. A change is guarded if
        its precondition is a size of the log that was known before this was asked, and
        if every fence below that size had been told to `saw_fence`.
        """
        lease = self.held(session_id)
        if lease is not None and lease.lost:
            raise LeaseLostError(session_id, lease.owner)

    def saw_fence(self, session_id: str, offset: int, nonce: str) -> None:
        """Take note of a fence that stands in the session's log."""
        self._desks.saw_fence(session_id, offset, nonce)

    def after_fork(self) -> None:
        """Hold nothing in a forked child: its parent still does."""
        self._desks.forget()

    async def _attempt(
        self, session_id: str, claim: "_Claim", silence: Silence | None
    ) -> LockResult:
        async with self._desks.at(session_id) as desk:
            found = await load(self._files, session_id)
            lock = found.lock
            held = desk.lease if desk.lease and not desk.lease.lost else None
            decision = decide(
                lock,
                owner=claim.owner,
                token=self._desks.token,
                held=held,
                silent=lock is not None and self._is_silent(lock, silence),
            )
            if decision is Decision.WAIT:
                return _refusal(session_id, lock)
            if decision is Decision.REFRESH and held is not None:
                acquired = await self._refresh(session_id, held, claim)
            else:
                acquired = await self._take(session_id, desk, claim, found)
            if acquired is not None:
                return LockResult(acquired=True, lock=shown(session_id, acquired))
            return _refusal(session_id, (await load(self._files, session_id)).lock)

    def _is_silent(self, lock: LockFile, silence: Silence | None) -> bool:
        if silence is None:
            return not is_live(lock, self._runtime.now_ms())
        return silence.is_full(lock, self._runtime.monotonic())

    async def _refresh(self, session_id: str, lease: Lease, claim: "_Claim") -> LockFile | None:
        lease.ttl_ms = claim.ttl_ms
        try:
            return await self._rewrite(session_id, lease)
        except LeaseLostError:
            return None

    async def _take(
        self, session_id: str, desk: Desk, claim: "_Claim", found: Found
    ) -> LockFile | None:
        lease = self._new_lease(claim)
        # From here on others may read a fence that ends this lease before it has begun.
        desk.claim = lease
        try:
            # After `found` was read: the last holder's own fence must lie below this size.
            size, known = await self._fences.position(session_id)
            lease.epoch = found.next_epoch(known)
            lease.covered = not found.needs_fence(size)
            # Until it is held or refused: what a failure leaves of it can be released.
            desk.leaving = lease
            if await self._swap(session_id, lease, found.version) is None:
                desk.leaving = None
                return None
            since = size if lease.covered else await self._fence(session_id, lease, size)
            desk.leaving = None
            if since is None:
                return None
            lease.since, lease.covered = since, True
            if lease.lost:
                return None
            desk.lease = lease
        finally:
            desk.claim = None
        return lock_file(lease, now_ms=lease.acquired_at, released=False)

    async def _rewrite(self, session_id: str, lease: Lease, *, released: bool = False) -> LockFile:
        # Counted before the write: it may arrive although its answer does not.
        lease.renewals += 1
        for _ in range(MAX_SWAPS):
            found = await load(self._files, session_id)
            if found.lock is None:
                # Somebody may have come and gone while there was no file to tell of it.
                lease.covered = False
            elif found.lock.nonce != lease.nonce:
                lease.revoke()
            if lease.lost:
                break
            if await self._swap(session_id, lease, found.version, released=released):
                if lease.lost:
                    break
                return lock_file(lease, now_ms=self._runtime.now_ms(), released=released)
        else:
            raise _keeps_changing(session_id)
        raise LeaseLostError(session_id, lease.owner)

    async def _fence(self, session_id: str, lease: Lease, size: int) -> int | None:
        return await self._fences.append_fence(
            session_id, epoch=lease.epoch, nonce=lease.nonce, owner=lease.owner, size=size
        )

    async def _swap(
        self, session_id: str, lease: Lease, version: IfVersion, *, released: bool = False
    ) -> str | None:
        lock = lock_file(lease, now_ms=self._runtime.now_ms(), released=released)
        return await swap(self._files, session_id, lock, version)

    def _new_lease(self, claim: "_Claim") -> Lease:
        return Lease(
            nonce=f"{self._desks.token}-{self._runtime.token()}",
            owner=claim.owner,
            ttl_ms=claim.ttl_ms,
            now_ms=self._runtime.now_ms(),
        )

    def _claim(self, owner: object, ttl_ms: object) -> "_Claim":
        if not isinstance(owner, str) or not 0 < len(owner) <= MAX_OWNER_LENGTH:
            raise InvalidIdError(owner, f"an owner is text of 1 to {MAX_OWNER_LENGTH} characters")
        try:
            owner.encode()
        except UnicodeEncodeError:
            raise InvalidIdError(owner, "it holds a lone surrogate") from None
        if ttl_ms is None:
            ttl_ms = self._ttl_ms
        if type(ttl_ms) is not int or not 0 < ttl_ms <= MAX_TTL_MS:
            raise ConfigError("ttl_ms", "a lease lasts a whole, positive number of milliseconds")
        return _Claim(owner, ttl_ms)


class _Claim(NamedTuple):
    owner: str
    ttl_ms: int


def _refusal(session_id: str, lock: LockFile | None) -> LockResult:
    if lock is None or lock.released:
        return LockResult(acquired=False, reason="another was faster")
    return LockResult(
        acquired=False, lock=shown(session_id, lock), reason=f"locked by {lock.owner}"
    )


def _keeps_changing(session_id: str) -> UnavailableError:
    return UnavailableError(lock_path(session_id), f"it changed {MAX_SWAPS} times under one call")
