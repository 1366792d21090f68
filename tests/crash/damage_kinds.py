"""What can happen to the bytes of a file, every case of a kind once.

Each kind yields the file as it is afterwards, with a name from which the case can be made again.
"""

import random
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

Case = tuple[str, bytes]


class Kind(NamedTuple):
    """A kind of damage; `moves` says that whole lines may come to stand elsewhere."""

    name: str
    cases: Callable[[bytes], Iterator[Case]]
    moves: bool = False
    cuts: bool = False


def flips(data: bytes) -> Iterator[Case]:
    """Yield the file with one bit flipped, each bit once."""
    for place in range(len(data)):
        for bit in range(8):
            yield f"bit {bit} of byte {place}", flipped(data, place, bit)


def flipped(data: bytes, place: int, bit: int) -> bytes:
    """Return the bytes with one bit flipped."""
    return data[:place] + bytes([data[place] ^ (1 << bit)]) + data[place + 1 :]


def zeroed(size: int) -> Callable[[bytes], Iterator[Case]]:
    """Return what yields the file with each block of `size` bytes zeroed, at every alignment."""

    def cases(data: bytes) -> Iterator[Case]:
        for start in range(0, len(data), max(1, size // 8)):
            hole = data[start : start + size]
            yield (
                f"bytes {start} to {start + len(hole)} zeroed",
                (data[:start] + bytes(len(hole)) + data[start + len(hole) :]),
            )

    return cases


def swapped(size: int, *, most: int = 4000) -> Callable[[bytes], Iterator[Case]]:
    """Return what yields the file with each pair of sectors of `size` bytes swapped.

    Of more than `most` pairs, so many are taken at even distances.
    """

    def cases(data: bytes) -> Iterator[Case]:
        starts = range(0, len(data) - size + 1, size)
        pairs = [(one, other) for one in starts for other in starts if one < other]
        for one, other in pairs[:: max(1, len(pairs) // most)]:
            pieces = (
                data[:one],
                data[other : other + size],
                data[one + size : other],
                data[one : one + size],
                data[other + size :],
            )
            yield f"sectors of {size} at {one} and {other} swapped", b"".join(pieces)

    return cases


def cut(data: bytes) -> Iterator[Case]:
    """Yield the file cut at every byte."""
    for size in range(len(data)):
        yield f"cut to {size} bytes", data[:size]


def edited(data: bytes) -> Iterator[Case]:
    """Yield the file with bytes put in, said twice and taken out, at places a seed chooses."""
    dice = random.Random(len(data))
    for place in range(0, len(data), 3):
        length = dice.choice((1, 2, 7, 31, 64, 200))
        junk = dice.choice((dice.randbytes(length), bytes(length), b"\n", b'"}\n', b"~\n", b"\r\n"))
        yield f"{junk!r} put in at {place}", data[:place] + junk + data[place:]
        yield (
            f"{length} bytes at {place} said twice",
            (data[: place + length] + data[place : place + length] + data[place + length :]),
        )
        yield f"{length} bytes at {place} taken out", data[:place] + data[place + length :]


def tails(data: bytes) -> Iterator[Case]:
    """Yield the file with something behind its end that nobody wrote."""
    for junk in (
        b"\0",
        b"\0" * 500,
        b"\0" * 70_000,
        b"\0\n",
        b"{",
        b"{}",
        b"\xff\xfe",
        b"~",
        b"\r",
    ):
        yield f"{len(junk)} bytes {junk[:4]!r} behind its end", data + junk
    lines = data.splitlines(keepends=True)
    for number, line in enumerate(lines):
        yield f"line {number} once more, without its LF", data + line[:-1]


FLIPS: Final = Kind("flips", flips)
CUTS: Final = Kind("cuts", cut, cuts=True)
KINDS: Final = (
    FLIPS,
    *(Kind(f"zeroed-{size}", zeroed(size)) for size in (1, 16, 64, 512)),
    *(Kind(f"swapped-{size}", swapped(size), moves=True) for size in (16, 64, 512)),
    CUTS,
    Kind("edited", edited, moves=True, cuts=True),
    Kind("tails", tails),
)
