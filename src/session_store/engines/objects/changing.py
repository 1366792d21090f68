"""One file in a bucket: looked at, read in part, and changed by replacing its head.

Every change is one conditional PUT, so of several writers one wins, and nothing that was sent too
late can take effect. What it stands on is remembered from the last; so it is one request.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple, TypeAlias

from session_store.errors import (
    ConflictError,
    NotFoundError,
    UnavailableError,
)
from session_store.runtime import Chance

from .bucket import Bucket, Changed, for_each
from .heads import (
    TAIL_BYTES,
    Gone,
    Head,
    Part,
    decode_head,
    encode_gone,
    encode_head,
    overlapping,
    to_close,
)
from .known import NEVER, Cache, Known, known_from
from .names import head_name, part_name

LOOK_BYTES: Final = 1 << 16
"""What a look takes at most: the line of a head and a tail, or the beginning of a large file."""

MESSAGES: Final = "messages.jsonl"
GUARDS: Final = (MESSAGES, "branches.jsonl", "lock.json")
"""The files of a session. Their heads stay behind when it ends, and say so to who comes late."""


class Content(NamedTuple):
    """What a file is to be: its head, None for a file that goes, and the bytes behind it."""

    head: Head | None
    body: bytes


Plan: TypeAlias = Callable[[Known], Awaitable[Content | None]]
"""What is to become of a file that is known so; None if it may stay as it is."""


async def _call(call: Callable[[], Awaitable[Any]]) -> Any:
    return await call()


async def going(known: Known) -> Content | None:
    """Plan that a file is to be no more."""
    return None if known.head is None else Content(None, b"")


class Changing:
    """The files of one bucket, and what is known of them."""

    def __init__(self, bucket: Bucket, chance: Chance) -> None:
        self.bucket = bucket
        self.chance = chance
        self._cache = Cache()

    async def look(self, path: str) -> Known:
        """Return the file as it is now."""
        known = self._cache.get(path)
        name, want = head_name(path), LOOK_BYTES
        unless = known.version if known is not None else None
        while True:
            try:
                found = await self.bucket.get(name, 0, want, unless=unless)
            except Changed:
                assert known is not None
                return known
            if found is None:
                known = NEVER
                break
            if b"\n" in found.data or len(found.data) == found.size:
                known = known_from(path, found)
                break
            want = found.size
        self._cache.put(path, known)
        return known

    async def change(self, path: str, plan: Plan, *, guess: Known | None = None) -> Known:
        """Do what `plan` says of the file as it is, and return what it is then.

        `plan` may be asked about an older state first, or about `guess` if nothing is known. What
        it raises counts once it was asked about the state that is there now.
        """
        deadline = self.chance.monotonic() + self.bucket.seconds
        known, fresh = self._cache.get(path) or guess, False
        if known is None:
            known, fresh = await self.look(path), True
        while True:
            try:
                content = await plan(known)
                if content is not None:
                    return await self._replace(path, known, content)
                if fresh:
                    return known
            except ConflictError:
                if fresh:
                    raise
            except Changed:
                if self.chance.monotonic() > deadline:
                    raise UnavailableError(path, "others change it without a pause") from None
            known, fresh = await self.look(path), True

    async def _replace(self, path: str, known: Known, content: Content) -> Known:
        head, body = content
        token = self.chance.token()
        line = encode_gone(token, ended=False) if head is None else encode_head(head)
        try:
            version = await self.bucket.put(head_name(path), line + body, known.version)
        except BaseException:
            # Another came first, or it is unknown whether this is what is there now.
            self._cache.drop(path)
            raise
        after = Known(version, head, line=len(line), body=body)
        self._cache.put(path, after)
        if known.head is None:
            await self._refuse_if_ended(path)
        else:
            await self._drop_parts(path, known.head.parts, head.parts if head else ())
        return after

    async def _refuse_if_ended(self, path: str) -> None:
        """Take a file back that was made in the folder of a session that has ended."""
        folder, _, name = path.partition("/")
        if not name or name in GUARDS:
            return
        if await self.is_ended(folder):
            await self.bury([path])
            raise NotFoundError(path)

    async def is_ended(self, folder: str) -> bool:
        """Return whether this was the folder of a session that has ended."""
        path = f"{folder}/{MESSAGES}"
        found = await self.bucket.get(head_name(path), 0, LOOK_BYTES)
        if found is None:
            return False
        head, _ = decode_head(path, found.data)
        return isinstance(head, Gone) and head.ended

    async def bury(self, paths: Sequence[str]) -> None:
        """End files for good, whatever they are."""

        async def end(path: str) -> None:
            self._cache.drop(path)
            await self.bucket.overwrite(head_name(path), self.gone(ended=True))

        await for_each(end, paths)

    def gone(self, *, ended: bool) -> bytes:
        """Return what is to be left of a file."""
        return encode_gone(self.chance.token(), ended=ended)

    def forget(self) -> None:
        """Forget what is known."""
        self._cache.clear()

    async def _drop_parts(self, path: str, before: Sequence[Part], after: Sequence[Part]) -> None:
        names = [part_name(path, part.start, part.token) for part in before if part not in after]
        # What stays is never read again, and goes with the folder.
        with suppress(UnavailableError):
            await self.bucket.delete(names)

    async def read(self, path: str, start: int, end: int | None) -> bytes:
        """Return the bytes of a file from `start` up to `end`, or raise `NotFoundError`.

        Where a part was lost there are NULs: what stands beside it can be read all the same.
        """
        known = self._cache.get(path)
        if known is None or known.head is None:
            known = await self.look(path)
        else:
            # Both at once: mostly nothing has changed, and then what was read is what is there.
            look, fetch = partial(self.look, path), partial(self._fetch, path, known, start, end)
            calls: tuple[Callable[[], Awaitable[Any]], ...] = (look, fetch)
            now, data = await for_each(_call, calls)
            if isinstance(data, bytes) and now.version == known.version:
                return data
            known = now
        lost = False
        while known.head is not None:
            data = await self._fetch(path, known, start, end, lost=lost)
            if data is not None:
                return data
            now = await self.look(path)
            lost, known = now.version == known.version, now
        raise NotFoundError(path)

    async def _fetch(
        self, path: str, known: Known, start: int, end: int | None, *, lost: bool = False
    ) -> bytes | None:
        """Return what `range` does; None if it is another file by now, or a part is lost."""
        stop = known.size if end is None else min(end, known.size)
        try:
            return await self.range(path, known, start, stop, lost=lost) if start < stop else b""
        except Changed:
            return None

    async def range(
        self, path: str, known: Known, start: int, end: int, *, lost: bool = False
    ) -> bytes:
        """Return bytes of a file that there is.

        Raises `Changed` if some are not there: it is another by now, or they are `lost`.
        """
        head = known.head
        assert head is not None

        async def part_of(place: tuple[int, int, int]) -> bytes:
            index, begin, stop = place
            part = head.parts[index]
            found = await self.bucket.get(part_name(path, part.start, part.token), begin, stop)
            data = found.data if found else b""
            if len(data) < stop - begin and not lost:
                raise Changed
            return data.ljust(stop - begin, b"\0")

        pieces = await for_each(part_of, overlapping(head, start, end))
        if end > head.tail:
            pieces.append(await self._tail(path, known, max(start - head.tail, 0), end - head.tail))
        return b"".join(pieces)

    async def _tail(self, path: str, known: Known, start: int, end: int) -> bytes:
        if end <= len(known.body):
            return known.body[start:end]
        found = await self.bucket.get(head_name(path), known.line + start, known.line + end)
        if found is None or found.version != known.version:
            raise Changed
        return found.data

    async def appended(self, path: str, known: Known, data: bytes) -> Content:
        """Return the file with `data` behind it; a tail that is full becomes a part first."""
        head = known.head or self.head()
        if head.size - head.tail < TAIL_BYTES:
            body = await self.range(path, known, head.tail, head.size) if head.size else b""
            return Content(self.head(head.size + len(data), head.tail, head.parts), body + data)
        first = to_close(head)
        try:
            parts = await self._closed(path, known, head, first)
        except Changed:
            # One of those that were to be made one is not there. If it is lost, so it stays.
            parts = await self._closed(path, known, head, len(head.parts))
        return Content(self.head(head.size + len(data), head.size, parts), data)

    async def _closed(self, path: str, known: Known, head: Head, first: int) -> tuple[Part, ...]:
        """Put the tail, and the parts from `first` on, into a new part; return them all."""
        start = head.parts[first].start if first < len(head.parts) else head.tail
        whole = await self.range(path, known, start, head.size)
        # Put anew at every try: what others remove with the file is none of ours.
        part = Part(start, self.chance.token())
        await self.bucket.put(part_name(path, start, part.token), whole, None)
        return (*head.parts[:first], part)

    def head(self, size: int = 0, tail: int = 0, parts: tuple[Part, ...] = ()) -> Head:
        """Return a head like no other."""
        return Head(self.chance.token(), self.chance.now_ms(), size, tail, parts)
