"""The contract of an index: which key names which session, and what is known of each.

An engine that can answer these questions by itself (SQL, Redis) implements this protocol;
nothing in it assumes that all sessions fit into the memory of one process.
"""

from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Protocol, TypeAlias, runtime_checkable

import msgspec

from session_store.model.records import Finding, LogMark, SessionMetadata
from session_store.runtime import Runtime

Recount: TypeAlias = Callable[[str], Awaitable[SessionMetadata | None]]
"""What tells of a session by its log alone; None if there is no log."""


class SessionPage(msgspec.Struct, frozen=True):
    """Some sessions; `after` is the cursor of the next page, None when this is the last."""

    sessions: list[SessionMetadata]
    after: str | None = None


class SessionIndexManager(Protocol):
    """Keys, sessions and their metadata, shared by every process of a store.

    Every answer holds what other processes were answered before the call began.
    """

    guards_files: bool
    """Whether a session and its folder end in one step, at `delete`.

    Then no file is found there any more, and an `append` or a `write` to one, whatever its
    precondition, is refused by the file system itself with `NotFoundError`. Where this is not
    so, the store looks into the index after each of them.
    """

    async def load(self) -> None:
        """Open the index, or make it; one that is healthy is not written to."""
        ...

    async def close(self) -> None:
        """Write down what is noted; later calls raise `ClosedError`."""
        ...

    async def flush(self, *, snapshot: bool = False) -> None:
        """Make everything noted durable; with `snapshot`, readable by the original as well."""
        ...

    async def refresh(self) -> None:
        """Take in what other processes did."""
        ...

    async def sync(self) -> None:
        """Return when all that is known survives a power cut, whatever the store's mode says."""
        ...

    async def findings(self) -> list[Finding]:
        """Return what is not as it should be."""
        ...

    async def rebuild(self) -> None:
        """Take in, as sessions, the folders with messages that the index has lost."""
        ...

    async def resolve_key(self, key: str) -> str | None:
        """Return the id of the session that `key` names, or None."""
        ...

    async def register(self, session_id: str, key: str | None, metadata: SessionMetadata) -> str:
        """Make a session, durably, and return its id.

        If `key` names a session already, that one's id is returned and nothing is made: of
        several racing callers all get the same. The id of a deleted session is refused with
        `InvalidIdError`.
        """
        ...

    async def add_key(self, key: str, session_id: str) -> None:
        """Let `key` name the session, durably; if it named another it is moved.

        Raises `SessionNotFoundError`.
        """
        ...

    async def remove_key(self, key: str) -> bool:
        """Take `key` away, durably, and return whether it named a session."""
        ...

    async def keys_of(self, session_id: str) -> list[str]:
        """Return the keys that name the session; none if there is no such session."""
        ...

    async def all_keys(self) -> list[str]:
        """Return every key that names a session."""
        ...

    async def all_ids(self) -> list[str]:
        """Return the id of every session."""
        ...

    async def has(self, session_id: str) -> bool:
        """Return whether there is such a session."""
        ...

    async def is_deleted(self, session_id: str) -> bool:
        """Return whether a delete of this id is on record; long ago ones may be forgotten."""
        ...

    async def delete(self, session_id: str) -> bool:
        """Take a session and its keys away, durably, and return whether there was one.

        Its folder is the caller's to remove, afterwards (`guards_files`: what is left of it).
        """
        ...

    async def metadata(self, session_id: str) -> SessionMetadata | None:
        """Return what is on record of the session, or None if there is none."""
        ...

    async def fields(self, session_id: str) -> dict[str, Any] | None:
        """Return all that is stored of the session, by the names on disk; None if there is none.

        Also what this release does not know: who moves a session takes it along.
        """
        ...

    async def update(self, session_id: str, changes: Mapping[str, Any]) -> SessionMetadata:
        """Replace the given fields (as spelled on disk), durably; None takes one away.

        Returns the metadata as it is then. Raises `SessionNotFoundError`.
        """
        ...

    async def note_append(
        self, session_id: str, updated_at: int | float, mark: LogMark | None
    ) -> None:
        """Note that the session's log grew; what is noted may be lost and counted again.

        The later time and the larger count win over what others note.
        """
        ...

    async def note_count(self, session_id: str, mark: LogMark) -> None:
        """Note that the log was counted anew, whatever was noted before."""
        ...

    def landed_now(
        self, session_id: str, now_ms: int, size: int, count: int | None, last_id: str
    ) -> bool:
        """Note an append by a plain call, so that the log has `size` bytes and ends in `last_id`.

        True says that it is noted, and the session was there after the append. False says nothing
        about why: look whether it is there, and use `note_append`.
        """
        return False

    async def page(
        self,
        *,
        sort: str = "updated",
        where: Mapping[str, Any] | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> SessionPage:
        """Return up to `limit` sessions, the newest by `updated` or `created` time first.

        `where` asks for equal values of metadata fields (`user_id`, `metadata.team`) and for a
        `key_prefix`. Paging by `created` shows every session that was there throughout exactly
        once. An unknown name, sort or cursor raises `ConfigError`.
        """
        ...


@runtime_checkable
class OwnIndex(Protocol):
    """A file system that keeps the index of the sessions on it by itself."""

    def session_index(
        self, runtime: Runtime, *, recount: Recount, save_delay_ms: int
    ) -> SessionIndexManager:
        """Return the index of the sessions whose folders lie in the root of these files.

        What is noted of appends may wait for `save_delay_ms`.
        """
        ...


__all__ = ["OwnIndex", "Recount", "SessionIndexManager", "SessionPage"]
