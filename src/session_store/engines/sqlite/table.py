"""Sessions and keys in tables of the database."""

from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import apsw
import msgspec

from session_store.index.fields import Times
from session_store.index.paging import Position, Query
from session_store.index.table import Change, Row, Table

from . import blobs
from .access import Access

PLACE: Final = ""
"""The path that errors name: the index is no file."""
MANY: Final = 500
"""So many values stand in one statement."""

_RESOLVE: Final = "SELECT session FROM session_key WHERE key = ?"
_THERE: Final = "SELECT 1 FROM session WHERE id = ?"
_DELETED: Final = "SELECT 1 FROM deleted_session WHERE id = ?"


class SQLiteTable(Table):
    """What `TableIndex` asks, answered by SQL; every change is one transaction."""

    def __init__(self, access: Access) -> None:
        self._access = access

    async def prepare(self) -> None:
        """See `Table.prepare`; a connection does it when it is opened."""
        await self._access.look(PLACE, lambda _: None)

    async def resolve(self, key: str) -> str | None:
        """See `Table.resolve`."""
        return await self._access.look(PLACE, lambda db: _resolve(db, key))

    async def register(
        self, session_id: str, key: str | None, stored: bytes, times: Times
    ) -> str | None:
        """See `Table.register`."""

        def make(db: apsw.Connection) -> str | None:
            known = None if key is None else _resolve(db, key)
            if known is not None:
                return known
            if db.execute(_DELETED, (session_id,)).fetchone():
                return None
            values = (session_id, times.created_at, times.updated_at, stored.decode())
            db.execute(
                "INSERT OR IGNORE INTO session (id, created, updated, version, stored)"
                " VALUES (?, ?, ?, 0, ?)",
                values,
            )
            if key is not None:
                _point(db, key, session_id)
            return session_id

        return await self._access.change_durably(PLACE, make)

    async def add_key(self, key: str, session_id: str) -> bool:
        """See `Table.add_key`."""

        def add(db: apsw.Connection) -> bool:
            if not db.execute(_THERE, (session_id,)).fetchone():
                return False
            if _resolve(db, key) != session_id:
                _point(db, key, session_id)
            return True

        return await self._access.change_durably(PLACE, add)

    async def remove_key(self, key: str) -> bool:
        """See `Table.remove_key`."""

        def remove(db: apsw.Connection) -> bool:
            db.execute("DELETE FROM session_key WHERE key = ?", (key,))
            return db.changes() > 0

        return await self._access.change_durably(PLACE, remove)

    async def keys_of(self, session_id: str) -> list[str]:
        """See `Table.keys_of`."""
        query = "SELECT key FROM session_key WHERE session = ? ORDER BY number"
        return await self._column(query, session_id)

    async def all_keys(self) -> list[str]:
        """See `Table.all_keys`."""
        return await self._column("SELECT key FROM session_key ORDER BY number")

    async def all_ids(self) -> list[str]:
        """See `Table.all_ids`."""
        return await self._column("SELECT id FROM session ORDER BY created, id")

    async def rows(self, session_ids: Sequence[str]) -> list[Row]:
        """See `Table.rows`."""

        def look(db: apsw.Connection) -> list[Row]:
            found: list[Row] = []
            for at in range(0, len(session_ids), MANY):
                some = tuple(session_ids[at : at + MANY])
                marks = ",".join("?" * len(some))
                query = f"SELECT id, version, stored FROM session WHERE id IN ({marks})"
                found += _rows(db, query, some)
            return found

        return await self._access.read(PLACE, look)

    async def replace(self, changes: Sequence[Change], *, durable: bool) -> list[str]:
        """See `Table.replace`."""
        encoded = [bytes(change.stored).decode() for change in changes]

        def put(db: apsw.Connection) -> list[str]:
            left: list[str] = []
            for (session_id, version, _, times), stored in zip(changes, encoded, strict=True):
                db.execute(
                    "UPDATE session SET version = version + 1, created = ?, updated = ?, stored = ?"
                    " WHERE id = ? AND version = ?",
                    (times.created_at, times.updated_at, stored, session_id, version),
                )
                if not db.changes() and db.execute(_THERE, (session_id,)).fetchone():
                    left.append(session_id)
            return left

        change = self._access.change_durably if durable else self._access.change
        return await change(PLACE, put)

    async def is_deleted(self, session_id: str) -> bool:
        """See `Table.is_deleted`."""
        found = await self._column("SELECT id FROM deleted_session WHERE id = ?", session_id)
        return bool(found)

    async def delete(self, session_id: str) -> bool:
        """See `Table.delete`."""

        def end(db: apsw.Connection) -> bool:
            db.execute("DELETE FROM session WHERE id = ?", (session_id,))
            if not db.changes():
                return False
            db.execute("DELETE FROM session_key WHERE session = ?", (session_id,))
            db.execute("INSERT OR IGNORE INTO deleted_session VALUES (?)", (session_id,))
            blobs.remove_tree(db, session_id)
            return True

        return await self._access.change_durably(session_id, end)

    async def page(self, query: Query, before: Position | None, limit: int) -> list[Row]:
        """See `Table.page`; by user and by the beginning of a key there is an index."""
        where = _where(query, before)
        sql = (
            f"SELECT id, version, stored FROM session {where.text}"
            f" ORDER BY {query.sort} DESC, id DESC LIMIT ?"
        )
        values = (*where.values, limit)
        return await self._access.look(PLACE, lambda db: _rows(db, sql, values))

    async def _column(self, query: str, *values: str) -> list[str]:
        def look(db: apsw.Connection) -> list[str]:
            found: Any = db.execute(query, values).fetchall()
            return [value for (value,) in found]

        return await self._access.look(PLACE, look)


class _Where(NamedTuple):
    text: str
    values: tuple[Any, ...]


def _where(query: Query, before: Position | None) -> _Where:
    terms: list[str] = []
    values: list[Any] = []
    if before is not None:
        terms.append(f"({query.sort}, id) < (?, ?)")
        values += before
    for path, value in query.wanted:
        if path == ["userId"] and isinstance(value, str) and _is_text(value):
            terms.append("user_id = ?")
            values.append(value)
    if query.key_prefix is not None and not _is_text(query.key_prefix):
        terms.append("FALSE")
    elif query.key_prefix:
        # Not by `substr`: to SQLite's functions a text ends at U+0000.
        first, behind = query.key_prefix, _behind(query.key_prefix)
        until = "" if behind is None else " AND key < ?"
        terms.append(f"id IN (SELECT session FROM session_key WHERE key >= ?{until})")
        values += [first] if behind is None else [first, behind]
    elif query.key_prefix is not None:
        terms.append("id IN (SELECT session FROM session_key)")
    return _Where(f"WHERE {' AND '.join(terms)}" if terms else "", tuple(values))


def _behind(prefix: str) -> str | None:
    """Return the first text behind all that begin so, in the order of code points; None: none."""
    kept = prefix.rstrip("\U0010ffff")
    if not kept:
        return None
    after = ord(kept[-1]) + 1
    return kept[:-1] + chr(0xE000 if 0xD800 <= after < 0xE000 else after)


def _is_text(value: str) -> bool:
    """Return whether it can be stored at all: half a surrogate pair equals nothing."""
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


def _rows(db: apsw.Connection, query: str, values: tuple[Any, ...]) -> list[Row]:
    found: Any = db.execute(query, values).fetchall()
    return [Row(id_, msgspec.Raw(stored.encode()), version) for id_, version, stored in found]


def _resolve(db: apsw.Connection, key: str) -> str | None:
    row: Any = db.execute(_RESOLVE, (key,)).fetchone()
    return None if row is None else str(row[0])


def _point(db: apsw.Connection, key: str, session_id: str) -> None:
    # As the newest of its session, also if it named another before.
    db.execute("DELETE FROM session_key WHERE key = ?", (key,))
    db.execute("INSERT INTO session_key (key, session) VALUES (?, ?)", (key, session_id))


__all__ = ["SQLiteTable"]
