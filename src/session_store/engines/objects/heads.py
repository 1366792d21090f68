"""The head of a file: the one object that says what the file is, and holds its newest bytes.

Pure. A head is a line of JSON and, behind it, the bytes from `tail` on; those before lie in parts
that nothing changes any more. Whoever changes the file replaces the head, if it still is the one
that was read. Two heads are never alike, for each holds a nonce; so none can come back.

A file that is gone leaves a head of a few bytes, and a listing tells it by its size.
"""

from collections.abc import Sequence
from typing import Final

import msgspec

from session_store.errors import CorruptionError

FORMAT: Final = 1
TAIL_BYTES: Final = 1 << 15
"""From this size on the tail becomes a part with the next append."""
SMALL_BYTES: Final = 1 << 19
"""A part smaller than this becomes one with the tail that follows it."""
LARGE_BYTES: Final = 1 << 24
"""Parts at the end become one as soon as they are so large together, and none is alone."""
MOST_BYTES: Final = 2 * LARGE_BYTES
"""So much becomes one at once, however many small parts there are."""
GONE_BYTES: Final = 32
"""What is left of a file that is gone is no larger, and every other head is."""

_DELETED: Final = b"deleted "
_ENDED: Final = b"ended "


class Part(msgspec.Struct, frozen=True, array_like=True):
    """Bytes from `start` on, up to the next part or the tail; named by the start and a token."""

    start: int
    token: str


class Head(msgspec.Struct, frozen=True, rename={"format": "v"}):
    """What is known of a file; `tail` is where the bytes begin that stand behind this line."""

    nonce: str
    mtime: int
    size: int
    tail: int
    parts: tuple[Part, ...] = ()
    format: int = FORMAT

    def end(self, index: int) -> int:
        """Return where a part ends."""
        return self.parts[index + 1].start if index + 1 < len(self.parts) else self.tail


class Gone(msgspec.Struct, frozen=True):
    """There is no such file; with `ended` there will never be one again."""

    ended: bool


_encode: Final = msgspec.json.Encoder().encode
_decode: Final = msgspec.json.Decoder(Head).decode


def encode_head(head: Head) -> bytes:
    """Return the line of a head."""
    return _encode(head) + b"\n"


def encode_gone(nonce: str, *, ended: bool) -> bytes:
    """Return the whole of what is left of a file."""
    return (_ENDED if ended else _DELETED) + nonce.encode() + b"\n"


def decode_head(path: str, data: bytes) -> tuple[Head | Gone, int]:
    """Return what a head that begins so says, and how long its line is.

    Raises `CorruptionError` for what is none, or is of a newer release.
    """
    if data.startswith((_DELETED, _ENDED)) and len(data) <= GONE_BYTES:
        return Gone(data.startswith(_ENDED)), len(data)
    end = data.find(b"\n") + 1
    try:
        head = _decode(data[:end])
    except (ValueError, RecursionError) as error:
        raise CorruptionError(path, 0, f"its object is no head of a file: {error}") from error
    if head.format != FORMAT:
        raise CorruptionError(path, 0, f"written by a newer release (format {head.format})")
    return head, end


def to_close(head: Head, *, large: bool = True) -> int:
    """Return which part is the first that becomes one with the tail, when that is closed.

    None of them if that is the number of the parts. If not `large` it is only a small one.
    """
    first = _smaller_from(head, LARGE_BYTES) if large else len(head.parts)
    # There are more if they could not be made one before: because one is lost, or too slowly.
    while first < len(head.parts) and head.size - head.parts[first].start > MOST_BYTES:
        first += 1
    if first < len(head.parts) and head.size - head.parts[first].start >= LARGE_BYTES:
        return first
    return max(_smaller_from(head, SMALL_BYTES), len(head.parts) - 1)


def _smaller_from(head: Head, limit: int) -> int:
    """Return from which part on all are smaller."""
    first = len(head.parts)
    while first and head.end(first - 1) - head.parts[first - 1].start < limit:
        first -= 1
    return first


def overlapping(head: Head, start: int, end: int) -> Sequence[tuple[int, int, int]]:
    """Return the parts that hold bytes from `start` to `end`, with the range within each."""
    found: list[tuple[int, int, int]] = []
    for index, part in enumerate(head.parts):
        begin, stop = max(start, part.start), min(end, head.end(index))
        if begin < stop:
            found.append((index, begin - part.start, stop - part.start))
    return found
