"""One file in a bucket: looked at, read in part, and changed by replacing its head.

Every change is one conditional PUT, so of several writers one wins, and nothing that was sent too
late can take effect. What it stands on is remembered from the last; so it is one request.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Final, TypeAlias

from session_store.errors import (
    ConflictError,
    NotFoundError,
    UnavailableError,
)
from session_store.runtime import Chance

from .bucket import Bucket, Changed, both, for_each
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
from .patience import Patience
from .tries import Content, Tries

LOOK_BYTES: Final = 1 << 16
"""What a look takes at most: the line of a head and a tail, or the beginning of a large file."""

MESSAGES: Final = "messages.jsonl"
GUARDS: Final = (MESSAGES, "branches.jsonl", "lock.json")
"""The files of a session. Their heads stay behind when it ends, and say so to who comes late."""
SMALL_SECONDS: Final = 600
"""Where many bytes take too long, parts stay small for so long, before more is tried again."""
ENDED_MOST: Final = 10_000
END_TRIES: Final = 5


Plan: TypeAlias = Callable[[Known], Awaitable[Content | None]]
"""What is to become of a file that is known so; None if it may stay as it is."""


async def going(known: Known) -> Content | None:
    """Plan that a file is to be no more."""
    return None if known.head is None else Content(None)


class Changing:
    """The files of one bucket, and what is known of them."""

    def __init__(self, bucket: Bucket, chance: Chance) -> None:
        self.bucket = bucket
        self.chance = chance
        self._cache = Cache()
        self.ended: set[str] = set()
        """Some of the folders of which this process has seen that their sessions have ended."""
        self._small_until = 0.0
        self._left: list[str] = []

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
                if known.ended:
                    self._saw_end(path.partition("/")[0])
                break
            want = found.size
        self._cache.put(path, known)
        return known

    async def change(self, path: str, plan: Plan, *, guess: Known | None = None) -> Known:
        """Do what `plan` says of the file as it is, and return what it is then.

        `plan` may be asked about an older state first, or about `guess` if nothing is known. What
        it raises counts once it was asked about the state that is there now. A lost answer is
        settled by a look: no other has our nonce. If others have changed the file by then nobody
        can know, and `UnavailableError` says so.
        """
        patience = Patience(self.chance, self.bucket.seconds)
        known, fresh = self._cache.get(path) or guess, False
        if known is None:
            known, fresh = await self.look(path), True
        tries = Tries()
        while True:
            content = None
            try:
                content = await plan(known)
                if content is not None:
                    after = await self._replace(path, known, content)
                    self._leave(path, tries.left(after))
                    return after
                if fresh:
                    return known
            except ConflictError:
                if fresh and known.head is None and await self._may_not_be(path):
                    raise NotFoundError(path) from None
                if fresh:
                    raise
            except (Changed, UnavailableError) as error:
                tries.failed(path, known, content, error)
                if patience.is_over:
                    tries.give_up(path, "others change it without a pause")
                await patience.pause()
            known, fresh = await self._look_after(path, tries), True
            self._leave(path, tries.left(known))
            if tries.done(known):
                return await self._settle(path, tries.before, known)

    async def _look_after(self, path: str, tries: Tries) -> Known:
        try:
            return await self.look(path)
        except UnavailableError as error:
            if tries.unknown:
                raise UnavailableError(path, error.reason, unknown=True) from error
            raise

    async def _replace(self, path: str, known: Known, content: Content) -> Known:
        head, body, ended = content
        line = self.gone(ended=ended) if head is None else encode_head(head)
        try:
            version = await self.bucket.put(head_name(path), line + body, known.version)
        except BaseException:
            # Another came first, or it is unknown whether this is what is there now.
            self._cache.drop(path)
            raise
        after = Known(version, head, ended, len(line), body)
        self._cache.put(path, after)
        return await self._settle(path, known, after)

    async def _settle(self, path: str, before: Known, after: Known) -> Known:
        """Do what is owed after a change."""
        if before.head is None:
            await self._take_back_if_ended(path)
        else:
            parts = after.head.parts if after.head else ()
            await self._drop_parts(path, before.head.parts, parts)
        return after

    async def _take_back_if_ended(self, path: str) -> None:
        """Take a file back that was made in the folder of a session that has ended."""
        try:
            if not await self._may_not_be(path):
                return
            await self.bury([path])
        except UnavailableError as error:
            raise UnavailableError(path, error.reason, unknown=True) from error
        raise NotFoundError(path)

    async def _may_not_be(self, path: str) -> bool:
        """Return whether the path leads into the folder of a session that has ended."""
        folder, _, name = path.partition("/")
        return bool(name) and name not in GUARDS and await self.is_ended(folder)

    async def is_ended(self, folder: str) -> bool:
        """Return whether this was the folder of a session that has ended."""
        path = f"{folder}/{MESSAGES}"
        found = await self.bucket.get(head_name(path), 0, LOOK_BYTES)
        if found is None:
            return False
        head, _ = decode_head(path, found.data)
        ended = isinstance(head, Gone) and head.ended
        if ended:
            self._saw_end(folder)
        return ended

    async def end(self, folder: str) -> bool:
        """End the log of a session for good, in one step, and return whether it was this call.

        Where others append without a pause it is ended whatever comes between; then two who end
        it at once may both be told so.
        """
        path = f"{folder}/{MESSAGES}"
        patience = Patience(self.chance, self.bucket.seconds)
        sent: set[bytes] = set()
        for _ in range(END_TRIES):
            known = await self.look(path)
            if known.ended:
                return known.body in sent
            left = self.gone(ended=True)
            sent.add(left)
            try:
                await self.bucket.put(head_name(path), left, known.version)
                return True
            except Changed:
                pass
            except UnavailableError as error:
                if not error.unknown or patience.is_over:
                    raise
            finally:
                self._cache.drop(path)
            await patience.pause()
        await self.bury([path])
        return True

    def _saw_end(self, folder: str) -> None:
        if len(self.ended) >= ENDED_MOST:
            self.ended.clear()
        self.ended.add(folder)

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

    def _leave(self, path: str, parts: Sequence[Part]) -> None:
        """Let the next change remove what nothing names."""
        self._left += [part_name(path, part.start, part.token) for part in parts]

    async def _drop_parts(self, path: str, before: Sequence[Part], after: Sequence[Part]) -> None:
        self._leave(path, [part for part in before if part not in after])
        names, self._left = self._left, []
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
            now, data = await both(look, fetch)
            if data is not None and now.version == known.version:
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
        parts = await self._closed(path, known, head)
        return Content(self.head(head.size + len(data), head.size, parts), data)

    async def _closed(self, path: str, known: Known, head: Head) -> tuple[Part, ...]:
        """Put the tail into a part, with some of those before it that are small; return them all.

        What may take long takes half of the time at most: the tail alone needs the rest.
        """
        first = to_close(head, large=self.chance.monotonic() >= self._small_until)
        if first < len(head.parts):
            try:
                async with asyncio.timeout(self.bucket.seconds / 2):
                    return await self._joined(path, known, head, first)
            except Changed:
                pass  # One of them is not there. If it is lost, so it stays.
            except TimeoutError:
                self._small_until = self.chance.monotonic() + SMALL_SECONDS
        return await self._joined(path, known, head, len(head.parts))

    async def _joined(self, path: str, known: Known, head: Head, first: int) -> tuple[Part, ...]:
        """Put the tail, and the parts from `first` on, into a new part; return them all."""
        start = head.parts[first].start if first < len(head.parts) else head.tail
        whole = await self.range(path, known, start, head.size)
        # Put anew at every try: what others remove with the file is none of ours.
        part = Part(start, self.chance.token())
        try:
            await self.bucket.overwrite(part_name(path, start, part.token), whole)
        except BaseException:
            # It may be there, or be there in a moment.
            self._leave(path, [part])
            raise
        return (*head.parts[:first], part)

    def head(self, size: int = 0, tail: int = 0, parts: tuple[Part, ...] = ()) -> Head:
        """Return a head like no other."""
        return Head(self.chance.token(), self.chance.now_ms(), size, tail, parts)
