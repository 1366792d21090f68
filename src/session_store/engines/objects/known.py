"""What is known of files from the last look or change, so that the next change needs no look.

Pure. It may be old: then a change by it is refused, and the file is looked at.
"""

from collections import OrderedDict
from typing import Final, NamedTuple

from .bucket import Found, Version
from .heads import Gone, Head, decode_head

CACHE_BYTES: Final = 1 << 25
ENTRY_BYTES: Final = 1000
"""About what a file costs beside its bytes."""


class Known(NamedTuple):
    """A file at one moment; `version` is that of its head, None where there never was one.

    `body` are the first of the bytes behind the head's line, which takes `line` bytes; of a file
    that is gone it is all that is left.
    """

    version: Version | None
    head: Head | None
    ended: bool = False
    line: int = 0
    body: bytes = b""

    @property
    def size(self) -> int:
        """The size of the file, 0 for none."""
        return self.head.size if self.head else 0

    @property
    def nonce(self) -> str | None:
        """The version of the file as the seam shows it, None for no file."""
        return self.head.nonce if self.head else None


NEVER: Final = Known(None, None)


def known_from(path: str, found: Found) -> Known:
    """Return what an object says of a file; see `decode_head` for what it raises."""
    head, line = decode_head(path, found.data)
    if isinstance(head, Gone):
        return Known(found.version, None, head.ended, body=found.data)
    return Known(found.version, head, line=line, body=found.data[line:])


class Cache:
    """The files that were used last, in bounded memory."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Known] = OrderedDict()
        self._bytes = 0

    def get(self, path: str) -> Known | None:
        """Return what is known of a file, if anything."""
        known = self._known.get(path)
        if known is not None:
            self._known.move_to_end(path)
        return known

    def put(self, path: str, known: Known) -> None:
        """Remember it, in the place of what was known before."""
        self.drop(path)
        self._known[path] = known
        self._bytes += _cost(known)
        while self._bytes > CACHE_BYTES:
            self._bytes -= _cost(self._known.popitem(last=False)[1])

    def drop(self, path: str) -> None:
        """Forget it."""
        known = self._known.pop(path, None)
        if known is not None:
            self._bytes -= _cost(known)

    def clear(self) -> None:
        """Forget everything."""
        self._known.clear()
        self._bytes = 0


def _cost(known: Known) -> int:
    parts = len(known.head.parts) if known.head else 0
    return ENTRY_BYTES + len(known.body) + 100 * parts
