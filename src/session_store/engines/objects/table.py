"""Sessions and keys as objects: one for each session, and one for each key, which names it.

A key is claimed by a PUT where there is none, so of many who want it one gets it. A session comes
first and its key then; so whoever finds a key finds its session. The names of sessions begin with
the time of their making, the newest first: a listing is the order.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

import msgspec

from session_store.errors import UnavailableError
from session_store.index.fields import Stored, Times
from session_store.index.paging import Position, Query
from session_store.index.table import Change, Row

from .bucket import Bucket, Changed, Found, Listed, Version, both, for_each
from .cells import Cells, CreatedCell, KeyCell, SessionCell, decode_cell, encode_cell
from .changing import Changing
from .folders import Folders
from .heads import GONE_BYTES
from .names import (
    KEYS,
    SESSIONS,
    created_name,
    key_name,
    key_of,
    session_name,
    session_of,
    when_made,
)
from .opening import Door
from .ordering import Ordering

LOST_SECONDS: Final = 0.5


class Held(NamedTuple):
    """Where a session lies, of which version, and the keys that lie with it."""

    name: str
    version: Version
    keys: tuple[str, ...]


class ObjectTable:
    """The sessions and the keys in a bucket."""

    def __init__(self, bucket: Bucket, door: Door, files: Changing, folders: Folders) -> None:
        self._bucket = bucket
        self._door = door
        self._files = files
        self._folders = folders
        self._token = files.chance.token
        self._cells = Cells(bucket, files.chance)
        self._ordering = Ordering(self._listed, self._row)

    async def prepare(self) -> None:
        """See `Table.prepare`."""
        await self._door.enter()

    async def resolve(self, key: str) -> str | None:
        """See `Table.resolve`; one request."""
        name = key_name(key)
        there = decode_cell(KeyCell, name, await self._bucket.get(name))
        if there is None:
            return None
        if there.id in self._files.ended:
            # Whoever ended it was broken off before it came to the key.
            await self._finish(there.id)
            await self._release(key, there.id)
            return None
        return there.id

    async def register(
        self, session_id: str, key: str | None, stored: bytes, times: Times
    ) -> str | None:
        """See `Table.register`; two requests in turn, for the session and for its key.

        Who loses the key takes the session back, which nobody has heard of.
        """
        name = await self._make_name(session_id, times.created_at)

        def make(found: Found | None) -> tuple[str, bytes | None]:
            if found is None:
                keys = () if key is None else (key,)
                return "made", self._session(msgspec.Raw(stored), keys)
            there = decode_cell(SessionCell, name, found)
            if there is None:
                return "deleted", None
            if key is None or key in there.keys:
                return "there", None
            return "there", self._session(there.session, (*there.keys, key))

        done = await self._cells.change(name, make, new=True)
        if done == "deleted":
            return None if key is None else await self.resolve(key)
        if key is None:
            return session_id
        owner = await self._claim(key, session_id)
        if owner != session_id:
            if done == "made":
                await self._bucket.delete([name])
            else:
                await self._drop_key(session_id, key)
        return owner

    async def _make_name(self, session_id: str, created_ms: float) -> str:
        """Return the name of a session to be made; its id does not tell when it was made always."""
        name = session_name(created_ms, session_id)
        if when_made(session_id) == created_ms:
            return name
        there = await self._find(session_id)
        if there is not None:
            return there[0]
        cell = created_name(session_id)

        def say(found: Found | None) -> tuple[str, bytes | None]:
            there = decode_cell(CreatedCell, cell, found)
            if there is not None:
                return session_name(there.created, session_id), None
            return name, encode_cell(CreatedCell(self._token(), created_ms))

        return await self._cells.change(cell, say, new=True)

    async def _claim(self, key: str, session_id: str) -> str:
        """Let the key name the session unless it names one; return which."""
        name = key_name(key)

        def claim(found: Found | None) -> tuple[str, bytes | None]:
            there = decode_cell(KeyCell, name, found)
            if there is not None:
                return there.id, None
            return session_id, encode_cell(KeyCell(self._token(), key, session_id))

        return await self._cells.change(name, claim, new=True)

    async def add_key(self, key: str, session_id: str) -> bool:
        """See `Table.add_key`; the session holds the key first, so that its end finds it."""
        if not await self._change_keys(session_id, lambda keys: (*keys, key)):
            return False
        name = key_name(key)

        def point(found: Found | None) -> tuple[str | None, bytes | None]:
            there = decode_cell(KeyCell, name, found)
            if there is not None and there.id == session_id:
                return None, None
            new = encode_cell(KeyCell(self._token(), key, session_id))
            return there.id if there else None, new

        before = await self._cells.change(name, point)
        if before is not None:
            await self._drop_key(before, key)
        # It may have ended before the key was there to be taken away.
        if await self._find_row(session_id) is None:
            await self._release(key, session_id)
            return False
        return True

    async def remove_key(self, key: str) -> bool:
        """See `Table.remove_key`."""
        owner = await self._release(key)
        if owner is None:
            return False
        await self._drop_key(owner, key)
        return True

    async def _release(self, key: str, session_id: str | None = None) -> str | None:
        """Take the key from the session, None for any; return which had it."""
        name = key_name(key)

        def release(found: Found | None) -> tuple[str | None, bytes | None]:
            there = decode_cell(KeyCell, name, found)
            if there is None or session_id not in (None, there.id):
                return None, None
            return there.id, self._files.gone(ended=False)

        return await self._cells.change(name, release)

    async def _drop_key(self, session_id: str, key: str) -> None:
        await self._change_keys(session_id, lambda keys: tuple(k for k in keys if k != key))

    async def _change_keys(
        self, session_id: str, change: Callable[[tuple[str, ...]], tuple[str, ...]]
    ) -> bool:
        """Change which keys lie with a session, and return whether it is there."""
        there = await self._find(session_id)
        if there is None:
            return False
        name, seen = there

        def decide(found: Found | None) -> tuple[bool, bytes | None]:
            session = decode_cell(SessionCell, name, found)
            if session is None:
                return False, None
            keys = tuple(dict.fromkeys(change(session.keys)))
            same = keys == session.keys
            return True, None if same else self._session(session.session, keys)

        return await self._cells.change(name, decide, seen=seen)

    async def keys_of(self, session_id: str) -> list[str]:
        """See `Table.keys_of`."""
        row = await self._find_row(session_id)
        keys: tuple[str, ...] = row.version.keys if row else ()
        owners = await for_each(self.resolve, keys)
        # While a key is moved, or if that was broken off, it lies with two.
        return [key for key, owner in zip(keys, owners, strict=True) if owner == session_id]

    async def all_keys(self) -> list[str]:
        """See `Table.all_keys`; one request for 1,000 of them, and one for each that is long."""

        async def read(one: Listed) -> str | None:
            whole = key_of(one.name)
            if whole is not None:
                return whole
            there = decode_cell(KeyCell, one.name, await self._bucket.get(one.name))
            return None if there is None else there.key

        keys = await for_each(read, await self._listed(KEYS))
        return [key for key in keys if key is not None]

    async def all_ids(self) -> list[str]:
        """See `Table.all_ids`; one request for 1,000 of them."""
        return [session_of(one.name) for one in await self._listed(SESSIONS)]

    async def _listed(self, prefix: str, after: str = "", limit: int | None = None) -> list[Listed]:
        """Return up to `limit` of the objects that are more than what a removal leaves."""
        found: list[Listed] = []
        async for some in self._bucket.list(prefix, after):
            found += [one for one in some if one.size > GONE_BYTES]
            if limit is not None and len(found) >= limit:
                return found[:limit]
        return found

    async def rows(self, session_ids: Sequence[str]) -> list[Row]:
        """See `Table.rows`; a request each."""
        rows = await for_each(self._find_row, session_ids)
        return [row for row in rows if row is not None]

    async def _find_row(self, session_id: str) -> Row | None:
        """Return what is stored of a session; two requests at once, for it ends with its log."""
        find, end = partial(self._find, session_id), partial(self._files.is_ended, session_id)
        there, ended = await both(find, end)
        return None if there is None or ended else _row(*there)

    async def _row(self, name: str) -> Row | None:
        return _row(name, await self._bucket.get(name))

    async def _find(self, session_id: str) -> tuple[str, Found] | None:
        """Return where a session lies, or what is left of it, and what it says."""
        made = when_made(session_id)
        if made is not None:
            name = session_name(made, session_id)
            found = await self._bucket.get(name)
            if found is not None:
                return name, found
        cell = created_name(session_id)
        said = decode_cell(CreatedCell, cell, await self._bucket.get(cell))
        if said is None:
            return None
        name = session_name(said.created, session_id)
        found = await self._bucket.get(name)
        return None if found is None else (name, found)

    async def replace(self, changes: Sequence[Change], *, durable: bool) -> list[str]:
        """See `Table.replace`; a request each. Whose answer was lost are returned too."""

        async def put(change: Change) -> str | None:
            held: Held = change.version
            data = self._session(change.stored, held.keys)
            try:
                await self._bucket.put(held.name, data, held.version)
            except Changed:
                return change.session_id
            except UnavailableError as error:
                if not error.unknown:
                    raise
                # The caller tries again at once, perhaps what was too much for the service.
                await asyncio.sleep(random.uniform(0, LOST_SECONDS))  # noqa: S311 -- no secret
                return change.session_id
            return None

        return [one for one in await for_each(put, changes) if one is not None]

    async def is_deleted(self, session_id: str) -> bool:
        """See `Table.is_deleted`; what the end of a session has left undone is done."""
        if not await self._files.is_ended(session_id):
            return False
        await self._finish(session_id)
        return True

    async def delete(self, session_id: str) -> bool:
        """See `Table.delete`; the end of its log is the step, and then its keys are taken away.

        If it was broken off between, doing it again does the rest.
        """
        if await self._find_row(session_id) is None:
            return False
        ended = await self._folders.end(session_id)
        await self._finish(session_id)
        return ended

    async def _finish(self, session_id: str) -> None:
        """Take away the keys of a session that has ended, and what is known of it."""
        there = await self._find(session_id)
        if there is None:
            return
        name, seen = there

        async def release(key: str) -> None:
            await self._release(key, session_id)

        def end(found: Found | None) -> tuple[tuple[str, ...], bytes | None]:
            session = decode_cell(SessionCell, name, found)
            if session is None:
                return (), None
            return session.keys, self._files.gone(ended=False)

        # Before as well: who is broken off here must find the keys when he comes again.
        session = decode_cell(SessionCell, name, seen)
        known = session.keys if session else ()
        await for_each(release, known)
        keys = await self._cells.change(name, end, seen=seen)
        await for_each(release, set(keys).difference(known))

    async def page(self, query: Query, before: Position | None, limit: int) -> list[Row]:
        """See `Table.page`: by creation as they are listed, by change as all are read."""
        if query.sort == "updated":
            return await self._ordering.by_change(query, before, limit)
        return await self._ordering.by_creation(query, before, limit)

    def _session(self, stored: Stored, keys: tuple[str, ...]) -> bytes:
        session = msgspec.Raw(msgspec.json.encode(stored))
        return encode_cell(SessionCell(self._token(), session, keys))


def _row(name: str, found: Found | None) -> Row | None:
    session = decode_cell(SessionCell, name, found)
    if session is None or found is None:
        return None
    held = Held(name, found.version, session.keys)
    return Row(session_of(name), session.session, held)
