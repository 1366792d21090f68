"""Listing sessions: which ones, in which order, and where the next page begins.

Pure. A cursor names the last session looked at by its time and its id; so it stays good while
others come and go.
"""

import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final, NamedTuple

from session_store.errors import ConfigError
from session_store.model.records import SessionMetadata

from .fields import SORTS, Stored, fields_of, number, to_metadata
from .state import IndexState

SLICE: Final = 10_000

_FIELDS: Final = {
    "session_id": "sessionId",
    "created_at": "createdAt",
    "updated_at": "updatedAt",
    "message_count": "messageCount",
    "user_id": "userId",
    "token_estimate": "tokenEstimate",
    "model_overrides": "modelOverrides",
    "metadata": "metadata",
}

Position = tuple[float, str]


class Query(NamedTuple):
    """What a listing asks for: an order, values at paths of fields, the start of a key."""

    sort: str
    wanted: list[tuple[list[str], Any]]
    key_prefix: str | None


class Found(NamedTuple):
    """What some of the sessions gave, the last one looked at, and whether it was the oldest."""

    sessions: list[SessionMetadata]
    position: Position | None
    done: bool


def make_query(sort: str, where: Mapping[str, Any] | None) -> Query:
    """Return what is asked for, or raise `ConfigError` for a name that does not exist."""
    if sort not in SORTS:
        raise ConfigError("sort", f"{sort!r} is none of {', '.join(map(repr, SORTS))}")
    wanted: list[tuple[list[str], Any]] = []
    prefix: str | None = None
    for name, value in (where or {}).items():
        head, *path = str(name).split(".")
        if name == "key_prefix":
            if not isinstance(value, str):
                raise ConfigError("where", f"key_prefix must be a str, not {value!r}")
            prefix = value
        elif head in _FIELDS and (not path or head in {"metadata", "model_overrides"}):
            wanted.append(([_FIELDS[head], *path], value))
        else:
            known = ", ".join([*_FIELDS, "metadata.<path>", "key_prefix"])
            raise ConfigError("where", f"there is no field {name!r}; there are {known}")
    return Query(sort, wanted, prefix)


def look(state: IndexState, query: Query, before: Position | None, limit: int) -> Found:
    """Return up to `limit` sessions that match, of the next `SLICE` behind `before`."""
    found: list[SessionMetadata] = []
    position = before
    entries = state.order(query.sort).newest_first(before)
    for position in islice(entries, SLICE):
        session_id = position[1]
        if _matches(state, session_id, query):
            found.append(to_metadata(session_id, state.sessions[session_id]))
            if len(found) == limit:
                break
    return Found(found, position, next(entries, None) is None)


def _matches(state: IndexState, session_id: str, query: Query) -> bool:
    prefix = query.key_prefix
    if prefix is not None and not any(key.startswith(prefix) for key in state.keys_of(session_id)):
        return False
    return matches(session_id, state.sessions[session_id], query)


def matches(session_id: str, stored: Stored, query: Query) -> bool:
    """Return whether the session has the values that are asked for."""
    if not query.wanted:
        return True
    fields = {**fields_of(stored), "sessionId": session_id}
    return all(_same(_at(fields, path), value) for path, value in query.wanted)


def _at(fields: Any, path: list[str]) -> Any:
    for name in path:
        if not isinstance(fields, Mapping):
            return None
        fields = fields.get(name)
    return fields


def _same(one: Any, other: Any) -> bool:
    # In JSON, unlike in Python, true is not 1.
    return one == other and isinstance(one, bool) == isinstance(other, bool)


def to_cursor(sort: str, position: Position) -> str:
    """Return the position as text that means nothing to anybody else."""
    text = json.dumps([sort, *position], separators=(",", ":"))
    return urlsafe_b64encode(text.encode()).decode().rstrip("=")


def from_cursor(sort: str, cursor: str | None) -> Position | None:
    """Return the position that a cursor of this order names, or raise `ConfigError`."""
    if cursor is None:
        return None
    try:
        text = urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
        found, time, session_id = json.loads(text)
    except (ValueError, TypeError):
        raise ConfigError("after", "it is no cursor of an earlier page") from None
    if number(time) != time or not isinstance(session_id, str):
        raise ConfigError("after", "it is no cursor of an earlier page")
    if found != sort:
        raise ConfigError("after", f"it is the cursor of a page sorted by {found!r}")
    return time, session_id
