"""SQLite's loop: the n-th call of the seam fails, for every n, and what is left is judged.

A shot is one operation with one fault at one call. It is judged by what the same operation
does undisturbed, once and twice: every outcome must be one of these, and the error must say
which.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from nth_cases import CASES, Face
from nth_world import (
    LATER_MS,
    WORLDS,
    Disk,
    World,
    open_engine,
    open_store,
    said,
    shown,
    trouble,
)

from session_store import AppendUnknownError, Session, SessionStoreError
from session_store.files.filesystem import FileSystem
from session_store.index.manager import SessionPage
from session_store.model.records import Branch, Lock, LockResult, Message, SessionMetadata
from session_store.runtime import run
from session_store.store.checking import CheckReport
from session_store.sync import Session as BlockingSession
from session_store.testing import faults
from session_store.testing.faults import Fault, FaultyFileSystem, raising, torn

MOST_CALLS = 2_000
BY_HANDLE = " by handle"
MOST_KNOWN = 5_000

BOTH = (
    faults.refused,
    faults.full,
    faults.lost_call,
    faults.lost_answer,
    torn(0.0),
    torn(0.5),
    torn(1.0),
    faults.conflicting,
    faults.vanished,
    raising(MemoryError),
)
FAULTS: dict[str, tuple[Fault, ...]] = {
    "blocking": (*BOTH, raising(KeyboardInterrupt), raising(KeyboardInterrupt, after=True)),
    "async": (*BOTH, faults.cancelled, faults.cancelled_after),
}
LASTING = {fault.name for fault in BOTH} - {"vanished", "MemoryError"}
"""What may also go on until somebody mends it."""

TORN = frozenset({"torn_tail", "torn_batch", "pending_batch"})

HANDLE = {
    "get_messages": "messages",
    "get_linear_history": "history",
    "get_context": "context",
    "get_head": "head",
    "get_children": "children",
    "get_tree": "tree",
    "get_branches": "branches",
    "get_branch": "branch",
    "get_metadata": "metadata",
    "reset_session": "reset",
    "delete_session": "delete",
} | {
    name: name
    for name in (
        "append",
        "append_many",
        "create_branch",
        "switch_to_branch",
        "delete_branch",
        "update_metadata",
        "subscribe",
        "lock",
        "with_lock",
    )
}
"""What a handle calls the operations of its store."""


class Shot(NamedTuple):
    """One operation, one fault, one call; as text it says how to fire it again."""

    face: str
    world: str
    case: str
    warm: bool
    fault: str
    lasting: bool
    at: int

    def __str__(self) -> str:
        words = (self.face, self.world, self.case, "warm" if self.warm else "cold", self.fault)
        return "/".join((*words, "lasting" if self.lasting else "once", str(self.at)))

    @classmethod
    def parse(cls, text: str) -> Shot:
        face, world, case, warm, fault, lasting, at = text.split("/")
        return cls(face, world, case, warm == "warm", fault, lasting == "lasting", int(at))


class Outcome(NamedTuple):
    """What the caller was told: an answer, or the name of an error."""

    kind: str
    told: Any = None


class HandleFace(Face):
    """A handle on the session of the world, called by the names of its store."""

    async def call(self, name: str, *args: Any, **facts: Any) -> Any:
        if name == "update_metadata":
            return await super().call(name, user_id=args[1]["userId"])
        return await super().call(HANDLE[name], *args[1:], **facts)

    async def take(self, name: str, *args: Any, count: int = 50, **facts: Any) -> list[Any]:
        return await super().take(HANDLE[name], *args[1:], count=count, **facts)

    async def hold(self, body: Callable[[], Awaitable[Any]], *args: Any, **facts: Any) -> Any:
        return await super().hold(body, *args[1:], **facts)


def outcome_of(error: BaseException) -> Outcome:
    """Return what an error says of what has happened."""
    name = type(error).__name__
    if isinstance(error, KeyboardInterrupt | MemoryError | asyncio.CancelledError):
        return Outcome("interrupted", name)
    if not isinstance(error, SessionStoreError):
        return Outcome("untyped", f"{name}: {error}")
    if isinstance(error, AppendUnknownError) or getattr(error, "unknown", False):
        return Outcome("unknown", name)
    return Outcome("failed", name)


def plain(answer: Any, names: dict[Any, Any]) -> Any:
    """Return an answer as what people see of it, whatever the ids are."""
    if isinstance(answer, Message):
        return said(answer), names.get(answer.parent_id), answer.type, answer.branch, answer.batch
    if isinstance(answer, Branch):
        path = [names.get(step) for step in answer.path]
        return answer.name, names.get(answer.leaf_message_id), path
    if isinstance(answer, SessionMetadata):
        return names.get(answer.session_id), answer.message_count, answer.user_id
    if isinstance(answer, SessionPage):
        return sorted(str(names.get(one.session_id)) for one in answer.sessions)
    if isinstance(answer, LockResult):
        return answer.acquired, answer.lock and answer.lock.owner_id
    if isinstance(answer, Lock):
        return answer.owner_id
    if isinstance(answer, CheckReport):
        return answer.sessions, answer.messages
    if isinstance(answer, list):
        return [plain(one, names) for one in answer]
    return names.get(answer, answer) if isinstance(answer, str) else answer


class Seen(NamedTuple):
    """What a store that was just opened shows."""

    shown: dict[str, Any]
    names: dict[Any, Any]
    trouble: set[str]


_known: dict[int, Seen] = {}


def look(disk: Disk) -> Seen:
    """Return what others see who open the store now; the disk stays as it is."""

    async def see() -> Seen:
        store = open_engine(disk.clone(), "f")
        names: dict[Any, Any] = {}
        for session_id in await store.get_all_session_ids():
            keys = await store.get_session_keys(session_id)
            names[session_id] = min(keys, default=session_id)
            for message in await store.get_messages(session_id, include_reset=True):
                names[message.id] = said(message)
        return Seen(await shown(store), names, trouble(await store.check()))

    content = disk.content()
    if content not in _known:
        if len(_known) >= MOST_KNOWN:
            _known.clear()
        _known[content] = run(see())
    return _known[content]


@dataclass
class Tally:
    """How much was tried, and what was wrong."""

    shots: int = 0
    struck: int = 0
    courses: int = 0
    violations: list[str] = field(default_factory=list)


class Course:
    """One operation in one world: what it does undisturbed, and what faults make of it."""

    def __init__(self, face: str, world: World, case: str, *, warm: bool, lazy: bool) -> None:
        self.face = face
        self.world = world
        self.case = case
        self.warm = warm
        self.lazy = lazy
        self.before: Seen
        self.once: tuple[Outcome, Seen]
        self.twice: tuple[Outcome, Seen]
        self.of_others = set(threading.enumerate())
        """Threads that are there before: other tests' stores may have some."""

    @property
    def changes(self) -> bool:
        """Return whether the operation does anything in this world."""
        return self.before.shown != self.once[1].shown

    @property
    def gives_back(self) -> bool:
        """Return whether it ends a lock: while the storage refuses that, only time can."""
        return self.case.startswith(("lock", "with_lock", "close"))

    async def measure(self) -> None:
        """Find out what the operation does when nothing fails."""
        disk, store, _ = await self.start()
        self.before = look(disk)
        outcome, answer = await self.act(store)
        seen = look(disk)
        self.once = outcome._replace(told=plain(answer, seen.names) or outcome.told), seen
        store = self.again(store, disk)
        outcome, answer = await self.act(store)
        seen = look(disk)
        self.twice = outcome._replace(told=plain(answer, seen.names) or outcome.told), seen
        await self.end(store)

    async def start(self) -> tuple[Disk, Any, FaultyFileSystem]:
        """Return the disk, the store before its operation, and what lets it fail."""
        disk = self.world.disk.clone()
        files = FaultyFileSystem(disk)
        store = self.open(files, "t")
        if self.world.holds_lock:
            face = Face(store)
            await face.call("acquire_lock", self.world.session, "me")
        if self.warm:
            await shown(engine_of(store))
        return disk, store, files

    def open(self, files: FileSystem, name: str) -> Any:
        delay = 100 if self.lazy else 0
        return open_store(self.face, files, name, now_ms=LATER_MS, index_save_delay_ms=delay)

    def again(self, store: Any, disk: Disk) -> Any:
        """Return the store to go on with."""
        return self.open(disk, "u") if self.case == "close" else store

    async def act(self, store: Any) -> tuple[Outcome, Any]:
        """Try the operation, and return what the caller was told."""
        case = self.case.removesuffix(BY_HANDLE)
        face = Face(store)
        if case != self.case:
            face = HandleFace(type_of_handle(store)(store, self.world.session, "k"))
        call = CASES[case](face, self.world)
        try:
            if self.face == "async":
                answer = await asyncio.ensure_future(call)
            else:
                answer = await call
        except SystemExit:
            raise  # it is meant for the campaign
        except BaseException as error:
            return outcome_of(error), None
        return Outcome("ok"), answer

    async def end(self, store: Any) -> None:
        """Let go of the store, and see that nothing of it goes on."""
        await Face(store).call("close")

    async def shoot(self, shot: Shot, fault: Fault) -> tuple[list[str], list[str]]:
        """Return which calls failed, and what is wrong with what came of it."""
        disk, store, files = await self.start()
        files.fail(fault, at=shot.at, times=None if shot.lasting else 1)
        outcome, answer = await self.act(store)
        struck = files.struck
        files.heal()
        wrong = [*self.leaks(outcome)] if self.case.startswith(("lock", "with_lock")) else []
        seen = look(disk)
        outcome = outcome._replace(told=plain(answer, seen.names) or outcome.told)
        landed = self.place(shot, outcome, seen)
        if landed is None:
            return struck, [*wrong, f"{outcome}: left neither before nor after: {self.story(seen)}"]
        wrong += self.judge(shot, outcome, landed, struck)
        allowed = self.allowed(shot, struck)
        if more := seen.trouble - allowed:
            wrong.append(f"{outcome}: check finds {more}")
        store = self.again(store, disk)
        same = await self.shown_by(store)
        if isinstance(same, dict) and same != seen.shown:
            wrong.append(f"{outcome}: the same store shows {differing(same, seen.shown)}")
        elif isinstance(same, str):
            wrong.append(f"{outcome}: the same store cannot be asked: {same}")
        told, answer = await self.act(store)
        after = look(disk)
        told = told._replace(told=plain(answer, after.names) or told.told)
        due, expected = self.once if landed == "before" else self.twice
        # Who was not told that it had happened is told now.
        if told != due and (outcome.kind == "ok" or told != self.once[0]):
            wrong.append(f"{outcome}, repeated from {landed}: {told}, not {due}")
        found, wanted = after.shown, expected.shown
        if shot.lasting and self.case == "close":
            found, wanted = unlocked(found), unlocked(wanted)
        if found != wanted:
            wrong.append(f"{outcome}, repeated: {differing(found, wanted)}")
        if self.case != "delete_session_by_key":
            # By its id it can be found again.
            allowed -= {"leftover_folder"}
        if more := after.trouble - allowed - self.twice[1].trouble:
            wrong.append(f"{outcome}, repeated: check finds {more}")
        if not self.changes:
            await self.end(store)
            return struck, wrong
        same = await self.shown_by(self.again(store, disk))
        if isinstance(same, str):
            wrong.append(f"{outcome}, repeated: the same store cannot be asked: {same}")
        elif same != after.shown:
            wrong.append(f"{outcome}, repeated, in memory: {differing(same, after.shown)}")
        await self.end(store)
        return struck, wrong

    async def shown_by(self, store: Any) -> dict[str, Any] | str:
        try:
            return await shown(engine_of(store))
        except Exception as error:
            return f"{type(error).__name__}: {error}"

    def leaks(self, outcome: Outcome) -> Iterator[str]:
        """Yield what goes on although the operation is over."""
        if self.face == "blocking":
            for thread in threading.enumerate():
                if thread.name == "session-store" and thread not in self.of_others:
                    thread.join(5)
                    if thread.is_alive():
                        yield f"{outcome}: a thread goes on"

    def place(self, shot: Shot, outcome: Outcome, seen: Seen) -> str | None:
        """Return whether the operation has happened, by what is there; None for something else."""
        now, before, after = seen.shown, self.before.shown, self.once[1].shown
        if shot.lasting and self.gives_back:
            now, before, after = map(unlocked, (now, before, after))
        if outcome.kind == "ok" and now == after:
            return "after"
        if now == before:
            return "before"
        return "after" if now == after else None

    def judge(self, shot: Shot, outcome: Outcome, landed: str, struck: list[str]) -> Iterator[str]:
        """Yield what is untrue in what the caller was told."""
        changes = self.changes
        due = self.once[0]
        if outcome.kind == "ok" and isinstance(outcome.told, tuple) and outcome.told[0] is False:
            # A lock that another seemed to take was not acquired.
            outcome = Outcome("failed", outcome.told)
        if outcome.kind == "untyped":
            yield f"an untyped error: {outcome.told}"
        elif outcome.kind == "ok":
            if changes and landed != "after":
                yield f"{outcome}: acknowledged, and has not happened"
            # `check` tells what it could not read as findings.
            if outcome != due and shot.fault != "vanished" and not self.case.startswith("check"):
                yield f"{outcome}: answered otherwise than {due}"
        elif outcome.kind == "failed" and outcome != due:
            # What was done inside of the lock was answered there; what is closed is closed; and
            # of a session that is gone nobody can say more.
            named = self.case.removesuffix(BY_HANDLE)
            settled = named in ("lock and append", "close") or shot.fault == "vanished"
            if changes and landed == "after" and not settled:
                yield f"{outcome}: it happened, and the error says it did not"
            if not struck:
                yield f"{outcome}: nothing failed"
        elif outcome.kind == "unknown" and not struck:
            yield f"{outcome}: nothing failed"

    def allowed(self, shot: Shot, struck: list[str]) -> set[str]:
        """Return the damage that the fault has done, by the names `check` has for it."""
        allowed = self.world.findings | self.before.trouble | self.once[1].trouble
        if shot.fault.startswith("torn"):
            allowed |= TORN
            if shot.lasting or self.world.findings:
                # What seals a torn write was torn as well.
                allowed |= {"damaged_line"}
            elif any("branches.jsonl" in call for call in struck):
                # Its records have no seals: a line that was cut off stays a damaged one.
                allowed |= {"damaged_line"}
        if self.case.startswith("delete_session"):
            allowed |= {"leftover_folder"}
        return set(allowed)

    def story(self, seen: Seen) -> str:
        return differing(seen.shown, self.before.shown)


def engine_of(store: Any) -> Any:
    return getattr(store, "_engine", store)


def type_of_handle(store: Any) -> Any:
    return BlockingSession if hasattr(store, "_engine") else Session


def unlocked(shown: dict[str, Any]) -> dict[str, Any]:
    """Return what is shown, but not who holds which lock."""
    sessions = {name: {**one, "lock": None} for name, one in shown["sessions"].items()}
    return {**shown, "sessions": sessions}


def differing(one: dict[str, Any], other: dict[str, Any]) -> str:
    """Return where two stores differ, in few words."""
    found: list[str] = []
    for name in sorted(one["sessions"].keys() | other["sessions"].keys()):
        mine, theirs = one["sessions"].get(name), other["sessions"].get(name)
        if mine is None or theirs is None:
            found.append(f"{name}: {'missing' if mine is None else 'too many'}")
            continue
        found += [
            f"{name}.{part}: {mine[part]} != {theirs[part]}"
            for part in mine
            if mine[part] != theirs[part]
        ]
    if one["keys"] != other["keys"]:
        found.append(f"keys: {one['keys']} != {other['keys']}")
    return "; ".join(found)[:1500]


def cases_for(world: str) -> list[str]:
    """Return the names of the cases that end in this world."""
    # Without a message `subscribe` waits for one, for ever.
    return [case for case in CASES if not (world == "new" and case.startswith("subscribe"))]


def handle_cases(world: str) -> list[str]:
    """Return the names of the cases that a handle has too."""
    plain = [case for case in cases_for(world) if case.partition(" ")[0] in HANDLE]
    return [f"{case}{BY_HANDLE}" for case in plain]


class Range:
    """Fires shots, one event loop for all of them."""

    def __init__(self) -> None:
        self.tally = Tally()
        self._worlds: dict[str, World] = {}
        self._runner = asyncio.Runner()

    def __enter__(self) -> Range:
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.close()

    def world(self, name: str) -> World:
        if name not in self._worlds:
            self._worlds[name] = WORLDS[name]()
        return self._worlds[name]

    def drive(self, face: str, work: Callable[[], Any]) -> Any:
        return run(work()) if face == "blocking" else self._runner.run(work())

    def course(self, face: str, world: str, case: str, *, warm: bool) -> Course:
        course = Course(face, self.world(world), case, warm=warm, lazy=warm)
        with course.world.rotating():
            self.drive(face, course.measure)
        self.tally.courses += 1
        return course

    def fire(self, course: Course, fault: Fault, *, lasting: bool) -> None:
        """Let the first, second, third … call fail, until the operation gets through."""
        for at in range(1, MOST_CALLS):
            struck = self.shoot(course, fault, lasting=lasting, at=at)
            if not struck:
                return
        self.tally.violations.append(f"{course.case}: more than {MOST_CALLS} calls")

    def shoot(self, course: Course, fault: Fault, *, lasting: bool, at: int) -> list[str]:
        name = course.world.name
        shot = Shot(course.face, name, course.case, course.warm, fault.name, lasting, at)
        with course.world.rotating():
            struck, wrong = self.drive(course.face, lambda: course.shoot(shot, fault))
        self.tally.shots += 1
        self.tally.struck += len(struck)
        where = struck[0] if struck else "nothing"
        self.tally.violations += [f"{shot} at {where}: {one}" for one in wrong]
        return struck


def again(text: str) -> list[str]:
    """Fire one shot again, and return what is wrong."""
    shot = Shot.parse(text)
    with Range() as range_:
        course = range_.course(shot.face, shot.world, shot.case, warm=shot.warm)
        fault = next(one for one in FAULTS[shot.face] if one.name == shot.fault)
        range_.shoot(course, fault, lasting=shot.lasting, at=shot.at)
        return range_.tally.violations
