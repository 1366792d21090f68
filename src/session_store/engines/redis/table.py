"""Sessions and keys in Redis: a record in the slot of each session, and lists of all of them.

A session stands in the lists before its key names it, so nothing that was answered is unlisted;
what stands there and is no session any more is left out, and swept.
"""

from collections.abc import Sequence
from time import time
from typing import Any, Final

import msgspec

from session_store.index.fields import Stored, Times, fields_of, times_of
from session_store.index.paging import Position, Query
from session_store.index.table import Change, Row, Table

from . import scripts
from .client import Client, evaluate, together

PLACE: Final = ""
"""The path that errors name: the index is no file."""
SOME: Final = 1_000
LEFT_MS: Final = 60_000
"""A session that its key does not name after so long was left by who made it."""


class RedisTable(Table):
    """What `TableIndex` asks."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._names = client.names

    async def prepare(self) -> None:
        """See `Table.prepare`; the client does it when it is opened."""
        await self._client.ask(PLACE, lambda client: client.ping())

    async def resolve(self, key: str) -> str | None:
        """See `Table.resolve`."""
        found = await self._client.ask(PLACE, lambda client: client.get(self._names.key(key)))
        return found.decode() if found else None

    async def register(
        self, session_id: str, key: str | None, stored: bytes, times: Times
    ) -> str | None:
        """See `Table.register`."""
        pair = self._names.pair(session_id)

        async def make(client: Any) -> Any:
            status = await evaluate(client, scripts.REGISTER, pair, stored, key or "")
            if status == scripts.DONE:
                calls = self._listing(client, session_id, None, stored, times)
                if key is not None:
                    calls.append(client.zadd(self._names.keys, {key: 0}))
                await together(calls)
            return status

        while True:
            if await self._client.ask(PLACE, make, changes=True) == scripts.DELETED:
                return None
            if key is None:
                return session_id
            owner = await self._claim(key, session_id)
            if owner != session_id:
                await self._take_back(session_id, key, stored)
                return owner
            if await self._confirm(session_id, key):
                return session_id
            # Somebody took it for left over before its key named it.

    async def _claim(self, key: str, session_id: str) -> str:
        """Let `key` name the session unless it names one, and return which it names."""
        owner = ""
        while True:
            found = await self._point(key, owner, session_id)
            if found == session_id or await self._is_there(found):
                return found
            # It names a session that has ended: whoever deleted it was cut off.
            owner = found

    async def _confirm(self, session_id: str, key: str) -> bool:
        """Have the session be one, and its key listed; return whether there still is one."""

        async def confirm(client: Any) -> list[Any]:
            pair = self._names.pair(session_id)
            return await together(
                [
                    evaluate(client, scripts.CONFIRM, pair),
                    # Once more: whoever freed the key may have taken it from the list since.
                    client.zadd(self._names.keys, {key: 0}),
                ]
            )

        return bool((await self._client.ask(PLACE, confirm, changes=True))[0])

    async def _take_back(self, session_id: str, key: str, stored: bytes) -> None:
        pair = self._names.pair(session_id)
        if await self._client.run(PLACE, scripts.UNREGISTER, pair, key):
            await self._unlist(session_id, stored)
        else:
            await self._forget(session_id, key)

    async def add_key(self, key: str, session_id: str) -> bool:
        """See `Table.add_key`."""
        pair = self._names.pair(session_id)
        if not await self._client.run(PLACE, scripts.ADD_KEY, pair, key):
            return False

        async def add(client: Any) -> Any:
            # Listed before it names a session, and once more behind: see `_unlist_keys`.
            await client.zadd(self._names.keys, {key: 0})
            before = await client.set(self._names.key(key), session_id, get=True)
            await client.zadd(self._names.keys, {key: 0})
            return before

        before = await self._client.ask(PLACE, add, changes=True)
        if before and before.decode() != session_id:
            await self._forget(before.decode(), key)
        if await self._is_there(session_id):
            return True
        # Deleted in between.
        await self._point(key, session_id, "")
        return False

    async def remove_key(self, key: str) -> bool:
        """See `Table.remove_key`."""
        owner = await self._client.ask(
            PLACE, lambda client: client.getdel(self._names.key(key)), changes=True
        )
        await self._unlist_keys([key])
        if owner is None:
            return False
        await self._forget(owner.decode(), key)
        return await self._is_there(owner.decode())

    async def _unlist_keys(self, keys: Sequence[str]) -> None:
        """Take keys that name nothing from the list of all keys."""

        async def take_out(client: Any) -> None:
            await client.zrem(self._names.keys, *keys)
            # Who lets one name a session meanwhile lists it behind that, or is seen here.
            named = await together([client.exists(self._names.key(key)) for key in keys])
            again = {key: 0 for key, there in zip(keys, named, strict=True) if there}
            if again:
                await client.zadd(self._names.keys, again)

        await self._client.ask(PLACE, take_out, changes=True)

    async def keys_of(self, session_id: str) -> list[str]:
        """See `Table.keys_of`."""
        place = f"{self._names.top(session_id)}:keys"
        found = await self._client.ask(PLACE, lambda client: client.zrange(place, 0, -1))
        keys = [key.decode() for key in found]
        # One that was moved to another session may be left here by who was cut off.
        owners = await self._owners(keys)
        return [key for key, owner in zip(keys, owners, strict=True) if owner == session_id]

    async def all_keys(self) -> list[str]:
        """See `Table.all_keys`."""
        listed = await self._all(self._names.keys)
        keys: list[str] = []
        for at in range(0, len(listed), SOME):
            some = [key.decode() for key in listed[at : at + SOME]]
            owners = await self._owners(some)
            there = await self._there({owner for owner in owners if owner is not None})
            keys += [key for key, owner in zip(some, owners, strict=True) if owner in there]
        return keys

    async def all_ids(self) -> list[str]:
        """See `Table.all_ids`."""
        listed = await self._all(self._names.created)
        ids: list[str] = []
        for at in range(0, len(listed), SOME):
            some = [one.decode() for one in listed[at : at + SOME]]
            there = await self._there(set(some))
            ids += [one for one in some if one in there]
        return ids

    async def rows(self, session_ids: Sequence[str]) -> list[Row]:
        """See `Table.rows`."""

        async def look(client: Any) -> list[Any]:
            return await together([self._record(client, one) for one in session_ids])

        found = await self._client.ask(PLACE, look)
        rows: list[Row] = []
        for session_id, (stored, version, claims) in zip(session_ids, found, strict=True):
            if stored is None or version is None:
                await self._finish_end(session_id)
            elif claims is None or await self._is_called(session_id, claims.decode(), stored):
                rows.append(Row(session_id, msgspec.Raw(stored), version.decode()))
        return rows

    async def _is_called(self, session_id: str, key: str, stored: bytes) -> bool:
        """Return whether the key that a session claims names it by now.

        If not it is none yet: its maker is about to come to that, or was cut off before.
        """
        if (await self._owners([key]))[0] == session_id:
            return True
        # The clock decides only when to try: who comes back sees that it is gone.
        if time() * 1000 - times_of(msgspec.Raw(stored)).created_at > LEFT_MS:
            await self._take_back(session_id, key, stored)
        return False

    async def replace(self, changes: Sequence[Change], *, durable: bool) -> list[str]:
        """See `Table.replace`."""
        before = {row.session_id: row.stored for row in await self.rows([c[0] for c in changes])}

        async def put(client: Any) -> list[int]:
            return await together([self._replace(client, one, before) for one in changes])

        statuses = await self._client.ask(PLACE, put, changes=True)
        pairs = zip(changes, statuses, strict=True)
        return [change.session_id for change, status in pairs if status == scripts.CONFLICT]

    async def _replace(self, client: Any, change: Change, before: dict[str, Stored]) -> int:
        session_id, version, stored, times = change
        # First into the lists it belongs to: what stands in one too many is looked at again.
        await together(self._listing(client, session_id, before.get(session_id), stored, times))
        pair, data = self._names.pair(session_id), _encode(stored)
        status: int = await evaluate(client, scripts.REPLACE, pair, version, data)
        return status

    def _listing(
        self, client: Any, session_id: str, before: Stored | None, stored: Any, times: Times
    ) -> list[Any]:
        """Return the calls that list a session by its times and its user."""
        raw = msgspec.Raw(stored) if isinstance(stored, bytes) else stored
        user, old = _user(raw), None if before is None else _user(before)
        calls = [
            client.zadd(self._names.created, {session_id: times.created_at}),
            client.zadd(self._names.updated, {session_id: times.updated_at}),
        ]
        if user is not None:
            calls.append(client.zadd(self._names.user(user), {session_id: times.updated_at}))
        if old is not None and old != user:
            calls.append(client.zrem(self._names.user(old), session_id))
        return calls

    async def is_deleted(self, session_id: str) -> bool:
        """See `Table.is_deleted`."""
        place = f"{self._names.top(session_id)}:gone"
        return bool(await self._client.ask(PLACE, lambda client: client.exists(place)))

    async def delete(self, session_id: str) -> bool:
        """See `Table.delete`; the keys and the lists are told afterwards, by whoever finds it."""
        return await self._end(session_id)

    async def page(self, query: Query, before: Position | None, limit: int) -> list[Row]:
        """See `Table.page`; by user there is a list, where the order is that of changes."""
        if query.key_prefix is not None:
            return await self._page_by_key(query, query.key_prefix, before, limit)
        place = self._names.created if query.sort == "created" else self._names.updated
        for path, value in query.wanted:
            if path == ["userId"] and _is_name(value) and query.sort == "updated":
                place = self._names.user(value)
        rows: list[Row] = []
        while len(rows) < limit:
            at, session_id = ("", "") if before is None else (repr(before[0]), before[1])
            count = limit - len(rows)
            found = await self._client.run(
                PLACE, scripts.NEWEST, (place,), count, at, session_id, changes=False
            )
            ids = [one.decode() for one in found]
            some = {row.session_id: row for row in await self.rows(ids)}
            rows += [some[one] for one in ids if one in some]
            if len(ids) < count:
                break
            # Those behind it that have ended meanwhile are met once more, or are gone by then.
            last = next((one for one in reversed(ids) if one in some), ids[-1])
            before = await self._position(place, last, some.get(last), query) or before
        return rows

    async def _position(
        self, place: str, session_id: str, row: Row | None, query: Query
    ) -> Position | None:
        if row is not None:
            times = times_of(row.stored)
            at = times.created_at if query.sort == "created" else times.updated_at
            return at, session_id
        score = await self._client.ask(PLACE, lambda client: client.zscore(place, session_id))
        return None if score is None else (float(score), session_id)

    async def _page_by_key(
        self, query: Query, prefix: str, before: Position | None, limit: int
    ) -> list[Row]:
        """Return the page of those whose keys begin so: all of them are looked at."""
        if not _is_name(prefix) and prefix:
            return []
        first = prefix.encode()
        found = await self._client.ask(
            PLACE,
            lambda client: client.zrangebylex(
                self._names.keys, b"[" + first if first else b"-", b"(" + first + b"\xff"
            ),
        )
        ids: set[str] = set()
        for at in range(0, len(found), SOME):
            owners = await self._owners([key.decode() for key in found[at : at + SOME]])
            ids |= {owner for owner in owners if owner is not None}
        rows: list[tuple[Position, Row]] = []
        ordered = sorted(ids)
        for at in range(0, len(ordered), SOME):
            for row in await self.rows(ordered[at : at + SOME]):
                times = times_of(row.stored)
                time = times.created_at if query.sort == "created" else times.updated_at
                if before is None or (time, row.session_id) < tuple(before):
                    rows.append(((time, row.session_id), row))
        rows.sort(key=lambda pair: pair[0], reverse=True)
        return [row for _, row in rows[:limit]]

    async def _end(self, session_id: str) -> bool:
        pair, channel = self._names.pair(session_id), self._names.channel
        ended, listed, stored = await self._client.run(
            session_id, scripts.END, pair, session_id, channel
        )
        keys: list[str] = msgspec.json.decode(listed)
        if ended or keys or stored:
            await self._tell_all(session_id, keys, stored)
        return bool(ended)

    async def _finish_end(self, session_id: str) -> None:
        """Do for a session that ended what whoever ended it may not have come to."""
        place = f"{self._names.top(session_id)}:gone"
        owed = await self._client.ask(PLACE, lambda client: client.hget(place, "stored"))
        if owed:
            await self._end(session_id)

    async def _tell_all(self, session_id: str, keys: list[str], stored: bytes) -> None:
        freed = [key for key in keys if await self._point(key, session_id, "") == ""]
        if freed:
            await self._unlist_keys(freed)
        await self._unlist(session_id, stored)
        await self._client.run(PLACE, scripts.SWEPT, self._names.pair(session_id))

    async def _unlist(self, session_id: str, stored: bytes) -> None:
        places = [self._names.created, self._names.updated]
        user = _user(msgspec.Raw(stored)) if stored else None
        if user is not None:
            places.append(self._names.user(user))

        async def take_out(client: Any) -> None:
            await together([client.zrem(place, session_id) for place in places])
            await client.zrem(self._names.root, f"{session_id}/")

        await self._client.ask(PLACE, take_out, changes=True)

    async def _forget(self, session_id: str, key: str) -> None:
        place = f"{self._names.top(session_id)}:keys"
        await self._client.ask(PLACE, lambda client: client.zrem(place, key), changes=True)

    async def _point(self, key: str, owner: str, session_id: str) -> str:
        place = self._names.key(key)
        found = await self._client.run(PLACE, scripts.POINT, (place,), owner, session_id)
        return bytes(found).decode()

    async def _record(self, client: Any, session_id: str) -> Any:
        place = f"{self._names.top(session_id)}:session"
        return await client.hmget(place, "stored", "version", "claims")

    async def _is_there(self, session_id: str) -> bool:
        return bool(await self._there({session_id}))

    async def _there(self, session_ids: set[str]) -> set[str]:
        return {row.session_id for row in await self.rows(sorted(session_ids))}

    async def _owners(self, keys: list[str]) -> list[str | None]:
        async def look(client: Any) -> list[Any]:
            return await together([client.get(self._names.key(key)) for key in keys])

        found = await self._client.ask(PLACE, look)
        return [one.decode() if one else None for one in found]

    async def _all(self, place: str) -> list[bytes]:
        found: list[bytes] = await self._client.ask(
            PLACE, lambda client: client.zrange(place, 0, -1)
        )
        return found


def _encode(stored: Stored) -> bytes:
    return msgspec.json.encode(stored) if isinstance(stored, dict) else bytes(stored)


def _user(stored: Stored) -> str | None:
    user = fields_of(stored).get("userId")
    return user if _is_name(user) else None


def _is_name(value: Any) -> bool:
    """Return whether it can stand in the name of a key: half a surrogate pair cannot."""
    try:
        return isinstance(value, str) and bool(value.encode())
    except UnicodeEncodeError:
        return False


__all__ = ["RedisTable"]
