"""What an index asks of an engine's table: a dozen questions, and what goes in and out with them.

Without it each engine would have to know how a store counts, merges and lists.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple, Protocol

from .fields import Stored, Times
from .paging import Position, Query


class Row(NamedTuple):
    """What a table holds of a session; `version` is opaque, and changes with what is stored."""

    session_id: str
    stored: Stored
    version: Any


class Change(NamedTuple):
    """What is to be stored of a session in the place of `version`, and when it was made."""

    session_id: str
    version: Any
    stored: Stored
    times: Times


class Table(Protocol):
    """Sessions and keys as an engine keeps them; a change is one step, durable when it returns."""

    async def prepare(self) -> None:
        """Make what is missing, once, whoever else does the same; see that it is of this version.

        Raises `ConfigError` if it is newer than this release, or of something else.
        """
        ...

    async def resolve(self, key: str) -> str | None:
        """Return the session that `key` names, or None."""
        ...

    async def register(
        self, session_id: str, key: str | None, stored: bytes, times: Times
    ) -> str | None:
        """Make the session unless `key` names one, or it is there; return which `key` names now.

        None if a session of this id was deleted; then nothing is made.
        """
        ...

    async def add_key(self, key: str, session_id: str) -> bool:
        """Let `key` name the session, and return whether there is one."""
        ...

    async def remove_key(self, key: str) -> bool:
        """Take `key` away, and return whether it named a session."""
        ...

    async def keys_of(self, session_id: str) -> list[str]:
        """Return the keys that name the session, the oldest first."""
        ...

    async def all_keys(self) -> list[str]:
        """Return every key that names a session."""
        ...

    async def all_ids(self) -> list[str]:
        """Return the id of every session."""
        ...

    async def rows(self, session_ids: Sequence[str]) -> list[Row]:
        """Return what is stored of these sessions; those that are not there are left out."""
        ...

    async def replace(self, changes: Sequence[Change], *, durable: bool) -> list[str]:
        """Store what stands in the place of the versions given; return whose was another.

        What concerns a session that is not there any more is left out, and not returned. What
        need not be `durable` can be counted again.
        """
        ...

    async def is_deleted(self, session_id: str) -> bool:
        """Return whether a session of this id was deleted."""
        ...

    async def delete(self, session_id: str) -> bool:
        """End a session, its keys and its folder in one step; return whether there was one."""
        ...

    async def page(self, query: Query, before: Position | None, limit: int) -> list[Row]:
        """Return up to `limit` sessions by the order of the query, newest first, behind `before`.

        All have a key with the query's prefix, if it has one. Of the values that are asked for
        a table may use what it has an index for; all are looked at again.
        """
        ...


__all__ = ["Change", "Row", "Table"]
