"""Sessions and keys in tables of PostgreSQL."""

from collections.abc import Sequence
from typing import Any, Final

import msgspec

from session_store.index.fields import Stored, Times, fields_of
from session_store.index.paging import Position, Query
from session_store.index.table import Change, Row, Table

from .connections import Connections
from .tables import PLACE_BYTES, USER_CHARACTERS

PLACE: Final = ""
"""The path that errors name: the index is no file."""


class PostgresTable(Table):
    """What `TableIndex` asks, each in one round trip."""

    def __init__(self, connections: Connections) -> None:
        self._connections = connections
        self._schema = connections.schema.name
        self._place = f"{self._schema}.place_of"
        self._is_key = f"{self._place}(key) = {self._place}($1)"

    async def prepare(self) -> None:
        """See `Table.prepare`; a connection does it when it is opened."""
        await self._fetch("SELECT 1")

    async def resolve(self, key: str) -> str | None:
        """See `Table.resolve`."""
        query = f"SELECT session FROM {self._schema}.session_key WHERE {self._is_key}"
        for row in await self._fetch(query, key.encode()):
            return str(row[0])
        return None

    async def register(
        self, session_id: str, key: str | None, stored: bytes, times: Times
    ) -> str | None:
        """See `Table.register`."""
        user_id, metadata = _indexed(msgspec.Raw(stored))
        [row] = await self._change(
            f"SELECT {self._schema}.register($1, $2, $3, $4, $5, $6, $7)",
            session_id,
            None if key is None else key.encode(),
            times.created_at,
            times.updated_at,
            user_id,
            metadata,
            stored.decode(),
        )
        return None if row[0] is None else str(row[0])

    async def add_key(self, key: str, session_id: str) -> bool:
        """See `Table.add_key`."""
        query = f"SELECT {self._schema}.add_key($1, $2)"
        [row] = await self._change(query, key.encode(), session_id)
        return bool(row[0])

    async def remove_key(self, key: str) -> bool:
        """See `Table.remove_key`."""
        query = f"DELETE FROM {self._schema}.session_key WHERE {self._is_key} RETURNING 1"
        return bool(await self._change(query, key.encode()))

    async def keys_of(self, session_id: str) -> list[str]:
        """See `Table.keys_of`."""
        query = f"SELECT key FROM {self._schema}.session_key WHERE session = $1 ORDER BY number"
        return [bytes(row[0]).decode() for row in await self._fetch(query, session_id)]

    async def all_keys(self) -> list[str]:
        """See `Table.all_keys`."""
        query = f"SELECT key FROM {self._schema}.session_key ORDER BY number"
        return [bytes(row[0]).decode() for row in await self._fetch(query)]

    async def all_ids(self) -> list[str]:
        """See `Table.all_ids`."""
        query = f"SELECT id FROM {self._schema}.session ORDER BY created, id"
        return [str(row[0]) for row in await self._fetch(query)]

    async def rows(self, session_ids: Sequence[str]) -> list[Row]:
        """See `Table.rows`."""
        query = f"SELECT id, version, stored FROM {self._schema}.session WHERE id = ANY ($1)"
        return [_row(row) for row in await self._fetch(query, list(session_ids))]

    async def replace(self, changes: Sequence[Change], *, durable: bool) -> list[str]:
        """See `Table.replace`."""
        s = self._schema
        columns: list[list[Any]] = [[], [], [], [], [], [], []]
        for session_id, version, stored, times in changes:
            user_id, metadata = _indexed(stored)
            values = (times.created_at, times.updated_at, user_id, metadata, _encode(stored))
            for column, value in zip(columns, (session_id, version, *values), strict=True):
                column.append(value)
        rows = await self._change(
            # In one order, so that two who do this at once do not wait for each other.
            f"WITH locked AS (SELECT id, version FROM {s}.session WHERE id = ANY ($1)"
            " ORDER BY id FOR UPDATE), given AS (SELECT * FROM unnest($1::text[], $2::bigint[],"
            " $3::float8[], $4::float8[], $5::text[], $6::text[], $7::text[])"
            " AS g (id, version, created, updated, user_id, metadata, stored)"
            # Till the end of this transaction: nobody waits for the disk.
            " WHERE $8 OR set_config('synchronous_commit', 'off', true) = 'off'), stored AS ("
            f" UPDATE {s}.session AS s SET version = s.version + 1, created = g.created,"
            " updated = g.updated, user_id = g.user_id, metadata = g.metadata::jsonb,"
            " stored = g.stored FROM given AS g, locked AS l"
            " WHERE s.id = g.id AND l.id = g.id AND l.version = g.version RETURNING s.id)"
            " SELECT id FROM locked WHERE id NOT IN (SELECT id FROM stored)",
            *columns,
            durable,
        )
        return [str(row[0]) for row in rows]

    async def is_deleted(self, session_id: str) -> bool:
        """See `Table.is_deleted`."""
        query = f"SELECT 1 FROM {self._schema}.deleted_session WHERE id = $1"
        return bool(await self._fetch(query, session_id))

    async def delete(self, session_id: str) -> bool:
        """See `Table.delete`."""
        query = f"SELECT {self._schema}.end_session($1)"
        [row] = await self._change(query, session_id, path=session_id)
        return bool(row[0])

    async def page(self, query: Query, before: Position | None, limit: int) -> list[Row]:
        """See `Table.page`; user, metadata and the beginning of a key have indexes."""
        terms: list[str] = []
        values: list[Any] = []

        def term(text: str, *given: Any) -> None:
            numbers = [f"${len(values) + place}" for place in range(1, len(given) + 1)]
            values.extend(given)
            terms.append(text.format(*numbers))

        if before is not None:
            term(f"({query.sort}, id) < ({{}}, {{}})", *before)
        for path, value in query.wanted:
            if path == ["userId"] and isinstance(value, str) and _fits(value):
                term("user_id = {}", value[:USER_CHARACTERS])
            elif path[0] == "metadata" and len(path) > 1:
                nested = None if value is None else _nested(path[1:], value)
                if _fits_json(nested):
                    # NULL with a metadata: one that jsonb cannot hold.
                    holds = "metadata @> {}::jsonb"
                    lacks = r"metadata IS NULL AND position($$\u0000$$ IN stored) > 0"
                    term(f"({holds} OR {lacks})", msgspec.json.encode(nested).decode())
        if query.key_prefix is not None and not _is_text(query.key_prefix):
            terms.append("false")
        elif query.key_prefix is not None:
            first = query.key_prefix.encode()
            low = first[:PLACE_BYTES]
            # No UTF-8 holds 0xff, and no hash is that long: it is behind all that begin so.
            keys = f"SELECT session FROM {self._schema}.session_key WHERE {self._place}(key)"
            begins = "substring(key FROM 1 FOR length({2}::bytea)) = {2}"
            term(
                f"id IN ({keys} >= {{0}} AND {self._place}(key) < {{1}} AND {begins})",
                low,
                low + b"\xff" * 33,
                first,
            )
        where = f"WHERE {' AND '.join(terms)}" if terms else ""
        values.append(limit)
        sql = (
            f"SELECT id, version, stored FROM {self._schema}.session {where}"
            f" ORDER BY {query.sort} DESC, id DESC LIMIT ${len(values)}"
        )
        return [_row(row) for row in await self._fetch(sql, *values)]

    async def _fetch(self, query: str, *values: Any) -> Sequence[Any]:
        return await self._connections.ask(PLACE, query, *values)

    async def _change(self, query: str, *values: Any, path: str = PLACE) -> Sequence[Any]:
        return await self._connections.ask(path, query, *values, changes=True)


def _row(row: Any) -> Row:
    return Row(row[0], msgspec.Raw(row[2].encode()), row[1])


def _encode(stored: Stored) -> str:
    data = msgspec.json.encode(stored) if isinstance(stored, dict) else bytes(stored)
    return data.decode()


def _indexed(stored: Stored) -> tuple[str | None, str | None]:
    """Return what there is an index for, as far as PostgreSQL can hold it."""
    fields = fields_of(stored)
    user_id, metadata = fields.get("userId"), fields.get("metadata")
    return (
        user_id[:USER_CHARACTERS] if isinstance(user_id, str) and _fits(user_id) else None,
        msgspec.json.encode(metadata).decode()
        if isinstance(metadata, dict) and _fits_json(metadata)
        else None,
    )


def _fits(text: str) -> bool:
    """Return whether it can be a text of PostgreSQL's."""
    return "\0" not in text and _is_text(text)


def _nested(path: Sequence[str], value: Any) -> Any:
    for name in reversed(path):
        value = {name: value}
    return value


def _fits_json(value: Any) -> bool:
    """Return whether it is a value that jsonb can hold; null equals what is not there."""
    if value is None:
        return False
    try:
        return b"\\u0000" not in msgspec.json.encode(value)
    except (TypeError, ValueError, OverflowError, RecursionError):
        return False


def _is_text(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


__all__ = ["PostgresTable"]
