"""The sessions of a store: their keys, what is known of them, and their end."""

from collections.abc import Mapping
from typing import Any

from msgspec.structs import replace

from session_store.errors import (
    FileSystemError,
    InvalidIdError,
    SessionNotFoundError,
    UnavailableError,
)
from session_store.index.manager import SessionPage
from session_store.model.config import check_budget
from session_store.model.ids import check_key
from session_store.model.metadata import check_changes
from session_store.model.records import (
    SessionMetadata,
)

from .log import SessionLog
from .opened import Opened
from .records import control_record
from .writer import Decision


class Catalogue(Opened):
    """The calls about sessions as a whole."""

    async def resolve(self, key: str) -> str:
        """Return the id of the session that `key` names; made if there is none.

        Of several processes that resolve a new key at once all get the same session.
        """
        if self._closed or not self._initialised:
            # Asked before, unlike elsewhere: a call less is a twentieth of finding a known key.
            await self._ready()
        check_key(key)
        # A journal is not asked for what it does not know at once: `register` looks as well.
        resolve_now = self._resolve_now
        known = resolve_now(key) if resolve_now else await self._index.resolve_key(key)
        if known is not None:
            return known
        now = self._runtime.now_ms()
        session_id = self._runtime.new_id()
        metadata = SessionMetadata(session_id=session_id, created_at=now, updated_at=now)
        return await self._index.register(session_id, key, metadata)

    async def delete_session(self, session_id: str) -> None:
        """Erase a session with its messages, branches and keys, for every process and for good.

        If it was broken off, doing it again removes what it left. Raises
        `SessionNotFoundError`, and `LeaseLostError` if this store lost its lock.
        """
        await self._ready()
        try:
            await self._guard(session_id)
        except SessionNotFoundError:
            # An earlier attempt may have got no further than the record of it.
            await self._writer.still_there(session_id)
            raise
        if not await self._index.delete(session_id):
            raise SessionNotFoundError(session_id)
        self._logs.drop(session_id)
        try:
            await self._files.delete_tree(session_id)
        except FileSystemError as error:
            reason = f"the delete is recorded, the folder could not be removed: {error}"
            raise UnavailableError(session_id, reason, unknown=True) from error

    async def delete_session_by_key(self, key: str) -> None:
        """Erase the session that `key` names, with all its keys."""
        await self.delete_session(await self._of_key(key))

    async def _of_key(self, key: str) -> str:
        session_id = await self.get_session_id(key)
        if session_id is None:
            raise SessionNotFoundError(key)
        return session_id

    async def _guard(self, session_id: str) -> None:
        """Raise unless the session is there and, if this store holds its lease, still does."""
        await self._reader.require(session_id)
        if self._locks.held(session_id) is not None:
            async with self._logs.using(session_id) as log:
                await log.refresh()
            self._locks.check(session_id)

    async def reset_session(self, session_id: str) -> None:
        """Hide everything up to here: the session goes on empty, under its id and its keys.

        Nothing is erased; `get_messages(…, include_reset=True)` shows it. `delete_session` erases.
        """
        await self._ready()

        async def decide(_log: SessionLog) -> Decision:
            record = control_record(self._runtime.new_id(), self._runtime.now_ms(), "reset")
            return Decision([record], [record])

        await self._writer.write(session_id, decide)

    async def has_session(self, session_id: str) -> bool:
        """Return whether there is such a session."""
        await self._ready()
        return await self._index.has(session_id)

    async def has_key(self, key: str) -> bool:
        """Return whether `key` names a session."""
        return await self.get_session_id(key) is not None

    async def get_session_id(self, key: str) -> str | None:
        """Return the id of the session that `key` names, or None; nothing is made."""
        await self._ready()
        check_key(key)
        return await self._index.resolve_key(key)

    async def get_session_keys(self, session_id: str) -> list[str]:
        """Return every key of a session."""
        await self._ready()
        return await self._index.keys_of(session_id)

    async def get_all_session_ids(self) -> list[str]:
        """Return the ids of all sessions; `list_sessions` gives them in pages."""
        await self._ready()
        return await self._index.all_ids()

    async def get_all_keys(self) -> list[str]:
        """Return every key of every session."""
        await self._ready()
        return await self._index.all_keys()

    async def add_key(self, key: str, session_id: str) -> None:
        """Let `key` name this session as well; a key of another session is moved here."""
        await self._ready()
        check_key(key)
        await self._index.add_key(key, session_id)

    async def remove_key(self, key: str) -> bool:
        """Take a key away, and return whether there was one; its session stays."""
        await self._ready()
        check_key(key)
        return await self._index.remove_key(key)

    async def get_metadata(self, session_id: str) -> SessionMetadata | None:
        """Return what is known of a session, counted exactly, or None if there is none."""
        await self._ready()
        metadata = await self._index.metadata(session_id)
        if metadata is None:
            return None
        try:
            return await self._exact(metadata)
        except SessionNotFoundError:
            return None
        except InvalidIdError:
            return metadata  # of a session whose log cannot be ours: as the original says

    async def get_metadata_by_key(self, key: str) -> SessionMetadata | None:
        """Return what is known of the session that `key` names, or None."""
        session_id = await self.get_session_id(key)
        return None if session_id is None else await self.get_metadata(session_id)

    async def _exact(self, metadata: SessionMetadata) -> SessionMetadata:
        """Return the metadata as the log itself tells it (I7)."""
        known = metadata.log
        async with self._reader.reading(metadata.session_id) as log:
            mark = await log.mark(known)
            last = log.tail.last_timestamp
        updated = metadata.updated_at
        if known is not None and mark.size > known.size and last <= self._runtime.now_ms():
            updated = max(updated, last)
        if mark != known:
            await self._index.note_count(metadata.session_id, mark)
        return replace(metadata, message_count=mark.messages, updated_at=updated, log=mark)

    async def update_metadata(self, session_id: str, changes: Mapping[str, Any]) -> SessionMetadata:
        """Replace the given fields and return the metadata as it is then.

        Yours to set are `user_id`, `token_estimate`, `model_overrides` and `metadata`.
        """
        await self._ready()
        checked = check_changes(changes)
        await self._guard(session_id)
        metadata = await self._index.update(session_id, checked)
        try:
            return await self._exact(metadata)
        except FileSystemError as error:
            reason = f"the change is recorded, the log could not be read: {error}"
            raise UnavailableError(error.path, reason, unknown=True) from error

    async def list_sessions(
        self,
        *,
        sort: str = "updated",
        where: Mapping[str, Any] | None = None,
        after: str | None = None,
        limit: int = 100,
    ) -> SessionPage:
        """Return a page of sessions, the newest by `updated` or `created` time first.

        `where` asks for equal fields (`{"user_id": "u1", "metadata.team": "blue"}`) and for a
        `key_prefix`. The page's `after` asks for the next page. By `updated` it is up to
        `index_save_delay_ms` behind other processes.
        """
        await self._ready()
        check_budget("limit", limit)
        return await self._index.page(sort=sort, where=where, after=after, limit=limit)
