"""How a line gets into a log: PROTOCOLS A1–A5, with the lease honoured and deletes seen.

Every append carries the size the log is known to have. If somebody was faster, the
difference is read and everything is decided again: the parent, the lease, the reset.
"""

from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Final, NamedTuple

from msgspec.structs import replace

from session_store.errors import (
    AppendUnknownError,
    ConflictError,
    FileSystemError,
    InvalidMessageError,
    NotFoundError,
    SessionNotFoundError,
    SessionStoreError,
    StorageFullError,
    UnavailableError,
)
from session_store.files.filesystem import FileSystem
from session_store.index.manager import SessionIndexManager
from session_store.jsonl.lines import close_line
from session_store.locks.manager import LockManager
from session_store.model.config import StoreConfig
from session_store.model.messages import encode_message
from session_store.model.records import LogMark, Message
from session_store.runtime import Runtime

from .log import SessionLog
from .logs import Logs
from .placing import Draft, place
from .records import MESSAGES, control_record
from .replay import Fence

COUNT_BYTES: Final = 1 << 20
RETRY_SECONDS: Final = 0.01

Commit = Callable[[str], Awaitable[None]]
Decide = Callable[[SessionLog], Awaitable["Decision"]]


class Decision(NamedTuple):
    """What to append, and what the caller gets for it; nothing to append is an answer too."""

    records: Sequence[Message]
    answer: Sequence[Message]


class Writer:
    """Appends records to the logs of sessions."""

    def __init__(
        self,
        files: FileSystem,
        runtime: Runtime,
        config: StoreConfig,
        index: SessionIndexManager,
        commit: Commit,
    ) -> None:
        self._files = files
        self._runtime = runtime
        self._config = config
        self._index = index
        self._commit = commit
        self.locks: LockManager
        self.logs = Logs(files, runtime, config.cache_max_bytes, self._saw_fence, self._lease_since)

    def _saw_fence(self, session_id: str, fence: Fence) -> None:
        self.locks.saw_fence(session_id, fence.offset, fence.nonce)

    def _lease_since(self, session_id: str) -> int | None:
        lease = self.locks.held(session_id)
        return None if lease is None else lease.since

    async def write(
        self, session_id: str, decide: Decide, *, guarded: bool = True
    ) -> Sequence[Message]:
        """Append what `decide` says, durable as the mode promises, and return its answer.

        `decide` sees the log as it is and is asked again whenever the log has grown before
        its records could land. With `guarded`, a lost lease raises `LeaseLostError`.
        """
        async with self.logs.using(session_id) as log:
            decision = await self.land(log, decide, guarded=guarded)
            if decision.records:
                await self._note(log)
        await self.commit(session_id, log.path, _last_id(decision))
        return decision.answer

    async def go_on(self, session_id: str, drafts: Sequence[Draft]) -> Sequence[Message] | None:
        """Append to a log that is known to its end, in one round trip; None if nothing was done.

        That is all that most appends need. Whatever is met besides, `write` decides.
        """
        async with self.logs.using(session_id) as log:
            lease = self.locks.held(session_id)
            if (lease is not None and lease.lost) or not log.goes_on():
                return None
            try:
                placed = place(drafts, log.tail, self._runtime, self._config.max_message_bytes)
                if placed is None:
                    return None
                messages, lines = placed
                last = messages[-1].id
                await self._send(log, b"".join(lines), last)
            except ConflictError:
                await self._look(log)
                return None
            except (UnicodeEncodeError, NotFoundError):
                return None
            for message, line in zip(messages, lines, strict=True):
                log.wrote_one(message, line)
            now, tail = self._runtime.now_ms(), log.tail
            if not self._index.landed_now(session_id, now, log.size, tail.count, last):
                await self._look_behind(session_id, last)
                await self._note(log)
        await self.commit(session_id, log.path, last)
        return messages

    async def finish(self, session_id: str, last: str, *, told: bool) -> None:
        """Do what is owed after an append by the short way, of which the index was `told` or not.

        Then the session is still there, and the message as durable as the mode promises.
        """
        if not told:
            async with self.logs.using(session_id) as log:
                await self._look_behind(session_id, last)
                await self._note(log)
        await self.commit(session_id, f"{session_id}/{MESSAGES}", last)

    async def commit(self, session_id: str, path: str, last: str) -> None:
        """Make a file of the session as durable as the mode promises; `last` was written to it."""
        try:
            await self._commit(path)
        except NotFoundError as error:
            if await self._index.has(session_id):
                raise AppendUnknownError(session_id, last, str(error)) from error
            raise SessionNotFoundError(session_id) from error
        except FileSystemError as error:
            raise AppendUnknownError(session_id, last, str(error)) from error

    async def land(self, log: SessionLog, decide: Decide, *, guarded: bool = True) -> Decision:
        """Append what `decide` says to a log that the caller has in use; nothing is synced."""
        deadline = self._runtime.monotonic() + self._config.io_timeout_ms / 1000
        late = False
        fresh = not log.opened
        if fresh:
            await self._look(log)
        while True:
            if guarded:
                self.locks.check(log.session_id)
            decision = await self._judge(log, decide, fresh)
            if decision is not None:
                if not decision.records:
                    return decision
                try:
                    return await self._append(log, decision)
                except ConflictError as conflict:
                    if late:
                        reason = "others append without a pause"
                        raise UnavailableError(log.path, reason) from conflict
                    # One more look: the time may have passed while this process was stopped,
                    # and then what it finds is not a crowd but perhaps a fence.
                    late = self._runtime.monotonic() > deadline
                except NotFoundError:
                    # Refused by the engine: the session was deleted, as this look will tell.
                    await self._look(log)
                    raise
            await self._look(log)
            fresh = True

    async def _look(self, log: SessionLog) -> None:
        await self._require(log.session_id)
        await log.refresh()

    @staticmethod
    async def _judge(log: SessionLog, decide: Decide, fresh: bool) -> Decision | None:
        """Return what to do; None if only an append could show that this log is not behind."""
        try:
            decision = await decide(log)
        except SessionStoreError:
            if fresh:
                raise
            return None
        return decision if decision.records or fresh else None

    async def _append(self, log: SessionLog, decision: Decision) -> Decision:
        records = decision.records
        first = not log.size
        if first:
            records = await self._with_key(log.session_id, records)
        lines = [self._line(record) for record in records]
        torn = log.torn
        data = log.file.sealed(log.size, torn) + b"".join(lines)
        size = await self._send(log, data, _last_id(decision))
        try:
            if torn:
                await log.catch_up(size)
            else:
                log.wrote(records, lines, size)
        except FileSystemError as error:
            # It stands there: nothing else may be said of it, least of all that it does not.
            raise AppendUnknownError(log.session_id, _last_id(decision), str(error)) from error
        await self._look_behind(log.session_id, _last_id(decision))
        if first:
            landed = {record.id: record for record in records}
            return Decision(records, [landed.get(said.id, said) for said in decision.answer])
        return decision

    async def _send(self, log: SessionLog, data: bytes, last: str) -> int:
        """Append and return the new size; a lost answer is settled by asking again (A2)."""
        deadline = self._runtime.monotonic() + self._config.io_timeout_ms / 1000
        unknown = False
        while True:
            try:
                return await self._files.append(log.path, data, if_size=log.size)
            except UnavailableError as error:
                unknown = unknown or error.unknown
                if not unknown:
                    raise
                if self._runtime.monotonic() > deadline:
                    raise AppendUnknownError(log.session_id, last, error.reason) from error
                await self._runtime.sleep(RETRY_SECONDS)
            except ConflictError:
                if unknown and await self._stands(log, data, last):
                    return log.size + len(data)
                raise
            except StorageFullError as error:
                # That is the answer to this attempt; the one before may have landed.
                if not unknown:
                    raise
                if await self._stands(log, data, last):
                    return log.size + len(data)
                raise AppendUnknownError(log.session_id, last, str(error)) from error

    async def _stands(self, log: SessionLog, data: bytes, last: str) -> bool:
        """Return whether it was this call that wrote: ids are unique, and so are these bytes."""
        try:
            return await self._files.read(log.path, log.size, log.size + len(data)) == data
        except NotFoundError:
            return False
        except FileSystemError as error:
            raise AppendUnknownError(log.session_id, last, str(error)) from error

    async def _with_key(self, session_id: str, records: Sequence[Message]) -> Sequence[Message]:
        keys = await self._index.keys_of(session_id)
        if not keys:
            return records
        return [replace(records[0], key=keys[0]), *records[1:]]

    def _line(self, record: Message) -> bytes:
        line = close_line(encode_message(record))
        if len(line) > self._config.max_message_bytes:
            raise InvalidMessageError(
                "",
                f"the message takes {len(line)} bytes; "
                f"at most {self._config.max_message_bytes} are allowed (max_message_bytes)",
            )
        return line

    async def _require(self, session_id: str) -> None:
        if not await self._index.has(session_id):
            self.logs.drop(session_id)
            raise SessionNotFoundError(session_id)

    async def _look_behind(self, session_id: str, last: str) -> None:
        """Do `look_again` after an append: whatever hinders it, `last` stands in the log."""
        try:
            await self.look_again(session_id)
        except FileSystemError as error:
            raise AppendUnknownError(session_id, last, str(error)) from error

    async def look_again(self, session_id: str) -> None:
        """Refuse, after a write, if the session was deleted before it (A4, D1)."""
        if not self._index.guards_files:
            await self.still_there(session_id)

    async def still_there(self, session_id: str) -> None:
        """Refuse if the session was deleted, and remove what a write may have left of it."""
        if await self._index.has(session_id):
            return
        if await self._index.is_deleted(session_id):
            # The write may have made the folder again.
            await self._files.delete_tree(session_id)
        self.logs.drop(session_id)
        raise SessionNotFoundError(session_id)

    async def _note(self, log: SessionLog) -> None:
        """Tell the index; what it is not told it counts again (I3)."""
        with suppress(FileSystemError):
            mark = await self._mark(log)
            await self._index.note_append(log.session_id, self._runtime.now_ms(), mark)

    async def _mark(self, log: SessionLog) -> LogMark | None:
        if log.tail.count is not None:
            return await log.mark(None)
        metadata = await self._index.metadata(log.session_id)
        base = metadata.log if metadata else None
        # Else counting would cost more than the append: who asks for the count counts.
        if log.settled - (base.size if base else 0) > COUNT_BYTES:
            return None
        return await log.mark(base)


class LogFences:
    """The fences of a session, for `LockManager`: lines of its log."""

    def __init__(self, writer: Writer, runtime: Runtime) -> None:
        self._writer = writer
        self._runtime = runtime

    async def position(self, session_id: str) -> tuple[int, int]:
        """Return the log's size now and the highest epoch of the fences met in it."""
        async with self._writer.logs.using(session_id) as log:
            await log.refresh()
            return log.size, log.tail.epoch

    async def append_fence(
        self, session_id: str, *, epoch: int, nonce: str, owner: str, size: int
    ) -> int | None:
        """Append a fence at `size` or behind; None if a foreign one of its epoch came first."""
        landed: list[int] = []

        async def decide(log: SessionLog) -> Decision:
            if log.tail.epoch >= epoch:
                return Decision((), ())
            landed[:] = [log.size]
            record = control_record(
                self._runtime.new_id(),
                self._runtime.now_ms(),
                "fence",
                epoch=epoch,
                nonce=nonce,
                owner=owner,
            )
            return Decision([record], [record])

        answer = await self._writer.write(session_id, decide, guarded=False)
        return landed[0] if answer else None


def _last_id(decision: Decision) -> str:
    return decision.answer[-1].id if decision.answer else ""
