"""One record, one line: how bytes become JSON objects and what counts as damage.

Pure: bytes in, values out. `docs/format.md` shows these rules on examples.
"""

import json
from collections.abc import Iterator, Sequence
from io import BytesIO
from math import isfinite
from struct import pack
from typing import Any, Final, NoReturn
from zlib import crc32

CRC_MARK: Final = b',"crc":"'
CRC_TAIL_BYTES: Final = 18  # len(',"crc":"xxxxxxxx"}')

# The byte before the LF keeps a tail that lacked nothing but its LF from parsing: a reader may
# see the LF before the seal that follows it in the same write.
TAIL_MARK: Final = b"~"
TAIL_END: Final = TAIL_MARK + b"\n"

MAX_BLURRED: Final = 3
"""Bytes of a checksum that may be wrong; anybody else's field is wrong in eight of eleven."""

_HEX: Final = frozenset(b"0123456789abcdef")
_BETWEEN: Final = '"}\n' + CRC_MARK.decode()
_BLANK: Final = b" \t\r\0"


def close_line(body: bytes) -> bytes:
    """Return the JSON object `body` as a line: with its checksum last, and a LF."""
    start = body[:-1]
    return start + b',"crc":"%08x"}\n' % crc32(start)


def checksum(line: bytes) -> int | None:
    """Return the checksum that `line` (without its LF) carries, or None if it has none.

    It counts only in exactly the last 18 bytes; anywhere else `crc` is a foreign field.
    """
    if line[-CRC_TAIL_BYTES:-10] != CRC_MARK or line[-2:] != b'"}':
        return None
    digits = line[-10:-2]
    return int(digits, 16) if _HEX.issuperset(digits) else None


def damage(line: bytes) -> str | None:
    """Return why the checksum of `line` (without its LF) does not hold, or None.

    A line without one is unverified, not damaged.
    """
    expected = checksum(line)
    if expected is None or crc32(line[:-CRC_TAIL_BYTES]) == expected:
        return None
    return "the checksum does not match"


def are_sound(lines: Sequence[bytes]) -> bool:
    """Return whether no line (each with its LF) can be damaged, judged by their checksums.

    Either all carry one that holds, or none carries one; False only means: ask each.
    """
    ends = b"".join([line[-CRC_TAIL_BYTES - 1 :] for line in lines])
    if CRC_MARK not in ends:
        return b"\r" not in ends
    # All at once: a fifth of what it takes to ask `damage` of each line.
    sums = pack(f">{len(lines)}I", *[crc32(line[: -CRC_TAIL_BYTES - 1]) for line in lines])
    meant = CRC_MARK.decode() + sums.hex("|", 4).replace("|", _BETWEEN) + '"}\n'
    return meant.encode() == ends


def whole_lines(data: bytes) -> list[bytes]:
    """Return the lines of `data` that end in a LF, each with it.

    Through `BytesIO`, which looks for line feeds six times as fast as `split`.
    """
    lines = list(BytesIO(data))
    if lines and not lines[-1].endswith(b"\n"):
        lines.pop()
    return lines


def is_blurred(line: bytes) -> bool:
    """Return whether `line` ends in its checksum, but for a few bits: so the rest is whole.

    The reader takes such a field for somebody else's, and the line for unverified.
    """
    if line[-16:-13] == b"crc" and _HEX.issuperset(line[-10:-2]):
        return False  # as almost every line; so this is asked first
    if line[-18:-16] != b',"' or line[-13:-10] != b'":"' or line[-2:] != b'"}':
        return False
    said = line[-16:-13] + line[-10:-2]
    meant = b"crc%08x" % crc32(line[:-CRC_TAIL_BYTES])
    differing = sum(one != other for one, other in zip(said, meant, strict=True))
    return differing <= MAX_BLURRED


def split_lines(data: bytes, offset: int = 0) -> tuple[list[tuple[int, bytes]], int]:
    """Return the lines of `data` that end in a LF, each with its offset, and where they end.

    `offset` is where `data` begins. The bytes after the last LF are no line: a writer may
    still be inside its write. Blank lines are left out, a CR before the LF is dropped.
    """
    lines: list[tuple[int, bytes]] = []
    at = offset
    for piece in whole_lines(data):
        line = piece[:-2] if piece.endswith(b"\r\n") else piece[:-1]
        if line and line.strip(b" \t\r"):
            lines.append((at, line))
        at += len(piece)
    return lines, at


def parse_object(line: bytes) -> dict[str, Any]:
    """Return the JSON object on `line`, as leniently as the original reads it.

    For what the typed decoder refuses: lone surrogates and bytes that are no UTF-8 show as
    U+FFFD. Raises `ValueError` with the reason if there is no JSON object.
    """
    if not line.strip(_BLANK):
        raise ValueError("NUL bytes")
    try:
        value = parse_json(line)
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError as error:
        raise ValueError(f"no JSON: {error}") from None
    if not isinstance(value, dict):
        raise ValueError("no JSON object")
    return _without_surrogates(value)


def parse_json(data: bytes) -> Any:
    """Return any JSON value, lone surrogates as they are, or raise `ValueError`.

    A number too large for a float is null, as it is for the original: an infinity could not be
    written again. Raises `RecursionError` if it is nested too deeply.
    """
    text = data.decode("utf-8", "replace")
    return json.loads(text, parse_constant=_refuse, parse_float=_finite)


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no JSON")


def _finite(text: str) -> float | None:
    number = float(text)
    return number if isfinite(number) else None


def _without_surrogates(value: dict[str, Any]) -> dict[str, Any]:
    # Iterative: what json.loads accepts may be deeper than what a walk may recurse.
    pending: list[Any] = [value]
    while pending:
        item = pending.pop()
        entries: Iterator[tuple[Any, Any]]
        if isinstance(item, dict):
            for key in [key for key in item if _plain(key) != key]:
                item[_plain(key)] = item.pop(key)
            entries = iter(list(item.items()))
        else:
            entries = iter(list(enumerate(item)))
        for place, child in entries:
            if isinstance(child, str):
                item[place] = _plain(child)
            elif isinstance(child, dict | list):
                pending.append(child)
    return value


def _plain(text: str) -> str:
    try:
        text.encode()
    except UnicodeEncodeError:
        return text.encode("utf-16", "surrogatepass").decode("utf-16", "replace")
    return text
