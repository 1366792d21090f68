"""The format's rules once more, in the plainest way: to compare the real readers with.

Reads a whole log at once, knows nothing of chunks or caches, and shares no code with what it
checks but the decoder of a single line.
"""

import json
import re
from typing import Any, Final, NamedTuple
from zlib import crc32

from msgspec.structs import replace

from session_store.index import records as journal
from session_store.model.records import Message
from session_store.store.records import read_message

CHANGES: Final = frozenset(
    {"open", "register", "update", "delete", "add_key", "remove_key", "seal"}
)
CHECKSUM: Final = re.compile(rb',"crc":"([0-9a-f]{8})"\}$')


def changes_of(data: bytes) -> list[int]:
    """Return the offsets of the lines of an index journal that count."""
    found: list[int] = []
    offset = 0
    for piece in data.split(b"\n")[:-1]:
        at, offset = offset, offset + len(piece) + 1
        try:
            record = journal.decode(piece.removesuffix(b"\r"))
        except ValueError:
            continue
        if record.op != "torn":
            found += [at] if record.op in CHANGES else []
        elif found[-1:] == [record.offset] and found[-1] + (record.length or 0) + 1 == at:
            del found[-1]
    return found


class Line(NamedTuple):
    """A line, with what stands on it: a record, junk that was sealed, NUL bytes, or damage."""

    offset: int
    text: bytes
    record: Message | None
    sealed: bool = False
    nul: bool = False


def records_of(log: bytes) -> list[tuple[int, Message]]:
    """Return the records of a log that are settled, each with its offset."""
    return _batches(_lines(log))


def _lines(log: bytes) -> list[Line]:
    found: list[tuple[int, bytes]] = []
    offset = 0
    for piece in log.split(b"\n")[:-1]:
        text = piece[:-1] if piece.endswith(b"\r") else piece
        if text.strip(b" \t\r"):
            found.append((offset, text))
        offset += len(piece) + 1
    sealed: set[int] = set()
    for number in range(len(found) - 1, 0, -1):
        at = _sealed_by(*found[number]) if found[number][0] not in sealed else None
        if at is not None and at == found[number - 1][0]:
            sealed.add(at)
    return [_line(offset, text, offset in sealed) for offset, text in found]


def _line(offset: int, text: bytes, sealed: bool) -> Line:
    if sealed:
        return Line(offset, text, None, sealed=True)
    bare = text.lstrip(b"\0")
    if text[:1] == b"\0" and bare in (b"", b"~"):
        return Line(offset, text, None, nul=True)
    if _verified(bare) is False:
        return Line(offset, text, None)
    try:
        record = read_message(bare, offset)
    except ValueError:
        return Line(offset, text, None)
    return Line(offset, text, replace(record, batch=None) if _seal(text) else record)


def _verified(text: bytes) -> bool | None:
    """Return whether the checksum holds, None if there is none."""
    found = CHECKSUM.search(text)
    return None if found is None else int(found[1], 16) == crc32(text[: found.start()])


def _sealed_by(offset: int, text: bytes) -> int | None:
    """Return where the line begins that a seal voids, None if this is no seal that fits."""
    start, length = _seal(text) or (-1, 0)
    return start if start >= 0 and start + length + 1 == offset else None


def _seal(text: bytes) -> tuple[int, int] | None:
    """Return what a seal says it voids: where it begins and how long it is."""
    if b'"kind":"seal"' not in text or _verified(text) is False:
        return None
    try:
        value: Any = json.loads(text.decode("utf-8", "replace"), parse_constant=_no_number)
    except (ValueError, RecursionError):
        return None
    if not isinstance(value, dict) or value.get("type") != "custom":
        return None
    control = value.get("control")
    if value.get("parentId") is not None or not isinstance(control, dict):
        return None
    start, length = control.get("offset"), control.get("length")
    if control.get("kind") != "seal" or not isinstance(start, int) or not isinstance(length, int):
        return None
    return (start, length) if start >= 0 < length else None


def _no_number(text: str) -> Any:
    raise ValueError(text)


def _batches(lines: list[Line]) -> list[tuple[int, Message]]:
    """Leave out the batches that never came to their end, and those that may still do."""
    shown: list[tuple[int, Message]] = []
    number, damaged = 0, False
    while number < len(lines):
        line = lines[number]
        number += 1
        if line.record is None:
            damaged = damaged or not line.sealed
            continue
        batch = line.record.batch
        if batch is not None and (batch[0] == 1 or damaged):
            number, damaged = _batch(lines, number - 1, shown)
        else:
            shown.append((line.offset, line.record))
            damaged = False
    return shown


def _batch(lines: list[Line], number: int, shown: list[tuple[int, Message]]) -> tuple[int, bool]:
    """Show the batch that begins here if it came to its end.

    Returns where to go on, and whether damage is right before that.
    """
    first = lines[number].record
    assert first is not None and first.batch is not None
    place, of = first.batch
    held = [(lines[number].offset, first)]
    gap, cut, number = 0, False, number + 1
    end = b'"batch":[%d,%d]' % (of, of)
    while place < of and number < len(lines):
        line = lines[number]
        if line.record is None and not line.sealed:
            gap += 1
            cut = cut or line.text.endswith(b"~") or b'"control":{"kind":"seal"' in line.text
            if not cut and (place + gap >= of or end in line.text):
                shown += held
                return _late(lines, number + 1, place, of, shown)
        elif line.record is not None:
            at, size = line.record.batch or (0, 0)
            if size != of or not (at == place + 1 or (gap and at > place)):
                if gap and not cut:
                    shown += held
                return number, False
            held.append((line.offset, line.record))
            place, gap, cut = at, 0, False
        number += 1
    if place == of:
        shown += held
    return number, False


def _late(
    lines: list[Line], number: int, place: int, of: int, shown: list[tuple[int, Message]]
) -> tuple[int, bool]:
    """Show what comes of a batch whose end seemed to be damaged before."""
    damaged = False
    while number < len(lines):
        line = lines[number]
        if line.record is not None:
            at, size = line.record.batch or (0, 0)
            if size != of or at <= place or at == 1:
                break
            shown.append((line.offset, line.record))
            damaged = False
        else:
            damaged = damaged or not line.sealed
        number += 1
    return number, damaged
