"""In which pieces bytes are stored: pure."""

from typing import Final

PIECE_BYTES: Final = 1 << 20
LONGEST_BYTES: Final = 32 << 20


def pieces_of(data: bytes) -> list[bytes]:
    """Return `data` in pieces of about `PIECE_BYTES`, each of whole lines.

    The view for people reads the lines of one piece at a time. Only a line of more than
    `LONGEST_BYTES` is in several.
    """
    pieces: list[bytes] = []
    start = 0
    while len(data) - start > PIECE_BYTES:
        end = data.rfind(b"\n", start, start + PIECE_BYTES) + 1
        end = end or data.find(b"\n", start, start + LONGEST_BYTES) + 1
        end = end or start + PIECE_BYTES
        pieces.append(data[start:end])
        start = end
    pieces.append(data[start:])
    return pieces


__all__ = ["PIECE_BYTES", "pieces_of"]
