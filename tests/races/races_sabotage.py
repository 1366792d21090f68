"""The rules of PROTOCOLS taken out, one by one, each as a patch of the store or of its files.

Shared by all who say that they would notice: the simulation, the suite of stores, the rooms.
"""

import os
from collections.abc import Callable
from typing import Any

import pytest
from msgspec.structs import replace

from session_store.errors import UnavailableError
from session_store.files import posix, replacement
from session_store.files.durability import Durability
from session_store.files.filesystem import ANY, FileStats, Page
from session_store.files.memory import InMemoryFileSystem
from session_store.index import access, journal, loading, rebuild, rotation
from session_store.index.core import Core
from session_store.index.journal import JournalIndex
from session_store.index.records import SNAPSHOT
from session_store.jsonl.file import JSONLFile
from session_store.jsonl.scanner import Scanner
from session_store.locks import disk as lock_disk
from session_store.locks import manager
from session_store.locks.decision import Silence, is_live
from session_store.locks.lease import Lease
from session_store.locks.manager import LockManager
from session_store.store.branches import Branches
from session_store.store.catalogue import Catalogue
from session_store.store.engine import Engine
from session_store.store.feed import Feed
from session_store.store.log import SessionLog
from session_store.store.messages import Appender
from session_store.store.replay import Nodes, Tail
from session_store.store.writer import Decision, LogFences, Writer
from session_store.testing.simulation import Disk, Process
from session_store.testing.simulation.truth import parse

Patch = pytest.MonkeyPatch
Sabotage = Callable[[Patch], None]


def without_preconditions(patch: Patch) -> None:
    """A1: a log is appended to wherever it ends by now."""
    append = Process.append

    async def anywhere(self: Process, path: str, data: bytes, *, if_size: int | None = None) -> int:
        ours = path.endswith("messages.jsonl")
        return await append(self, path, data, if_size=None if ours else if_size)

    patch.setattr(Process, "append", anywhere)


def without_a_second_look(patch: Patch) -> None:
    """A1: what others did before the call does not matter."""

    async def judge(log: SessionLog, decide: Any, _fresh: bool) -> Decision:
        decision: Decision = await decide(log)
        return decision

    patch.setattr(Writer, "_judge", staticmethod(judge))


def without_settling(patch: Patch) -> None:
    """A2: an append whose answer was lost is taken for one that never arrived."""

    async def no(*_: object) -> bool:
        return False

    patch.setattr(Writer, "_stands", no)


def without_resending(patch: Patch) -> None:
    """A2: an append whose answer was lost is taken for one that failed."""
    append = Process.append

    async def certain(self: Process, path: str, data: bytes, *, if_size: int | None = None) -> int:
        try:
            return await append(self, path, data, if_size=if_size)
        except UnavailableError as error:
            raise UnavailableError(path, error.reason) from error

    patch.setattr(Process, "append", certain)


def without_idempotence(patch: Patch) -> None:
    """A3: nobody looks whether an id is there already."""

    async def nothing(*_: object) -> None:
        return None

    patch.setattr(Appender, "_stored", nothing)


def with_hasty_idempotence(patch: Patch) -> None:
    """A3: whatever is there under an id is the answer."""
    patch.setattr("session_store.store.messages.same_message", lambda *_: True)


def without_a_sync_for_what_is_there(patch: Patch) -> None:
    """A3: what is there already is acknowledged as it is."""

    async def hasty(self: Writer, session_id: str, decide: Any, *, guarded: bool = True) -> Any:
        async with self.logs.using(session_id) as log:
            decision = await self.land(log, decide, guarded=guarded)
            if decision.records:
                await self._note(log)
        if decision.records:
            await self.commit(session_id, log.path, decision.answer[-1].id)
        return decision.answer

    patch.setattr(Writer, "write", hasty)


def without_a_post_check(patch: Patch) -> None:
    """A4, D1: an append does not look whether its session was deleted meanwhile."""

    async def there(*_: object) -> None:
        return None

    patch.setattr(Writer, "still_there", there)


def without_ending_tails(patch: Patch) -> None:
    """A5: a line is written right behind a torn tail."""
    patch.setattr(JSONLFile, "sealed", lambda *_: b"")


def without_seals(patch: Patch) -> None:
    """A5: a torn tail is ended, and nothing says that it is void."""
    patch.setattr(JSONLFile, "sealed", lambda _self, _size, torn: b"\n" if torn else b"")


def without_syncs(patch: Patch) -> None:
    """A6: an append is acknowledged before it is on the disk."""

    async def later(*_: object) -> None:
        return None

    patch.setattr(Writer, "commit", later)


def without_synced_names(patch: Patch) -> None:
    """A6: the bytes of a new log are synced, its name and its folder's are not."""
    sync = Process.sync

    async def bytes_only(self: Process, path: str) -> None:
        inode = self.disk.files.get(path)
        if inode is not None:
            self._named.add(inode)
        await sync(self, path)

    patch.setattr(Process, "sync", bytes_only)


def without_giving_up(patch: Patch) -> None:
    """A7: after a failed fsync the next one is believed."""

    async def believe(self: Process, path: str) -> None:
        await self._turn()
        inode = self.disk.find(path)
        if self.world.ambush and self._ambushed("fsync_fails"):
            self.disk.drop_pages(path)
            raise UnavailableError(path, "the disk failed")
        inode.synced = len(inode.data)
        self.disk.sync_folder(path.rpartition("/")[0])

    patch.setattr(Process, "sync", believe)


def without_whole_batches(patch: Patch) -> None:
    """B1: a pending batch is shown as far as it came."""

    def place(
        self: Scanner[Any], offset: int, line: bytes, record: Any, found: list[Any], *_: object
    ) -> None:
        found.append((offset, offset + len(line), record))

    patch.setattr(Scanner, "_place", place)


def without_marks_of_batches(patch: Patch) -> None:
    """B1: the lines of a batch do not say that they belong together."""
    line = Writer._line

    def plain(self: Writer, record: Any) -> bytes:
        return line(self, type(record)(**{**_fields(record), "batch": None}))

    patch.setattr(Writer, "_line", plain)


def _fields(record: Any) -> dict[str, Any]:
    return {name: getattr(record, name) for name in type(record).__struct_fields__}


def without_the_last_line(patch: Patch) -> None:
    """B1: a batch is acknowledged before its last line is written."""
    send = Writer._send

    async def early(self: Writer, log: SessionLog, data: bytes, last: str) -> int:
        lines = data.splitlines(keepends=True)
        if len(lines) > 1 and b'"batch"' in lines[-1]:
            await send(self, log, b"".join(lines[:-1]), last)
            return log.size + len(data)
        return await send(self, log, data, last)

    patch.setattr(Writer, "_send", early)


def without_the_index_precondition(patch: Patch) -> None:
    """I1: a line of the journal may stand behind one that its writer has not read."""

    async def send(self: Core, path: str, data: bytes, _size: int) -> None:
        await self.files.append(path, data, if_size=(await self.files.stat(path)).size)

    patch.setattr(Core, "_send", send)


def without_the_seal_first(patch: Patch) -> None:
    """I1: the snapshot is written before the journal is sealed."""

    async def rotate(core: Core) -> None:
        if core.broken:
            await rotation._replace_journal(core)
            return
        base, old = await rotation._based_on(core)
        epoch, size = await core.new_journal(rotation.BY_SEAL)
        await rotation._publish(core, base, old, epoch, size)
        await core.seal(epoch)
        await core.sync()
        await rotation._remove_journals(core, base.epoch)

    patch.setattr(access, "rotate", rotate)
    patch.setattr(rotation, "rotate", rotate)


def without_a_durable_seal(patch: Patch) -> None:
    """I1: the next journal is used before the seal that leads to it is on the disk."""

    async def last_only(self: Core) -> None:
        for path in list(self._unsynced)[-1:]:
            await self._commit(path)
        self._unsynced.clear()

    patch.setattr(Core, "settle", last_only)
    patch.setattr(Core, "sync", last_only)


def without_carried_deletes(patch: Patch) -> None:
    """I1: a rotation forgets the deletes whose folders are still there."""

    async def forget(*_: object) -> None:
        return None

    patch.setattr(rotation, "_carry_deletes", forget)


def without_synced_answers(patch: Patch) -> None:
    """I2: answers are given from a journal that a power cut can take back."""

    async def nothing(_self: Core) -> None:
        return None

    patch.setattr(Core, "settle", nothing)


def without_verified_counts(patch: Patch) -> None:
    """I3, I7: what was noted of a log is believed without a look at the log."""

    async def believed(self: Catalogue, metadata: Any) -> Any:
        return metadata

    patch.setattr(Catalogue, "_exact", believed)


def without_journals_in_a_rebuild(patch: Patch) -> None:
    """I4: a damaged snapshot is replaced by the one before it."""

    async def walk(core: Core, _root: Any, previous: bytes | None, base: Any) -> None:
        state = rebuild.decode_snapshot(previous).state if previous else rebuild.IndexState()
        core.reset(state, rebuild.Place(0, 0), base, broken=True)

    async def none(*_: object) -> list[Any]:
        return []

    patch.setattr(rebuild, "_walk", walk)
    patch.setattr(rebuild, "discover", none)


def without_the_turn_of_another(patch: Patch) -> None:
    """I5: our journal counts on top of whatever the original did since."""

    async def ours(*_: object) -> None:
        return None

    patch.setattr(loading, "_let_stand", ours)


def without_foreign_snapshots(patch: Patch) -> None:
    """I5: what the original wrote is taken for a snapshot of ours."""
    decode = loading.decode_snapshot
    patch.setattr(loading, "decode_snapshot", lambda data: decode(data)._replace(foreign=False))


def without_new_logs(patch: Patch) -> None:
    """I5: a log is taken for the one that was counted, as long as it is no shorter."""

    async def holds(self: SessionLog, mark: Any) -> bool:
        return bool(mark.size <= self.settled)

    patch.setattr(SessionLog, "holds", holds)


def without_a_snapshot_on_close(patch: Patch) -> None:
    """I6: the snapshot stays what it was."""

    async def nothing(_: Core) -> None:
        return None

    patch.setattr(access, "save", nothing)


def with_large_snapshots_on_close(patch: Patch) -> None:
    """I6: the snapshot is written on close, whatever it costs."""

    async def always(core: Core) -> None:
        assert core.base is not None
        await rotation.write_snapshot(core, core.base, core.place.epoch, core.place.offset)

    patch.setattr(access, "save", always)


def with_a_rotation_on_close(patch: Patch) -> None:
    """I6: every close begins another journal."""
    patch.setattr(access, "save", rotation.rotate)


def without_rotations(patch: Patch) -> None:
    """I6: a journal grows for ever."""
    patch.setattr(access, "outgrown", lambda *_: False)


def without_an_offload(patch: Patch) -> None:
    """I6: a snapshot is encoded where everybody waits for it."""

    async def inline(core: Core, base: Any, epoch: int, size: int) -> None:
        data = rotation.encode_snapshot(core.state, epoch, size, core.runtime.token())
        await core.files.write(SNAPSHOT, data, if_version=base.if_version)

    patch.setattr(rotation, "write_snapshot", inline)


def without_saying_that_it_lags(patch: Patch) -> None:
    """I6: `check` is silent on a snapshot that lags."""
    findings = JournalIndex.findings

    async def silent(self: JournalIndex) -> Any:
        return [found for found in await findings(self) if found.code != "snapshot_lags"]

    patch.setattr(JournalIndex, "findings", silent)


def without_an_order_by_creation(patch: Patch) -> None:
    """I7: whatever is asked for, the sessions changed last come first."""
    look = journal.look
    patch.setattr(
        journal,
        "look",
        lambda state, query, *rest: look(state, query._replace(sort="updated"), *rest),
    )


def without_the_journal_first(patch: Patch) -> None:
    """D1: the folder goes before the journal says so."""

    async def delete(self: Engine, session_id: str) -> None:
        await self._ready()
        await self._guard(session_id)
        await self._files.delete_tree(session_id)
        await self._index.delete(session_id)

    patch.setattr(Engine, "delete_session", delete)


def without_the_deletion(patch: Patch) -> None:
    """D1: the messages are removed, and no journal says so."""

    async def delete(self: Engine, session_id: str) -> None:
        await self._ready()
        await self._guard(session_id)
        await self._files.delete_tree(session_id)

    patch.setattr(Engine, "delete_session", delete)


def without_cleaning_up(patch: Patch) -> None:
    """D1: the lock of a deleted session is written without a look back."""

    async def only(_self: Engine, _session_id: str, change: Any) -> Any:
        return await change

    patch.setattr(Engine, "_locking", only)


def without_hiding_parents(patch: Patch) -> None:
    """D2: a parent before the reset is as good as any."""
    patch.setattr(Nodes, "visible", lambda self, message_id: self._ordinals.get(message_id))


def without_heads(patch: Patch) -> None:
    """D3: a switch in the log moves nobody's head."""
    control = Tail._control

    def deaf(self: Tail, offset: int, node: Any) -> Any:
        return None if node.control["kind"] == "head" else control(self, offset, node)

    patch.setattr(Tail, "_control", deaf)


def without_deletions(patch: Patch) -> None:
    """D3: a branch that is created anew starts where the old one had come to."""

    def keeps(*_: object, **__: object) -> Any:
        async def decide(_log: SessionLog) -> Decision:
            return Decision((), ())

        return decide

    patch.setattr(Branches, "_deletion", keeps)


def without_tips(patch: Patch) -> None:
    """D4: whoever hangs below a message of a branch is on that branch."""

    async def inherited(self: Appender, log: SessionLog, parent: str) -> str | None:
        found = await branch_of(self, log, parent)
        return found or (log.tail.branch_of(parent) if log.tail.met(parent) else None)

    branch_of = Appender._branch_of
    patch.setattr(Appender, "_branch_of", inherited)


def with_an_order_of_ids(patch: Patch) -> None:
    """D5: messages come in the order of their ids."""
    get_messages = Engine.get_messages

    async def ordered(self: Engine, session_id: str, **options: Any) -> Any:
        return sorted(await get_messages(self, session_id, **options), key=lambda one: one.id)

    patch.setattr(Engine, "get_messages", ordered)


def without_nonces(patch: Patch) -> None:
    """L1: whoever finds `lock.json` changed replaces it all the same."""

    async def swap(files: Any, session_id: str, lock: Any, _version: Any) -> str | None:
        stats: FileStats = await files.write(
            lock_disk.lock_path(session_id), lock_disk.encode(lock), durable=False
        )
        return stats.version

    patch.setattr("session_store.locks.manager.swap", swap)
    patch.setattr(Lease, "lost", property(lambda _: False))


def without_owners(patch: Patch) -> None:
    """L1: every lease is taken for an expired one."""
    patch.setattr(manager, "decide", lambda *_, **__: manager.Decision.TAKE)


def without_fences(patch: Patch) -> None:
    """L2: a takeover leaves no trace in the log."""

    async def nowhere(*_: object, size: int, **__: object) -> int:
        return size

    patch.setattr(LogFences, "append_fence", nowhere)


def without_a_fence_for_the_same_owner(patch: Patch) -> None:
    """L2, L3: a fence is left out although nobody has released."""
    patch.setattr(lock_disk.Found, "needs_fence", lambda _self, _size: False)


def without_listening(patch: Patch) -> None:
    """L4: a holder reads past the fence of another."""
    patch.setattr(LockManager, "saw_fence", lambda *_: None)


def without_remembering(patch: Patch) -> None:
    """L4: a lost lease is only met, never checked."""
    patch.setattr(Lease, "lost", property(lambda _: False))


def with_waiters_by_the_wall_clock(patch: Patch) -> None:
    """L5: a waiter believes the wall clock, which may jump."""

    def silent(self: LockManager, lock: Any, _silence: object) -> bool:
        return not is_live(lock, self._runtime.now_ms())

    patch.setattr(LockManager, "_is_silent", silent)


def without_signs_of_life(patch: Patch) -> None:
    """L5: a waiter takes no renewal for one."""
    is_full = Silence.is_full
    patch.setattr(
        Silence, "is_full", lambda self, lock, now: is_full(self, replace(lock, renewals=0), now)
    )


def without_expiry(patch: Patch) -> None:
    """L5: who does not wait never finds a lease expired."""
    silent = LockManager._is_silent
    patch.setattr(
        LockManager,
        "_is_silent",
        lambda self, lock, silence: silence is not None and silent(self, lock, silence),
    )


def without_compare_and_swap(patch: Patch) -> None:
    """C1: a file is replaced whatever stands there."""
    replace = Disk.replace

    def blindly(self: Disk, path: str, data: bytes, _if_version: Any, synced: bool) -> FileStats:
        return replace(self, path, data, ANY, synced)

    patch.setattr(Disk, "replace", blindly)


def without_synced_drafts(patch: Patch) -> None:
    """C1: a file gets its name before its bytes are on the disk."""
    replace = Disk.replace

    def early(self: Disk, path: str, data: bytes, if_version: Any, _synced: bool) -> FileStats:
        return replace(self, path, data, if_version, False)

    patch.setattr(Disk, "replace", early)


def with_a_tidy_copy(patch: Patch) -> None:
    """M1: a log that moves to another inode leaves its damage behind."""
    copy = replacement._copy

    def tidy(source: Any, target: Any) -> None:
        copy(source, target)
        data = posix.read_range(target.fd, 0, 1 << 20)
        os.ftruncate(target.fd, 0)
        posix.write_all(target.fd, b"".join(filter(parse, data.splitlines(keepends=True))))

    patch.setattr(replacement, "_copy", tidy)


def with_counted_pages(patch: Patch) -> None:
    """M1: a page begins behind as many names as were given, whatever has gone since."""

    async def page(
        self: InMemoryFileSystem, path: str, *, after: str = "", limit: int = 1000
    ) -> Page:
        names, start = sorted(self._names_in(path)), int(after or 0)
        end = start + limit
        return Page(names[start:end], after=str(end) if end < len(names) else None)

    patch.setattr(InMemoryFileSystem, "list", page)


def without_waiting_for_the_sync(patch: Patch) -> None:
    """M2: a subscriber is shown at once what it was to be shown when it lasts."""
    follow = Feed.follow
    patch.setattr(
        Feed, "follow", lambda self, session, after, _: follow(self, session, after, False)
    )


def without_a_durable_session(patch: Patch) -> None:
    """M2: a subscriber is shown durable messages of a session that is not."""

    async def nothing(_: JournalIndex) -> None:
        return None

    patch.setattr(JournalIndex, "sync", nothing)


def with_one_mode(patch: Patch) -> None:
    """A6: every mode is taken for `os`."""

    async def later(*_: object) -> None:
        return None

    patch.setattr(Durability, "committed", later)
