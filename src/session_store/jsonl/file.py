"""`JSONLFile`: a log of records on any file system, read forwards, backwards, or in part."""

from collections.abc import AsyncGenerator, Callable, Iterator, Sequence
from typing import Any, Final, Generic, TypeVar, overload

from session_store.errors import ConflictError, NotFoundError, UnavailableError
from session_store.files.filesystem import FileSystem

from .lines import TAIL_END, TAIL_MARK, close_line, damage
from .objects import decode_object, encode_object
from .scanner import SEAL_MARK, Damage, Entry, LineRecord, Replaced, Scanner, seal_of

R = TypeVar("R", bound=LineRecord)
S = TypeVar("S", bound=LineRecord)

CHUNK_BYTES: Final = 1 << 20
TAIL_BYTES: Final = 1 << 16
MAX_CONFLICTS: Final = 10_000


class Block(Generic[R]):
    """The records from `start` on, and the scanner that can go on behind them."""

    __slots__ = ("entries", "scanner", "start")

    def __init__(self, start: int, entries: list[Entry[R]], scanner: Scanner[R]) -> None:
        self.start = start
        self.entries = entries
        self.scanner = scanner


class JSONLFile(Generic[R]):
    """One record a line, append-only; an absent file is an empty one.

    Its records are plain JSON objects, or else `encode` gives a record's JSON object, and
    `decode` turns a line and its offset into a record or raises `ValueError` with the reason.
    What is no record is never raised: it is found in `damage` after a read, with its place and
    the reason. A torn tail is ended so that it never parses; `seal` gives a record that says so
    besides.
    """

    @overload
    def __init__(self: "JSONLFile[Any]", files: FileSystem, path: str) -> None: ...
    @overload
    def __init__(
        self,
        files: FileSystem,
        path: str,
        *,
        encode: Callable[[R], bytes],
        decode: Callable[[bytes, int], R],
        seal: Callable[[int, int], bytes] | None = None,
    ) -> None: ...
    def __init__(
        self,
        files: FileSystem,
        path: str,
        *,
        encode: Callable[[Any], bytes] = encode_object,
        decode: Callable[[bytes, int], Any] = decode_object,
        seal: Callable[[int, int], bytes] | None = None,
    ) -> None:
        self.path = path
        self.damage: list[Damage] = []
        self._files = files
        self._encode = encode
        self._decode = decode
        self._seal = seal

    async def size(self) -> int:
        """Return the size in bytes, 0 if there is no file."""
        try:
            return (await self._files.stat(self.path)).size
        except NotFoundError:
            return 0

    async def append(self, record: R) -> int:
        """Add one record and return the new size in bytes; it is not synced."""
        return await self.append_many([record])

    async def append_many(self, records: Sequence[R]) -> int:
        """Add records in one write, behind whatever others add; return the new size.

        A tail without a LF is sealed first. Nothing is synced.
        """
        lines = b"".join(close_line(self._encode(record)) for record in records)
        for _ in range(MAX_CONFLICTS):
            size = await self.size()
            torn = await self.torn_tail(size)
            try:
                return await self._files.append(
                    self.path, self.sealed(size, torn) + lines, if_size=size
                )
            except ConflictError:
                continue
        raise UnavailableError(self.path, "others append without a pause")

    def sealed(self, size: int, torn: int) -> bytes:
        """Return what must precede a new line if the log ends in `torn` bytes without a LF."""
        if not torn:
            return b""
        if self._seal is None:
            return TAIL_END
        return TAIL_END + close_line(self._seal(size - torn, torn + len(TAIL_MARK)))

    async def torn_tail(self, size: int) -> int:
        """Return how many bytes follow the last LF of the first `size` bytes."""
        want = 1
        while True:
            start = max(0, size - want)
            tail = await self._files.read(self.path, start, size) if size else b""
            cut = tail.rfind(b"\n")
            if cut >= 0:
                return len(tail) - cut - 1
            if not start:
                return len(tail)
            want = max(want * 16, 4096)

    async def read_all(self) -> list[R]:
        """Return every record, oldest first."""
        return [record async for record in self.read_stream()]

    async def read_stream(self) -> AsyncGenerator[R, None]:
        """Yield every record, oldest first, holding about a MiB at a time."""
        scanner = Scanner(self._decode)
        async for entries in self.scan(scanner):
            for _, _, record in entries:
                yield record
        self.damage = scanner.damage

    async def read_from(self, offset: int) -> AsyncGenerator[Entry[R], None]:
        """Yield the records from the boundary `offset` on, with where they stand."""
        scanner = Scanner(self._decode, offset)
        async for entries in self.scan(scanner):
            for entry in entries:
                yield entry
        self.damage = scanner.damage

    async def read_backwards(self, end: int | None = None) -> AsyncGenerator[Entry[R], None]:
        """Yield the records before `end` (a boundary; None for all), newest first."""
        if end is None:
            end = await self.size()
        block = await self.tail(end)
        self.damage = block.scanner.damage
        while True:
            for entry in reversed(block.entries):
                yield entry
            if not block.start:
                return
            block = await self.tail(block.start, followed=block)
            self.damage = self.damage + block.scanner.damage

    async def read_line(self, start: int, end: int) -> bytes:
        """Return the line that stands from `start` to `end`."""
        return await self._files.read(self.path, start, end)

    async def write_all(self, records: Sequence[R]) -> None:
        """Replace the file by one with exactly these records, whole or not at all."""
        data = b"".join(close_line(self._encode(record)) for record in records)
        await self._files.write(self.path, data)

    async def scan(
        self, scanner: Scanner[S], end: int | None = None
    ) -> AsyncGenerator[list[Entry[S]], None]:
        """Feed `scanner` up to `end` (None: to the end of the file), yielding what it settles.

        No file is an empty one, unless `end` is given; one that goes meanwhile is `NotFoundError`.
        Raises `Replaced` if what the scanner was fed last does not stand before `position`.
        """
        want, known = CHUNK_BYTES, scanner.known
        while end is None or scanner.position < end:
            start = scanner.position
            stop = start + want if end is None else min(end, start + want)
            try:
                data = await self._files.read(self.path, start - len(known), stop)
            except NotFoundError:
                if end is None and not scanner.position:
                    return
                raise
            if known:
                if not data.startswith(known):
                    raise Replaced
                data, known = data[len(known) :], b""
            last = stop == end or len(data) < stop - start
            found = scanner.feed(data, last=last)
            if found:
                yield found
            if last:
                return
            want = CHUNK_BYTES if scanner.position > start else want * 2

    async def tail(
        self, end: int, *, want: int = TAIL_BYTES, followed: Block[R] | None = None
    ) -> Block[R]:
        """Return the records of about the last `want` bytes before `end`.

        `followed` is the block that begins at `end`, if there is one. A block begins at a
        boundary between two records, and reaches back as far as it takes to find one; within a
        batch only if it has, with the blocks that follow, the rest of it. Raises
        `NotFoundError` if the file is gone.
        """
        while True:
            start = max(0, end - want)
            data = await self._files.read(self.path, start, end) if end else b""
            if not start:
                return self._block(0, data, None, followed)
            for cut, batch in self._boundaries(data):
                block = self._block(start + cut, data[cut:], batch, followed)
                if batch is None or (block.entries and block.entries[0][0] == block.start):
                    return block
            want *= 4

    def _block(
        self,
        start: int,
        data: bytes,
        within: tuple[int, int] | None,
        followed: Block[R] | None,
    ) -> Block[R]:
        scanner = Scanner(self._decode, start)
        if within is not None:
            scanner.begin_within(within)
        entries = scanner.feed(data)
        if followed is not None:
            first = followed.entries[0] if followed.entries else None
            entries += scanner.finish(first if first and first[0] == followed.start else None)
        return Block(start, entries, scanner)

    def _boundaries(self, data: bytes) -> Iterator[tuple[int, tuple[int, int] | None]]:
        """Yield where in `data` a line begins that surely begins a record.

        That is the first such line, with its place if it stands within a batch, and in that
        case the first that does not. No seal (its junk stands before it) and nothing damaged
        (it may be a line of a batch).
        """
        within = True
        at = data.find(b"\n") + 1
        while at:
            line_end = data.find(b"\n", at)
            if line_end < 0:
                return
            record = self._record(data[at:line_end].rstrip(b"\r"))
            if record is not None:
                if record.batch is None or record.batch[0] == 1:
                    yield at, None
                    return
                if within:
                    within = False
                    yield at, record.batch
            at = line_end + 1

    def _record(self, line: bytes) -> R | None:
        if line[:1] != b"{" or damage(line) is not None:
            return None
        if SEAL_MARK in line and seal_of(line) is not None:
            return None
        try:
            record: R = self._decode(line, 0)
        except ValueError:
            return None
        return record
