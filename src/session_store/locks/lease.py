"""What one store object knows of a lease that it holds, or is about to hold."""

import sys

NOT_YET = sys.maxsize


class Lease:
    """The right to change a session alone, until somebody's fence stands in its log.

    `nonce` names this acquisition and no other, `owner` is a label for people. `since` is
    the offset in the log from which a fence of another nonce means that the lease is lost:
    where its own fence stands, or the log's size when it was taken without one.
    """

    __slots__ = (
        "_foreign",
        "_revoked",
        "acquired_at",
        "covered",
        "epoch",
        "nonce",
        "owner",
        "renewals",
        "since",
        "ttl_ms",
    )

    def __init__(self, *, nonce: str, owner: str, ttl_ms: int, now_ms: int) -> None:
        self.nonce = nonce
        self.owner = owner
        self.epoch = 0
        self.ttl_ms = ttl_ms
        self.acquired_at = now_ms
        self.renewals = 0
        self.since = NOT_YET
        self.covered = False
        """Whether the next holder may do without a fence, once this one has released."""
        self._foreign = -1
        self._revoked = False

    @property
    def lost(self) -> bool:
        """Whether somebody else took over; once true it stays true."""
        return self._revoked or self._foreign >= self.since

    def revoke(self) -> None:
        """Remember that `lock.json` belongs to somebody else."""
        self._revoked = True

    def saw_fence(self, offset: int, nonce: str) -> None:
        """Remember a fence that stands in the log, also before `since` is known."""
        if nonce != self.nonce:
            self._foreign = max(self._foreign, offset)

    def __repr__(self) -> str:
        state = "lost" if self.lost else "held"
        return f"<Lease {self.nonce} of {self.owner!r}, epoch {self.epoch}, {state}>"
