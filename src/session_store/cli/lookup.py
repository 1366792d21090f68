"""From what a person typed to the session or the message that was meant."""

from collections.abc import Iterator
from difflib import get_close_matches
from itertools import islice
from typing import Final

from session_store.errors import InvalidKeyError
from session_store.model.records import SessionMetadata
from session_store.sync import SessionStore

from .failures import CommandError, not_found, usage

MIN_ENDING: Final = 4
LISTED_NAMES: Final = 8
NEAR_KEYS: Final = 20_000
"""So many keys are looked through for one like the unknown one."""


def each_session(store: SessionStore, sort: str = "created") -> Iterator[SessionMetadata]:
    """Yield all sessions, the newest first."""
    page = store.list_sessions(sort=sort, limit=1000)
    yield from page.sessions
    while page.after is not None:
        page = store.list_sessions(sort=sort, limit=1000, after=page.after)
        yield from page.sessions


def known_session(store: SessionStore, name: str) -> str | None:
    """Return the id of the session that a key, or else an id, names."""
    try:
        session_id = store.get_session_id(name)
    except InvalidKeyError:
        session_id = None
    if session_id is None and store.has_session(name):
        return name
    return session_id


def find_session(store: SessionStore, name: str) -> str:
    """Return the id of the session that a key, or else an id, names, or tell what is near."""
    session_id = known_session(store, name)
    if session_id is None:
        raise unknown_session(store, name)
    return session_id


def unknown_session(store: SessionStore, name: str) -> CommandError:
    """Return the error for a name that no session has."""
    keys = store.get_all_keys()[:NEAR_KEYS]
    near = get_close_matches(name, keys, 1)
    hint = f"did you mean {near[0]!r}?" if near else "`session-store ls` shows all"
    return not_found("session_not_found", f"there is no session {name!r}; {hint}")


def find_message(store: SessionStore, session_id: str, name: str) -> str:
    """Return the id of the message with that id, or whose id alone ends so."""
    if store.get_message(session_id, name) is not None:
        return name
    found: list[str] = []
    if len(name) >= MIN_ENDING:
        ends = (
            message.id for message in store.stream_messages(session_id) if message.id.endswith(name)
        )
        found = list(islice(ends, 2))
    if not found:
        raise not_found(
            "message_not_found",
            f"there is no message {name!r} in this session; "
            "`session-store tree KEY --ids` shows the ids",
        )
    if len(found) > 1:
        raise usage(f"more than one id ends in {name!r}: {found[0]}, {found[1]}; give all of it")
    return found[0]


def find_branch(store: SessionStore, session_id: str, name: str) -> None:
    """Raise unless there is such a branch, and tell what is near."""
    if store.get_branch(session_id, name) is not None:
        return
    names = [branch.name for branch in store.get_branches(session_id)]
    near = get_close_matches(name, names, 1)
    listed = ", ".join(names[:LISTED_NAMES]) or "it has none"
    hint = f"did you mean {near[0]!r}?" if near else f"branches: {listed}"
    raise not_found("branch_not_found", f"there is no branch {name!r}; {hint}")
