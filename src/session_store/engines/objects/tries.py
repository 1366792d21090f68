"""What one change of a file has tried: what may be there by it, and what it has left behind.

Pure. Of a try that failed somebody else came first, or nobody knows; the next look tells which.
"""

from typing import NamedTuple

from session_store.errors import UnavailableError

from .bucket import Changed, Version
from .heads import Head, Part
from .known import NEVER, Known


class Content(NamedTuple):
    """What a file is to be: its head, None for a file that goes, and the bytes behind it.

    With `ended` it goes for good.
    """

    head: Head | None
    body: bytes = b""
    ended: bool = False


class Tries:
    """What one change has sent in vain, or nobody knows whether in vain."""

    def __init__(self) -> None:
        self.before = NEVER
        self.unknown: UnavailableError | None = None
        self._sent: set[str | None] = set()
        self._aside: list[tuple[Version | None, Part]] = []

    def failed(
        self,
        path: str,
        before: Known,
        content: Content | None,
        error: Changed | UnavailableError,
    ) -> None:
        """Take in that a try has failed; raises what cannot be helped by another."""
        if content is None:
            # Not of the head, but of what was read for it, or put beside it.
            if isinstance(error, UnavailableError):
                raise error
            return
        self.before = before
        self._sent.add(content.head.nonce if content.head else None)
        if content.head is not None:
            known = before.head.parts if before.head else ()
            self._aside += [(before.version, p) for p in content.head.parts if p not in known]
        if isinstance(error, UnavailableError):
            if not error.unknown:
                self.give_up(path, error.reason)
            self.unknown = error

    def give_up(self, path: str, reason: str) -> None:
        """Raise, saying whether what was sent may be there."""
        if self.unknown is None:
            raise UnavailableError(path, reason)
        raise UnavailableError(path, self.unknown.reason, unknown=True) from self.unknown

    def left(self, now: Known) -> list[Part]:
        """Return the parts that were put aside in vain: nothing names them, or ever will."""
        named = now.head.parts if now.head else ()
        # What was sent to replace a version that is there still may be there in a moment.
        aside = [part for there, part in self._aside if there != now.version]
        self._aside = [one for one in self._aside if one[0] == now.version]
        return [part for part in aside if part not in named]

    def done(self, now: Known) -> bool:
        """Return whether what is there now was sent by this change.

        Raises `UnavailableError` if it may have been there before others changed it.
        """
        if now.nonce in self._sent:
            return True
        if self.unknown is not None and now.version != self.before.version:
            raise UnavailableError(self.unknown.path, self.unknown.reason, unknown=True)
        return False
