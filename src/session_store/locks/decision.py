"""What stands in `lock.json`, and what follows from it: values in, a decision out.

Time decides only when somebody may try. That a mistaken try harms nobody is the work of the
fence, so the one thing that must never be wrong here is `needs_fence`.
"""

from enum import Enum
from typing import Annotated, TypeAlias

import msgspec

from session_store.model.records import Lock, Record

from .lease import Lease

MAX_LOCK_BYTES = 64 * 2**10
"""A longer `lock.json` is none of ours and is not read to its end."""

_Count: TypeAlias = Annotated[int, msgspec.Meta(ge=0, le=2**62)]


class LockFile(Record, frozen=True, kw_only=True):
    """The content of `lock.json`; times are wall clock, all in milliseconds.

    `fenced` says that the holder's fence stands in the log, or that it needed none. It
    counts only together with `released`: then the next holder needs none either.
    """

    owner: str
    nonce: str
    epoch: _Count
    renewals: _Count
    acquired_at: _Count
    renewed_at: _Count
    ttl: _Count
    fenced: bool
    released: bool


class Decision(Enum):
    """What somebody who asks for the lock should do."""

    REFRESH = "refresh"
    TAKE = "take"
    WAIT = "wait"


_decoder = msgspec.json.Decoder(LockFile)
_encoder = msgspec.json.Encoder()


def decode(data: bytes) -> LockFile | None:
    """Return what `lock.json` says, or None if it cannot be read (damage is no error here)."""
    if len(data) > MAX_LOCK_BYTES:
        return None
    try:
        return _decoder.decode(data)
    except (ValueError, RecursionError):
        return None


def encode(lock: LockFile) -> bytes:
    """Return `lock` as the bytes of a `lock.json`."""
    return _encoder.encode(lock) + b"\n"


def lock_file(lease: Lease, *, now_ms: int, released: bool) -> LockFile:
    """Return what `lock.json` should say of `lease`."""
    return LockFile(
        owner=lease.owner,
        nonce=lease.nonce,
        epoch=lease.epoch,
        renewals=lease.renewals,
        # A clock before 1970 must not make the file unreadable for the others.
        acquired_at=max(lease.acquired_at, 0),
        renewed_at=max(now_ms, 0),
        ttl=lease.ttl_ms,
        fenced=lease.covered,
        released=released,
    )


def shown(session_id: str, lock: LockFile) -> Lock:
    """Return `lock` as users see it."""
    return Lock(
        session_id=session_id,
        owner_id=lock.owner,
        acquired_at=lock.acquired_at,
        expires_at=lock.renewed_at + lock.ttl,
        epoch=lock.epoch,
    )


def is_live(lock: LockFile | None, now_ms: int) -> bool:
    """Return whether somebody holds the lock, judged by the wall clock."""
    return lock is not None and not lock.released and now_ms < lock.renewed_at + lock.ttl


def decide(
    lock: LockFile | None, *, owner: str, token: str, held: Lease | None, silent: bool
) -> Decision:
    """Return what `owner` should do who finds `lock`, None for absent or unreadable.

    `token` begins every nonce of the asking store object, `held` is the lease that it
    believes in, and `silent` says whether the holder has been silent for too long.
    """
    if held is not None and held.owner == owner and (lock is None or lock.nonce == held.nonce):
        return Decision.REFRESH
    if lock is None or lock.released:
        return Decision.TAKE
    unheld_here = held is None or held.nonce != lock.nonce
    # One of ours that nobody here holds is what a failed call left behind; the same owner
    # elsewhere is a worker before its restart.
    if unheld_here and (lock.nonce.startswith(token) or lock.owner == owner):
        return Decision.TAKE
    return Decision.TAKE if silent else Decision.WAIT


def needs_fence(lock: LockFile | None, *, absent: bool, log_size: int) -> bool:
    """Return whether somebody may still believe in an earlier lease.

    Only a holder that released says that it does not. Without a `lock.json` there was no
    holder, or it was lost: an empty log has nothing to protect, any other gets a fence.
    """
    if absent:
        return log_size > 0
    return lock is None or not (lock.released and lock.fenced)


class Silence:
    """How long a waiter has seen no sign of the holder, on the waiter's own clock."""

    def __init__(self) -> None:
        self._sign: tuple[str, int] | None = None
        self._since = 0.0

    def is_full(self, lock: LockFile, monotonic: float) -> bool:
        """Return whether `lock` was seen unchanged for as long as its holder asked for."""
        sign = (lock.nonce, lock.renewals)
        if sign != self._sign:
            self._sign, self._since = sign, monotonic
        return monotonic - self._since >= lock.ttl / 1000
