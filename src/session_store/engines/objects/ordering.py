"""Sessions in an order, on a service that knows one order only, that of the names.

Newest first by creation is that order. By change there is none: all sessions are read, as long
as they are few, and those that a listing shows as unchanged only once.
"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeAlias

from session_store.errors import ConfigError
from session_store.index.fields import SORTS, times_of
from session_store.index.paging import Position, Query
from session_store.index.table import Row

from .bucket import Listed, bare_tag, for_each
from .names import SESSIONS, session_name

MOST_SORTED: Final = 10_000
FEWEST: Final = 100

Lister: TypeAlias = Callable[[str, str, int | None], Awaitable[list[Listed]]]
Reader: TypeAlias = Callable[[str], Awaitable[Row | None]]


class Ordering:
    """Pages of sessions; remembers what it has read of up to `MOST_SORTED`."""

    def __init__(self, listed: Lister, read: Reader) -> None:
        self._listed = listed
        self._read = read
        self._seen: dict[str, tuple[str | None, Row]] = {}

    async def by_creation(self, query: Query, before: Position | None, limit: int) -> list[Row]:
        """Return up to `limit` sessions behind `before`: one listing, and a request for each."""
        after = "" if before is None else session_name(*before)
        rows: list[Row] = []
        while True:
            want = max(limit - len(rows), FEWEST if query.key_prefix is not None else 1)
            listed = await self._listed(SESSIONS, after, want)
            found = await for_each(self._read, [one.name for one in listed])
            rows += [row for row in found if row is not None and _has_key(row, query)]
            if len(rows) >= limit or len(listed) < want:
                return rows[:limit]
            after = listed[-1].name

    async def by_change(self, query: Query, before: Position | None, limit: int) -> list[Row]:
        """Return the same by the time of the last change, of no more than `MOST_SORTED`."""
        listed = await self._listed(SESSIONS, "", MOST_SORTED + 1)
        if len(listed) > MOST_SORTED:
            reason = (
                f"an object store lists by creation: with more than {MOST_SORTED:,} sessions "
                "ask for sort='created'"
            )
            raise ConfigError("sort", reason)
        found: list[tuple[Position, Row]] = []
        for row in await self._read_all(listed):
            position = getattr(times_of(row.stored), SORTS["updated"]), row.session_id
            if (before is None or position < before) and _has_key(row, query):
                found.append((position, row))
        found.sort(key=lambda one: one[0], reverse=True)
        return [row for _, row in found[:limit]]

    async def _read_all(self, listed: list[Listed]) -> list[Row]:
        seen, self._seen = self._seen, {}
        kept = {one.name: seen[one.name] for one in listed if one.name in seen}

        async def read(one: Listed) -> None:
            tag, _ = kept.get(one.name, (None, None))
            if tag is None or tag != one.tag:
                row = await self._read(one.name)
                kept.pop(one.name, None)
                if row is not None:
                    kept[one.name] = (bare_tag(row.version.version), row)

        await for_each(read, listed)
        self._seen = kept
        return [row for _, row in kept.values()]


def _has_key(row: Row, query: Query) -> bool:
    prefix = query.key_prefix
    return prefix is None or any(key.startswith(prefix) for key in row.version.keys)
