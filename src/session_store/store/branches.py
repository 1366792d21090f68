"""Named ways through the tree: created in `branches.jsonl`, moved and deleted in the log."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Any, Final, NamedTuple

from session_store.errors import (
    AppendUnknownError,
    BranchNotFoundError,
    FileSystemError,
    MessageNotFoundError,
    NotFoundError,
    SessionNotFoundError,
)
from session_store.files.filesystem import FileSystem
from session_store.jsonl.file import JSONLFile
from session_store.jsonl.lines import close_line
from session_store.jsonl.scanner import Damage, blur
from session_store.model.ids import check_branch_name
from session_store.model.records import Branch, Finding
from session_store.runtime import Runtime

from .log import SessionLog
from .reader import Reader
from .records import BRANCHES, BranchRecord, control_record, read_branch, write_branch
from .replay import Nodes, Tip
from .writer import Commit, Decide, Decision, Writer

PATH_LIMIT: Final = 1000


class Created(NamedTuple):
    """A record of `branches.jsonl`, where it stands, and where the next one does."""

    offset: int
    behind: int
    record: BranchRecord


class Branches:
    """The branches of a session."""

    def __init__(
        self,
        files: FileSystem,
        runtime: Runtime,
        writer: Writer,
        reader: Reader,
        commit: Commit,
    ) -> None:
        self._files = files
        self._runtime = runtime
        self._writer = writer
        self._reader = reader
        self._commit = commit

    def file(self, session_id: str) -> JSONLFile[BranchRecord]:
        """Return the file that holds what was created."""
        return JSONLFile(
            self._files, f"{session_id}/{BRANCHES}", encode=write_branch, decode=read_branch
        )

    async def create(self, session_id: str, name: str, leaf_id: str | None) -> Branch:
        """Name the way to `leaf_id` (None: the head); a name that exists is moved."""
        check_branch_name(name)
        file = self.file(session_id)
        async with self._reader.reading(session_id) as log:
            self._writer.locks.check(session_id)
            leaf = leaf_id if leaf_id is not None else await log.head()
            if leaf is None:
                raise MessageNotFoundError(session_id, "HEAD")
            # Also proves that the leaf is there.
            ids = [step.id for step in await self._reader.path(log, leaf, PATH_LIMIT + 1)]
            moved = await self._alive(log, name) is not None
            record = BranchRecord(
                name=name,
                leaf_message_id=leaf,
                created_at=self._runtime.now_ms(),
                path=ids if len(ids) <= PATH_LIMIT else [],
                log_size=log.size,
            )
            try:
                size = await file.append(record)
            except NotFoundError as error:
                raise SessionNotFoundError(session_id) from error
            try:
                # If it is gone this is told last, when nothing is left of the record either.
                with suppress(SessionNotFoundError):
                    if moved:
                        # After the record and durably so: else a crash would cost the branch.
                        await self._writer.commit(session_id, file.path, name)
                        begins = size - len(close_line(write_branch(record)))
                        await self._writer.land(log, self._deletion(name, created=begins))
                await self._writer.look_again(session_id)
            except FileSystemError as error:
                raise AppendUnknownError(session_id, name, str(error)) from error
        await self._writer.commit(session_id, log.path, name)
        await self._writer.commit(session_id, file.path, name)
        return Branch(
            name=name,
            leaf_message_id=leaf,
            created_at=record.created_at,
            path=record.path or [step.id for step in await self._full_path(session_id, leaf)],
        )

    async def _full_path(self, session_id: str, leaf: str) -> Sequence[Any]:
        return await self._reader.history(session_id, leaf, None)

    async def all(self, session_id: str) -> list[Branch]:
        """Return the branches in the order they were created, each with its newest tip."""
        async with self._reader.reading(session_id) as log:
            records = await self._records(session_id)
            if not records:
                return []
            nodes = await log.load(messages=False)
            found = (self._branch(nodes, created) for created in records.values())
            return [branch for branch in found if branch is not None]

    async def get(self, session_id: str, name: str) -> Branch | None:
        """Return the branch with its newest tip and the path to it, or None."""
        async with self._reader.reading(session_id) as log:
            return await self._alive(log, name)

    async def switch(self, session_id: str, name: str) -> str:
        """Make the branch's tip the head, and return the id of that message."""
        leaf: list[str] = []

        async def decide(log: SessionLog) -> Decision:
            branch = await self._alive(log, name)
            if branch is None:
                raise BranchNotFoundError(session_id, name)
            leaf[:] = [branch.leaf_message_id]
            if (log.tail.head, log.tail.branch) == (branch.leaf_message_id, name):
                return Decision((), ())
            record = control_record(
                self._runtime.new_id(),
                self._runtime.now_ms(),
                "head",
                messageId=branch.leaf_message_id,
                branch=name,
            )
            return Decision([record], [record])

        await self._writer.write(session_id, decide)
        return leaf[0]

    async def delete(self, session_id: str, name: str) -> None:
        """Forget the name; its messages stay."""

        async def decide(log: SessionLog) -> Decision:
            created = await self._created(log, name)
            if created is None:
                raise BranchNotFoundError(session_id, name)
            return await self._deletion(name, created.behind)(log)

        await self._writer.write(session_id, decide)

    def _deletion(self, name: str, created: int) -> Decide:
        """Return the decision that voids the first `created` bytes of a name's records."""

        async def decide(_log: SessionLog) -> Decision:
            record = control_record(
                self._runtime.new_id(),
                self._runtime.now_ms(),
                "branch_deleted",
                name=name,
                created=created,
            )
            return Decision([record], [record])

        return decide

    async def damage(self, session_id: str) -> list[Damage]:
        """Return what in `branches.jsonl` is no branch, or not quite what was written."""
        blurred: list[Damage] = []

        def read(line: bytes, offset: int) -> BranchRecord:
            record = read_branch(line, offset)
            blurred.extend(blur(offset, line))
            return record

        path = f"{session_id}/{BRANCHES}"
        file = JSONLFile(self._files, path, encode=write_branch, decode=read)
        await file.read_all()
        size = await file.size()
        torn = await file.torn_tail(size)
        reason = "a write that was cut off; the next branch to be created ends it"
        tail = [Damage("torn_tail", size - torn, torn, reason)] if torn else []
        return file.damage + blurred + tail

    async def findings(self, log: SessionLog, holds: Callable[[str], bool]) -> list[Finding]:
        """Return the branches that lead to a message which the log does not hold."""
        records = await self._records(log.session_id)
        return [
            Finding(
                severity="warning",
                code="lost_branch",
                path=f"{log.session_id}/{BRANCHES}",
                detail=f"branch {record.name!r} leads to a message that is missing",
            )
            for _, _, record in records.values()
            if not holds(record.leaf_message_id)
        ]

    async def _records(self, session_id: str) -> dict[str, Created]:
        """Return the newest record of each name, in the order the names were first created."""
        records: dict[str, Created] = {}
        async for offset, end, record in self.file(session_id).read_from(0):
            records[record.name] = Created(offset, end + 1, record)
        return records

    async def _alive(self, log: SessionLog, name: str) -> Branch | None:
        created = await self._created(log, name)
        return None if created is None else self._branch(await log.load(messages=False), created)

    async def _created(self, log: SessionLog, name: str) -> Created | None:
        """Return the record of a branch that is to be seen, or None."""
        created = (await self._records(log.session_id)).get(name)
        if created is None or self._branch(await log.load(messages=False), created) is None:
            return None
        return created

    @staticmethod
    def _branch(nodes: Nodes, created: Created) -> Branch | None:
        """Return the branch as it is now, or None if it was deleted or is hidden."""
        offset, _, record = created
        if offset < nodes.deleted.get(record.name, 0):
            return None
        tip = nodes.tips.get(record.name)
        leaf = record.leaf_message_id
        if tip is not None and _is_since(tip, record):
            leaf = tip.id
        if nodes.visible(leaf) is None:
            return None
        path = [nodes.ids[ordinal] for ordinal in nodes.path(leaf)]
        return Branch(
            name=record.name, leaf_message_id=leaf, created_at=record.created_at, path=path
        )


def _is_since(tip: Tip, record: BranchRecord) -> bool:
    """Return whether the tip was appended to the branch after it was created by `record`."""
    if record.log_size is not None:
        return tip.offset >= record.log_size
    # The original does not say where the log stood, but what came since began at the leaf.
    return tip.base == record.leaf_message_id
