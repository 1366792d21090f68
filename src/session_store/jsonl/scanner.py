"""Which lines of a log are records: seals, batches, damage and torn tails decided.

Pure: fed with bytes in order, it gives the records whose fate is settled. The rules are
PROTOCOLS A5 (a sealed tail is no record, even if it parses) and B1 (a batch is torn only if
its last line never came; at the end of the log it is pending). How many lines damage took
nobody knows: a line feed may be gone, or one more be there.
"""

from collections.abc import Callable, Mapping
from itertools import accumulate
from typing import Any, Final, Generic, NamedTuple, Protocol, TypeAlias, TypeVar

from .lines import (
    TAIL_MARK,
    are_sound,
    damage,
    is_blurred,
    parse_object,
    split_lines,
    whole_lines,
)

SEAL_MARK: Final = b'"kind":"seal"'
SEAL_TEXT: Final = b'"control":{' + SEAL_MARK
KNOWN_BYTES: Final = 24
"""So much of what was read is looked at again by who reads on: a checksum, in a line of ours."""
CUT_OFF: Final = "a write that was cut off, sealed since"


class LineRecord(Protocol):
    """What the scanner has to know of a record."""

    @property
    def batch(self) -> tuple[int, int] | None:
        """(k, n) on the k-th of n lines that stand or fall together."""
        ...


_NO_BATCH: Final = (0, 0)

R = TypeVar("R", bound=LineRecord)

Entry: TypeAlias = tuple[int, int, R]
"""Where a record begins, where it ends (its LF not included), and the record."""


class Damage(NamedTuple):
    """Bytes of a log that are no record, and why; `code` is stable."""

    code: str
    offset: int
    length: int
    reason: str


class Retracted(Exception):
    """A line that was given out as a record turned out to be a sealed tail: read anew."""


class Replaced(Retracted):
    """What was read before is not there any more: a server came back with less, and went on."""


class Scanner(Generic[R]):
    """Reads a log forward from a boundary between two records.

    `decode` turns a line and its offset into a record, or raises `ValueError` with the reason.
    It may have a method `many` for speed, which turns lines (each with its LF) into as many
    records, or raises `ValueError` if any of them needs a closer look: it is foreign, or a seal.
    `position` is where the next bytes must begin; `settled` is the boundary before which
    nothing can change any more (a pending batch begins there), and `seen` is where the bytes
    ended that were fed last, a line without its LF included. `known` are the last bytes before
    `position`.
    """

    def __init__(self, decode: Callable[[bytes, int], R], offset: int = 0) -> None:
        self.position = self.seen = offset
        self.known = b""
        self.damage: list[Damage] = []
        self._decode = decode
        self._many: Callable[[list[bytes]], list[R]] | None = getattr(decode, "many", None)
        self._last = -1
        self._held: list[Entry[R]] = []
        self._held_from = 0
        self._places = 0
        self._expected = 0
        self._gap = 0
        self._cut = False
        self._ended = _NO_BATCH
        self._damaged_run = 0
        self._damaged_from = 0

    @property
    def settled(self) -> int:
        """Return the boundary before which everything is decided."""
        return self._held_from if self._expected else self.position

    def feed(self, data: bytes, *, last: bool = True) -> list[Entry[R]]:
        """Return the records that `data`, which begins at `position`, settles.

        Unless it is the `last` there is, its last line waits for what follows: a seal, perhaps.
        """
        self.seen = self.position + len(data)
        found = self._feed_at_once(data, last=last)
        return self._feed_closely(data, last=last) if found is None else found

    def _feed_at_once(self, data: bytes, *, last: bool) -> list[Entry[R]] | None:
        """Do `feed` for lines of which none needs a closer look, else return None."""
        if self._many is None:
            return None
        lines = whole_lines(data)
        if not last and lines and SEAL_MARK in lines.pop():
            return None
        if not lines or not are_sound(lines):
            return None
        try:
            records = self._many(lines)
        except (ValueError, RecursionError):
            return None
        self.known = lines[-1][-KNOWN_BYTES:]
        starts = list(accumulate(map(len, lines), initial=self.position))
        self.position = starts.pop()
        self._last = starts[-1]
        ends = [start - 1 for start in starts[1:]]
        return self._place_all(list(zip(starts, [*ends, self.position - 1], records, strict=True)))

    def _place_all(self, entries: list[Entry[R]]) -> list[Entry[R]]:
        found: list[Entry[R]] = []
        batches = [record.batch for _, _, record in entries]
        at = 0
        while at < len(entries):
            if batches[at] is None and not self._expected:
                first = at
                while at < len(entries) and batches[at] is None:
                    at += 1
                found += entries[first:at]
                self._ended = _NO_BATCH
            else:
                self._place(entries[at], found)
                at += 1
                # The next lines of a batch are nearly always the next that there are.
                ahead = batches[at : at + self._expected - self._places]
                if ahead and ahead == [
                    (self._places + step, self._expected) for step in range(1, len(ahead) + 1)
                ]:
                    self._held += entries[at : at + len(ahead)]
                    self._places += len(ahead)
                    at += len(ahead)
                    if self._places == self._expected:
                        self._release(found)
            self._damaged_run = 0
        return found

    def _feed_closely(self, data: bytes, *, last: bool) -> list[Entry[R]]:
        lines, end = split_lines(data, self.position)
        while lines and not last:
            end, line = lines.pop()
            # With a seal waits the line that it seals.
            last = SEAL_MARK not in line or seal_of(line) is None
        junk = self._sealed(lines) if SEAL_MARK in data else frozenset[int]()
        found: list[Entry[R]] = []
        for offset, line in lines:
            if offset in junk:
                self._note("sealed_tail", offset, line, CUT_OFF)
                continue
            record = self._read(offset, line)
            if record is None:
                self._place_damaged(offset, line, found)
            elif record.batch is None and not self._expected:
                found.append((offset, offset + len(line), record))
                self._damaged_run = 0
                self._ended = _NO_BATCH
            else:
                self._place((offset, offset + len(line), record), found)
                self._damaged_run = 0
        if end > self.position:
            self.known = data[: end - self.position][-KNOWN_BYTES:]
        self.position = end
        if lines:
            self._last = lines[-1][0]
        return found

    def begin_within(self, batch: tuple[int, int]) -> None:
        """Take it that the next line is in the midst of a batch, its k-th of n."""
        self._places, self._expected = batch[0] - 1, batch[1]
        self._held_from = self.position

    def finish(self, following: Entry[R] | None = None) -> list[Entry[R]]:
        """Decide that what follows is another record, and return what that settles.

        It may be a line of a batch, which is known to be whole from there on.
        """
        found: list[Entry[R]] = []
        if following is None or following[2].batch is None:
            self._end_batch(found)
            self._ended = _NO_BATCH
            return found
        self._place(following, found)
        if self._expected:
            self._release(found)
        found.remove(following)
        return found

    def skip(self, last: int, line: bytes) -> list[Entry[R]]:
        """Go on behind records that the caller wrote itself, the last of them in `line` at `last`.

        Returns what they settle of the records before them.
        """
        found = self.finish()
        self.step(last, line)
        return found

    def step(self, last: int, line: bytes) -> None:
        """Do what `skip` does, where nothing is held back: `settled` is `position`."""
        self._ended = _NO_BATCH
        self._damaged_run = 0
        self._last = last
        self.position = last + len(line)
        self.known = line[-KNOWN_BYTES:]

    def _read(self, offset: int, line: bytes) -> R | None:
        if line.endswith(TAIL_MARK):
            self._note("sealed_tail", offset, line, CUT_OFF)
            return None
        if line[0] == 0:
            stripped = line.lstrip(b"\0")
            if not stripped:
                self._note("nul_run", offset, line, "NUL bytes instead of a record")
                return None
            self._note("nul_run", offset, line[: -len(stripped)], "NUL bytes before a record")
            line = stripped
        reason = damage(line)
        if reason is None:
            try:
                return self._decode(line, offset)
            except ValueError as error:
                reason = str(error)
        self._note("damaged_line", offset, line, reason)
        return None

    def _place(self, entry: Entry[R], found: list[Entry[R]]) -> None:
        offset, end, record = entry
        if record.batch is None:
            self._end_batch(found)
            self._ended = _NO_BATCH
            found.append(entry)
            return
        place, of = record.batch
        if of == self._expected and self._follows(place):
            self._held.append(entry)
            self._places = place
            self._gap, self._cut = 0, False
        elif place == 1 or (self._damaged_run and not self._is_late(place, of)):
            self._end_batch(found)
            self._ended = _NO_BATCH
            self._held = [entry]
            self._held_from = offset if place == 1 else self._damaged_from
            self._places, self._expected = place, of
        else:
            late = self._is_late(place, of)
            self._end_batch(found)
            if not late:
                self._ended = _NO_BATCH
                reason = f"line {place} of a batch not begun"
                self.damage.append(Damage("misplaced_line", offset, end - offset, reason))
            found.append(entry)
            return
        if place == of:
            self._release(found)

    def _follows(self, place: int) -> bool:
        """Return whether that place is next: behind damage nobody knows how many were lost."""
        return place == self._places + 1 or (self._gap > 0 and place > self._places)

    def _is_late(self, place: int, of: int) -> bool:
        """Return whether the line is of a batch whose damage looked like its last lines."""
        return of == self._ended[1] and place > self._ended[0] and not self._expected

    def _place_damaged(self, offset: int, line: bytes, found: list[Entry[R]]) -> None:
        if not self._expected:
            if not self._damaged_run:
                self._damaged_from = offset
            self._damaged_run += 1
        else:
            self._gap += 1
            # Cut off rather than damaged, and what should have sealed it was hit as well.
            self._cut = self._cut or line.endswith(TAIL_MARK) or SEAL_TEXT in line
            last = b'"batch":[%d,%d]' % (self._expected, self._expected)
            if not self._cut and (self._places + self._gap >= self._expected or last in line):
                self._release(found)

    def _end_batch(self, found: list[Entry[R]]) -> None:
        """Decide about a batch behind which something else begins.

        Damage where its last lines should be holds their places.
        """
        if self._gap and not self._cut:
            self._release(found)
        else:
            self._tear()

    def _release(self, found: list[Entry[R]]) -> None:
        found.extend(self._held)
        self._ended = (self._places, self._expected)
        self._close()

    def _tear(self) -> None:
        if self._held:
            end = self._held[-1][1]
            reason = f"a batch of {self._expected} of which only {self._places} lines came"
            self.damage.append(Damage("torn_batch", self._held_from, end - self._held_from, reason))
        self._close()

    def _close(self) -> None:
        self._held = []
        self._places = self._expected = self._gap = 0
        self._cut = False

    def _sealed(self, lines: list[tuple[int, bytes]]) -> frozenset[int]:
        junk: set[int] = set()
        # Backwards: a seal that was itself cut off, and sealed, has sealed nothing.
        for place in range(len(lines) - 1, -1, -1):
            offset, line = lines[place]
            sealed = seal_of(line) if SEAL_MARK in line and offset not in junk else None
            if sealed is None:
                continue
            start, length = sealed
            if start + length + 1 != offset:
                self._note("false_seal", offset, line, "it does not seal what is before it")
            elif start == (lines[place - 1][0] if place else self._last):
                if not place:
                    raise Retracted
                junk.add(start)
        return frozenset(junk)

    def _note(self, code: str, offset: int, line: bytes, reason: str) -> None:
        self.damage.append(Damage(code, offset, len(line), reason))


def blur(offset: int, line: bytes) -> list[Damage]:
    """Return the damage that hit nothing but the checksum of a line that is a record, if any."""
    if not is_blurred(line):
        return []
    reason = "its checksum is damaged; by all it still says the rest is whole"
    return [Damage("damaged_checksum", offset, len(line), reason)]


def seal_of(line: bytes) -> tuple[int, int] | None:
    """Return the offset and the length that `line` seals, or None if it is no seal."""
    if damage(line) is not None:
        return None
    try:
        record = parse_object(line)
    except ValueError:
        return None
    if record.get("type") != "custom" or record.get("parentId") is not None:
        return None  # a message, in which a field of that name means something else
    return seal_range(record.get("control"))


def seal_range(control: Any) -> tuple[int, int] | None:
    """Return the range that a control record of kind `seal` names, or None."""
    if not isinstance(control, Mapping) or control.get("kind") != "seal":
        return None
    start, length = control.get("offset"), control.get("length")
    if isinstance(start, int) and isinstance(length, int) and start >= 0 and length > 0:
        return start, length
    return None
