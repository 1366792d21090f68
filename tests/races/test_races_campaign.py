"""Thousands of schedules, each decided by its seed, and what finds them out when a rule is off."""

from collections.abc import Callable
from typing import Any

import pytest
from interleave import Process
from races_players import play

from session_store.errors import UnavailableError
from session_store.index.core import Core
from session_store.jsonl.file import JSONLFile
from session_store.jsonl.scanner import Scanner
from session_store.locks.lease import Lease
from session_store.locks.manager import LockManager
from session_store.store.branches import Branches
from session_store.store.engine import Engine
from session_store.store.logs import SessionLog
from session_store.store.messages import Appender
from session_store.store.replay import Nodes, Tail
from session_store.store.writer import Decision, LogFences, Writer

SCHEDULES = 3000

Patch = pytest.MonkeyPatch


@pytest.mark.parametrize("part", range(4))
def test_no_schedule_breaks_a_promise(part: int) -> None:
    for seed in range(part, SCHEDULES, 4):
        assert play(seed) == [], f"seed {seed}"


def test_the_same_seed_plays_the_same_schedule(monkeypatch: Patch) -> None:
    calls: list[list[str]] = [[], []]
    turn = Process._turn

    for noted in calls:

        async def note(self: Process, noted: list[str] = noted) -> None:
            noted.append(f"{self.world.step} {self.world.ids} {self.dead}")
            await turn(self)

        monkeypatch.setattr(Process, "_turn", note)
        play(11)

    assert calls[0] == calls[1] != []


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


def without_whole_batches(patch: Patch) -> None:
    """B1: a pending batch is shown as far as it came."""

    def place(self: Scanner[Any], offset: int, line: bytes, record: Any, found: list[Any]) -> None:
        found.append((offset, offset + len(line), record))

    patch.setattr(Scanner, "_place", place)


def without_the_journal_first(patch: Patch) -> None:
    """D1: the folder goes before the journal says so."""

    async def delete(self: Engine, session_id: str) -> None:
        await self._ready()
        await self._guard(session_id)
        await self._files.delete_tree(session_id)
        await self._index.delete(session_id)

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


def without_tips(patch: Patch) -> None:
    """D4: whoever hangs below a message of a branch is on that branch."""

    async def inherited(self: Appender, log: SessionLog, parent: str) -> str | None:
        found = await branch_of(self, log, parent)
        return found or log.tail.recent.get(parent)

    branch_of = Appender._branch_of
    patch.setattr(Appender, "_branch_of", inherited)


def without_deletions(patch: Patch) -> None:
    """D3: a branch that is created anew starts where the old one had come to."""

    def keeps(*_: object, **__: object) -> Any:
        async def decide(_log: SessionLog) -> Decision:
            return Decision((), ())

        return decide

    patch.setattr(Branches, "_deletion", keeps)


def without_fences(patch: Patch) -> None:
    """L2: a takeover leaves no trace in the log."""

    async def nowhere(*_: object, size: int, **__: object) -> int:
        return size

    patch.setattr(LogFences, "append_fence", nowhere)


def without_listening(patch: Patch) -> None:
    """L4: a holder reads past the fence of another."""
    patch.setattr(LockManager, "saw_fence", lambda *_: None)


def without_remembering(patch: Patch) -> None:
    """L4: a lost lease is only met, never checked."""
    patch.setattr(Lease, "lost", property(lambda _: False))


def without_the_index_precondition(patch: Patch) -> None:
    """I: a line of the journal may stand behind one that its writer has not read."""

    async def send(self: Core, path: str, data: bytes, _size: int) -> None:
        await self.files.append(path, data, if_size=(await self.files.stat(path)).size)

    patch.setattr(Core, "_send", send)


CONTROLS: list[tuple[Callable[[Patch], None], str]] = [
    (without_preconditions, "plain"),
    (without_a_second_look, "deletes"),
    (without_settling, "plain"),
    (without_resending, "plain"),
    (without_idempotence, "plain"),
    (without_a_post_check, "deletes"),
    (without_ending_tails, "plain"),
    (without_seals, "plain"),
    (without_whole_batches, "plain"),
    (without_the_journal_first, "deletes"),
    (without_cleaning_up, "all"),
    (without_hiding_parents, "deletes"),
    (without_heads, "branches"),
    (without_tips, "branches"),
    (without_deletions, "branches"),
    (without_fences, "locks"),
    (without_listening, "locks"),
    (without_remembering, "locks"),
    (without_the_index_precondition, "plain"),
]


@pytest.mark.parametrize(
    ("sabotage", "style"), CONTROLS, ids=[sabotage.__name__ for sabotage, _ in CONTROLS]
)
def test_the_campaign_finds_out_a_store(
    sabotage: Callable[[Patch], None], style: str, monkeypatch: Patch
) -> None:
    sabotage(monkeypatch)

    assert any(play(seed, style) for seed in range(SCHEDULES))
