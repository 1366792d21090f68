"""The engine: every operation of a store, as plain coroutines that know no event loop.

It waits only for its file system and its runtime, and starts nothing. The two faces,
`session_store.SessionStore` and `session_store.sync.SessionStore`, drive it.
"""

from collections.abc import AsyncGenerator, Coroutine, Mapping, Sequence
from contextlib import suppress
from typing import Any, TypeVar

from msgspec.structs import replace

from session_store.errors import (
    ClosedError,
    FileSystemError,
    InvalidIdError,
    LeaseLostError,
    LockTimeoutError,
    NotLockOwnerError,
    SessionNotFoundError,
    SessionStoreError,
)
from session_store.files.durability import Durability
from session_store.files.filesystem import Bindable, FileSystem
from session_store.index.journal import JournalIndex
from session_store.index.manager import SessionPage
from session_store.locks.manager import LockManager
from session_store.model.config import StoreConfig, check_budget
from session_store.model.context import TokenCounter
from session_store.model.ids import check_foreign_session_id, check_key
from session_store.model.messages import MessageLike
from session_store.model.metadata import check_changes
from session_store.model.records import (
    Branch,
    Lock,
    LockResult,
    Message,
    SessionMetadata,
)
from session_store.runtime import Runtime, on_fork

from .branches import Branches
from .checking import Checker, CheckReport
from .feed import Feed
from .logs import SessionLog
from .messages import Appender
from .reader import Reader
from .records import control_record
from .writer import Decision, LogFences, Writer

T = TypeVar("T")


class Engine:
    """All that a store does; see `session_store.SessionStore` for what each call promises."""

    def __init__(self, files: FileSystem, config: StoreConfig, runtime: Runtime) -> None:
        self._config = config
        self._files = files.bind(runtime) if isinstance(files, Bindable) else files
        self._runtime = runtime
        self._durability = Durability(self._files, config.durability, runtime)
        self._sync_failure: FileSystemError | None = None
        self._index = JournalIndex(
            self._files,
            runtime,
            commit=self._commit,
            recount=self._recount,
            save_delay_ms=config.index_save_delay_ms,
            io_timeout_ms=config.io_timeout_ms,
        )
        self._writer = Writer(self._files, runtime, config, self._index, self._commit)
        self._locks = LockManager(
            self._files,
            runtime,
            LogFences(self._writer, runtime),
            lock_timeout_ms=config.lock_timeout_ms,
            poll_interval_ms=config.poll_interval_ms,
        )
        self._writer.locks = self._locks
        self._logs = self._writer.logs
        self._reader = Reader(self._files, runtime, self._index, self._logs)
        self._appender = Appender(self._writer, self._reader, runtime, config)
        self._branches = Branches(self._files, runtime, self._writer, self._reader, self._commit)
        self._feed = Feed(self._files, runtime, self._reader, self._logs, config.poll_interval_ms)
        self._initialised = False
        self._closed = False
        self._opening = runtime.mutex()
        on_fork(self)

    def after_fork(self) -> None:
        """Let go, in the child, of what was read and of the locks of the parent's threads."""
        self._logs.clear()
        self._opening = self._runtime.mutex()

    async def init(self) -> None:
        """Open the store, or make it; also done by the first call that needs it."""
        if self._closed:
            raise ClosedError
        async with self._opening:
            if not self._initialised:
                await self._index.load()
                self._initialised = True

    async def _ready(self) -> None:
        """Raise `ClosedError` after `close`; open the store before its first use."""
        if self._closed or not self._initialised:
            await self.init()

    async def flush(self, *, snapshot: bool = False) -> None:
        """Make all that was done durable; with `snapshot`, readable by the original too."""
        await self._ready()
        await self._durability.flush()
        await self._index.flush(snapshot=snapshot)

    async def close(self) -> None:
        """Release what is locked, make everything durable, and let go of the files."""
        if self._closed:
            return
        try:
            if self._initialised:
                for session_id in self._locks.sessions_held():
                    await self._give_up(session_id)
                await self._durability.flush()
                await self._index.close()
        finally:
            self._closed = True
            await self._files.close()

    async def _give_up(self, session_id: str) -> None:
        lease = self._locks.held(session_id)
        if lease is not None:
            with suppress(LeaseLostError, NotLockOwnerError, SessionNotFoundError):
                await self._locking(session_id, self._locks.release(session_id, lease.owner))

    async def _commit(self, path: str) -> None:
        if self._sync_failure is not None:
            failure, self._sync_failure = self._sync_failure, None
            raise failure
        await self._durability.committed(path)

    async def _sync_dirty(self) -> None:
        """Sync what the mode `interval` has put off; the next append tells of a failure."""
        try:
            await self._durability.sync_dirty()
        except FileSystemError as error:
            self._sync_failure = error

    # Sessions and keys

    async def resolve(self, key: str) -> str:
        """Return the id of the session that `key` names; made if there is none.

        Of several processes that resolve a new key at once all get the same session.
        """
        await self._ready()
        check_key(key)
        known = await self._index.resolve_key(key)
        if known is not None:
            return known
        now = self._runtime.now_ms()
        session_id = self._runtime.new_id()
        metadata = SessionMetadata(session_id=session_id, created_at=now, updated_at=now)
        return await self._index.register(session_id, key, metadata)

    async def delete_session(self, session_id: str) -> None:
        """Erase a session with its messages, branches and keys, for every process and for good.

        Raises `SessionNotFoundError`, and `LeaseLostError` if this store lost its lock.
        """
        await self._ready()
        await self._guard(session_id)
        if not await self._index.delete(session_id):
            raise SessionNotFoundError(session_id)
        await self._files.delete_tree(session_id)
        self._logs.drop(session_id)

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

    async def _recount(self, session_id: str) -> SessionMetadata | None:
        """Return what the log of a session that has no record tells of it."""
        return await self._checker().describe(session_id)

    async def update_metadata(self, session_id: str, changes: Mapping[str, Any]) -> SessionMetadata:
        """Replace the given fields and return the metadata as it is then.

        Yours to set are `user_id`, `token_estimate`, `model_overrides` and `metadata`.
        """
        await self._ready()
        checked = check_changes(changes)
        await self._guard(session_id)
        return await self._exact(await self._index.update(session_id, checked))

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

    # Messages

    async def append(self, session_id: str, message: MessageLike) -> Message:
        """Add a message and return it as it is stored.

        Without `parent_id` it continues from the head, with None it starts a new root. With
        an `id` it can be repeated: an equal message that is there already is returned. It is
        as durable as the mode says, raises `UnknownParentError`, `DuplicateMessageError`,
        `InvalidMessageError` or `LeaseLostError` with nothing written, and
        `AppendUnknownError` when only a repetition with the same id can tell.
        """
        await self._ready()
        return (await self._appender.append(session_id, [message]))[0]

    async def append_many(self, session_id: str, messages: Sequence[MessageLike]) -> list[Message]:
        """Add messages, all or none even after a crash; each continues from the one before."""
        await self._ready()
        return await self._appender.append(session_id, messages)

    async def get_messages(self, session_id: str, *, include_reset: bool = False) -> list[Message]:
        """Return every message in the order of the log; `include_reset` shows hidden ones."""
        await self._ready()
        return await self._reader.messages(session_id, include_reset=include_reset)

    async def stream_messages(
        self, session_id: str, *, include_reset: bool = False
    ) -> AsyncGenerator[Message, None]:
        """Yield every message in the order of the log, in constant memory."""
        await self._ready()
        async for message in self._reader.stream(session_id, include_reset=include_reset):
            yield message

    async def get_message(self, session_id: str, message_id: str) -> Message | None:
        """Return one message, or None if there is none or a reset hides it."""
        await self._ready()
        return await self._reader.message(session_id, message_id)

    async def get_head(self, session_id: str) -> str | None:
        """Return the id of the message that the next one continues from, or None."""
        await self._ready()
        return await self._reader.head(session_id)

    async def get_linear_history(
        self, session_id: str, leaf_id: str | None = None, *, limit: int | None = None
    ) -> list[Message]:
        """Return the messages from the root to `leaf_id` (None: the head).

        With `limit` only the last so many, read from the end of the log.
        """
        await self._ready()
        return await self._reader.history(session_id, leaf_id, limit)

    async def get_context(
        self,
        session_id: str,
        leaf: str | None = None,
        *,
        max_tokens: int | None = None,
        max_messages: int | None = None,
        token_counter: TokenCounter | None = None,
    ) -> list[Message]:
        """Return what to send to a model: the way to `leaf` (None: the head), cut to the budget.

        It begins behind the last reset marker (with what that kept) or at the last
        `compaction` message, keeps system messages, drops the oldest first, and never parts
        a tool call from its results. Tokens are estimated unless `token_counter` counts.
        """
        await self._ready()
        return await self._reader.context(
            session_id,
            leaf,
            max_tokens=max_tokens,
            max_messages=max_messages,
            token_counter=token_counter,
        )

    async def get_children(self, session_id: str, message_id: str | None) -> list[Message]:
        """Return the answers to a message in the order of the log; None gives the roots."""
        await self._ready()
        return await self._reader.children(session_id, message_id)

    async def has_children(self, session_id: str, message_id: str) -> bool:
        """Return whether a message has answers."""
        return bool(await self.get_children(session_id, message_id))

    async def get_tree(self, session_id: str, root_message_id: str | None = None) -> list[Message]:
        """Return all that is below a message (None: everything), depth first."""
        await self._ready()
        return await self._reader.subtree(session_id, root_message_id)

    async def subscribe(
        self, session_id: str, *, after: str | None = None, durable: bool = False
    ) -> AsyncGenerator[Message, None]:
        """Yield the messages behind `after` (None: all), and then each new one, from any process.

        With `durable` only what a power cut cannot take back. Ends with
        `SessionNotFoundError` when the session is deleted.
        """
        await self._ready()
        async for message in self._feed.follow(session_id, after, durable):
            yield message

    # Branches

    async def create_branch(
        self, session_id: str, name: str, leaf_message_id: str | None = None
    ) -> Branch:
        """Name the way to a message (None: the head); a name that is there already is moved."""
        await self._ready()
        return await self._branches.create(session_id, name, leaf_message_id)

    async def get_branches(self, session_id: str) -> list[Branch]:
        """Return the branches in the order of their creation, each at its newest message."""
        await self._ready()
        return await self._branches.all(session_id)

    async def get_branch(self, session_id: str, name: str) -> Branch | None:
        """Return a branch at its newest message, or None if there is none of that name."""
        await self._ready()
        return await self._branches.get(session_id, name)

    async def switch_to_branch(self, session_id: str, name: str) -> str:
        """Continue from the newest message of a branch, and return the id of that message."""
        await self._ready()
        return await self._branches.switch(session_id, name)

    async def delete_branch(self, session_id: str, name: str) -> None:
        """Forget the name of a branch; its messages stay."""
        await self._ready()
        await self._branches.delete(session_id, name)

    # Locks

    async def acquire_lock(
        self,
        session_id: str,
        owner_id: str,
        *,
        wait: bool = False,
        timeout_ms: int | None = None,
    ) -> LockResult:
        """Try to become the one owner of a session, at once or with `wait`.

        The lock lasts `lock_timeout_ms`; the same owner refreshes it by acquiring it again.
        While this store holds it, what it writes to the session raises `LeaseLostError`
        once somebody else has taken it over.
        """
        await self._ready()
        await self._reader.require(session_id)
        if wait:
            taking = self._locks.wait(session_id, owner_id, timeout_ms=timeout_ms)
        else:
            taking = self._locks.acquire(session_id, owner_id)
        return await self._locking(session_id, taking)

    async def release_lock(self, session_id: str, owner_id: str) -> None:
        """Give a lock back.

        Raises `NotLockOwnerError` for another's, `LeaseLostError` for one taken over.
        """
        await self._ready()
        await self._locking(session_id, self._locks.release(session_id, owner_id))

    async def is_locked(self, session_id: str) -> bool:
        """Return whether somebody holds the lock of a session."""
        await self._ready()
        check_foreign_session_id(session_id)
        return await self._locks.is_locked(session_id)

    async def get_lock(self, session_id: str) -> Lock | None:
        """Return who holds the lock of a session, or None."""
        await self._ready()
        check_foreign_session_id(session_id)
        return await self._locks.get(session_id)

    async def force_release(self, session_id: str) -> None:
        """Take the lock from whoever holds it; what that owner still writes is refused."""
        await self._ready()
        await self._reader.require(session_id)
        await self._locking(session_id, self._locks.force_release(session_id))

    async def _locking(self, session_id: str, change: Coroutine[Any, Any, T]) -> T:
        """Return what a change of the lock gives; `SessionNotFoundError` if it came too late.

        Then nothing is left of it: `lock.json` makes the folder of a deleted session again.
        """
        try:
            result = await change
        except SessionStoreError:
            await self._writer.still_there(session_id)
            raise
        await self._writer.still_there(session_id)
        return result

    async def _renew(self, session_id: str) -> None:
        """Give the lease its whole life again, or raise `LeaseLostError`."""
        await self._locking(session_id, self._locks.renew(session_id))

    async def _hold(self, session_id: str, owner_id: str, timeout_ms: int | None) -> None:
        """Acquire the lock, waiting for it; raises `LockTimeoutError`."""
        result = await self.acquire_lock(session_id, owner_id, wait=True, timeout_ms=timeout_ms)
        if not result.acquired:
            holder = result.lock.owner_id if result.lock else ""
            raise LockTimeoutError(session_id, holder, timeout_ms or 0)

    async def _let_go(self, session_id: str, owner_id: str, error: BaseException | None) -> None:
        """Release the lock; that it was lost is news only if `error` did not say so.

        A session that was deleted has no lock any more, which is no news to who deleted it.
        """
        try:
            await self._locking(session_id, self._locks.release(session_id, owner_id))
        except SessionNotFoundError:
            pass
        except (LeaseLostError, NotLockOwnerError):
            if error is None:
                raise

    # The whole store

    async def check(self, *, repair_index: bool = False) -> CheckReport:
        """Verify every promise about what is stored, and return what was found.

        With `repair_index` the index is first rebuilt from its journals and the folders.
        """
        await self._ready()
        if repair_index:
            await self._index.rebuild()
        return await self._checker().check()

    def _checker(self) -> Checker:
        return Checker(self._files, self._runtime, self._index, self._logs, self._branches)
