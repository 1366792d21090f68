"""What the tasks of a schedule do, and how it is judged: `play(seed)` repeats one schedule."""

from collections.abc import Awaitable, Iterator
from typing import Any
from unittest.mock import patch

from interleave import Cancelled, Died, Fresh, Process, World
from races_truth import Deed, judge_log, lines_of, states_of

from session_store.errors import (
    AppendUnknownError,
    LeaseLostError,
    SessionNotFoundError,
    SessionStoreError,
    UnavailableError,
)
from session_store.jsonl import file as jsonl_file
from session_store.model.config import StoreConfig
from session_store.runtime import run
from session_store.store import logs
from session_store.store.engine import Engine

NAMES = ("left", "right")
STYLES = ("plain", "branches", "locks", "deletes", "all")
KEYS = ("one", "one", "one", "two")


class Game:
    """One schedule: what everybody does and was told."""

    def __init__(self, seed: int, style: str) -> None:
        self.world = World(seed)
        self.deeds: list[Deed] = []
        self.engines: dict[Process, Engine] = {}
        dice = self.world.dice
        self.world.deaths = dice.choice((0.0, 0.0, 0.002))
        self.world.cancels = dice.choice((0.0, 0.0, 0.004))
        self.world.faults = dice.choice((0.0, 0.0, 0.03))
        self.world.tears = dice.choice((0.0, 0.0, 0.3))
        self.style = style or dice.choice(STYLES)

    def engine(self, process: Process) -> Engine:
        dice = self.world.dice
        config = StoreConfig(
            durability="os",
            lock_timeout_ms=dice.choice((20, 60)),
            index_save_delay_ms=dice.choice((0, 20)),
            cache_max_bytes=dice.choice((0, 1 << 20)),
        )
        return Engine(process, config, process)

    async def do(self, deed: Deed, call: Awaitable[Any]) -> Any:
        """Make the call and write down what became of it."""
        path = f"{deed.session}/messages.jsonl"
        deed.began, deed.size_before = self.world.step, len(self.world.bytes_of(path))
        self.deeds.append(deed)
        try:
            deed.answer = await call
        except (Cancelled, Died, AppendUnknownError) as error:
            deed.error = error
            if isinstance(error, Died):
                raise
        except SessionStoreError as error:
            deed.error = error
            # `branches.jsonl` has no precondition: a lease may be lost behind the record (D3).
            behind = isinstance(error, LeaseLostError) and deed.kind == "branch"
            lost = isinstance(error, UnavailableError) and error.unknown
            deed.outcome = "maybe" if lost or behind else "no"
        else:
            deed.outcome = "ok"
        deed.ended, deed.size_after = self.world.step, len(self.world.bytes_of(path))
        return deed.answer if deed.outcome == "ok" else None


class Player:
    """One task of one process."""

    def __init__(self, game: Game, process: Process, name: str) -> None:
        self.game = game
        self.process = process
        self.name = name
        self.dice = game.world.dice
        self.said = 0
        self.known: list[str] = []
        self.seen: tuple[str, ...] = ()

    @property
    def engine(self) -> Engine:
        return self.game.engines[self.process]

    async def play(self, calls: int) -> None:
        session = None
        for _ in range(calls):
            try:
                if session is None or self.dice.random() < 0.1:
                    session = await self._resolve() or session
                if session is None:
                    continue
                await self._one(session)
                if isinstance(self.game.deeds[-1].error, SessionNotFoundError):
                    session = None if self.dice.random() < 0.7 else session
            except Cancelled:
                continue

    async def _resolve(self) -> str | None:
        key = self.dice.choice(KEYS)
        deed = Deed(self.name, "resolve", facts={"key": key})
        session: str | None = await self.game.do(deed, self.engine.resolve(key))
        return session

    async def _one(self, session: str) -> None:
        weights = {
            "plain": (8, 3, 0, 0, 0, 0, 1, 4),
            "branches": (6, 1, 3, 3, 1, 1, 0, 2),
            "locks": (6, 1, 0, 0, 0, 5, 0, 1),
            "deletes": (6, 1, 1, 0, 1, 1, 2, 3),
            "all": (6, 2, 1, 1, 1, 2, 1, 3),
        }[self.game.style]
        acts = (
            self._append,
            self._append_many,
            self._create_branch,
            self._switch,
            self._undo,
            self._lock,
            self._lifecycle,
            self._read,
        )
        await self.dice.choices(acts, weights)[0](session)

    def _tag(self) -> str:
        self.said += 1
        return f"{self.name}-{self.said}"

    async def _append(self, session: str) -> None:
        tag, facts = self._tag(), dict[str, Any]()
        message: dict[str, Any] = {"type": "user", "content": tag}
        kind = self.dice.random()
        if kind < 0.15:
            # One of a few ids that all tasks use, always with the same words.
            tag = message["id"] = facts["id"] = f"shared-{self.dice.randrange(3)}"
            message["content"] = tag
        elif kind < 0.4:
            parent = self.dice.choice([None, *self.known])
            message["parentId"] = facts["parent"] = parent
        facts["tags"] = [tag]
        await self._say("append", session, facts, self._list(session, message))

    async def _list(self, session: str, message: dict[str, Any]) -> Any:
        return [await self.engine.append(session, message)]

    async def _append_many(self, session: str) -> None:
        tags = [self._tag() for _ in range(self.dice.choice((2, 3)))]
        call = self.engine.append_many(session, [{"type": "user", "content": t} for t in tags])
        await self._say("append_many", session, {"tags": tags}, call)

    async def _say(self, kind: str, session: str, facts: dict[str, Any], call: Any) -> None:
        deed = Deed(self.name, kind, session, facts)
        before = self.engine._locks.held(session)
        messages = await self.game.do(deed, call)
        after = self.engine._locks.held(session)
        if before is not None and after is before:
            deed.lease = (before.nonce, before.since)
        if messages:
            self.known = [*self.known[-3:], *(message.id for message in messages)]

    async def _create_branch(self, session: str) -> None:
        name = self.dice.choice(NAMES)
        leaf = self.dice.choice([None, *self.known])
        deed = Deed(self.name, "branch", session, {"name": name})
        await self.game.do(deed, self.engine.create_branch(session, name, leaf))

    async def _switch(self, session: str) -> None:
        name = self.dice.choice(NAMES)
        deed = Deed(self.name, "switch", session, {"name": name})
        await self.game.do(deed, self.engine.switch_to_branch(session, name))

    async def _undo(self, session: str) -> None:
        if self.dice.random() < 0.5:
            deed = Deed(self.name, "reset", session)
            await self.game.do(deed, self.engine.reset_session(session))
        else:
            name = self.dice.choice(NAMES)
            deed = Deed(self.name, "unbranch", session, {"name": name})
            await self.game.do(deed, self.engine.delete_branch(session, name))

    async def _lock(self, session: str) -> None:
        kind, engine = self.dice.random(), self.engine
        if kind < 0.6:
            call: Any = engine.acquire_lock(session, self.name, wait=kind < 0.3, timeout_ms=50)
        elif kind < 0.9:
            call = engine.release_lock(session, self.name)
        else:
            call = engine.force_release(session)
        await self.game.do(Deed(self.name, "lock", session), call)

    async def _lifecycle(self, session: str) -> None:
        if self.game.style != "plain" and self.dice.random() < 0.6:
            await self.game.do(
                Deed(self.name, "delete", session), self.engine.delete_session(session)
            )
        elif len(self.process.tasks) == 1:
            await self.game.do(Deed(self.name, "close"), self.engine.close())
            self.game.engines[self.process] = self.game.engine(self.process)

    async def _read(self, session: str) -> None:
        kind = self.dice.random()
        if kind < 0.2:
            deed = Deed(self.name, "count", session)
            await self.game.do(deed, self._count(session))
        elif kind < 0.4:
            await self.game.do(Deed(self.name, "head", session), self.engine.get_head(session))
        elif kind < 0.5:
            limit = self.dice.choice((None, 2))
            deed = Deed(self.name, "history", session)
            await self.game.do(deed, self.engine.get_linear_history(session, limit=limit))
        else:
            await self.game.do(Deed(self.name, "read", session), self._ids(session))

    async def _count(self, session: str) -> int:
        metadata = await self.engine.get_metadata(session)
        if metadata is None:
            raise SessionNotFoundError(session)
        return metadata.message_count

    async def _ids(self, session: str) -> tuple[str, ...]:
        return tuple(message.id for message in await self.engine.get_messages(session))


def play(seed: int, style: str = "") -> list[str]:
    """Play one schedule, of a style if one is given, and return what is wrong afterwards."""
    game = Game(seed, style)
    dice = game.world.dice
    with (
        patch.object(logs, "TAIL_BYTES", dice.choice((300, 1 << 16))),
        patch.object(jsonl_file, "CHUNK_BYTES", dice.choice((400, 1 << 20))),
    ):
        for number in range(dice.choice((2, 3))):
            process = Process(game.world)
            game.engines[process] = game.engine(process)
            for second in range(dice.choice((1, 1, 2))):
                player = Player(game, process, f"p{number}{'ab'[second]}")
                process.tasks.append(player.play(dice.choice((3, 5))))
        game.world.run()
        quiet(game.world)
        return list(judge(game))


def quiet(world: World) -> None:
    """Let nothing go wrong any more; what went wrong is remembered."""
    world.rough = bool(world.faults or world.cancels or any(p.dead for p in world.processes))
    world.faults = world.tears = 0.0


def finish(coroutine: Any) -> Any:
    """Return what a coroutine returns that is now alone."""
    while True:
        try:
            coroutine.send(None)
        except StopIteration as done:
            return done.value


def judge(game: Game) -> Iterator[str]:
    """Yield what is wrong with the store and with what was answered."""
    world = game.world
    last = Fresh(world)
    fresh = Engine(last, StoreConfig(durability="os"), last)
    yield from _lives(game, fresh)
    for session in run(fresh.get_all_session_ids()):
        data = world.bytes_of(f"{session}/messages.jsonl")
        deeds = [deed for deed in game.deeds if deed.session == session]
        if not any(deed.kind == "delete" and deed.outcome == "maybe" for deed in deeds):
            yield from judge_log(data, deeds)
        yield from _engines_agree(game, fresh, session, data)
        yield from _branches_are_there(deeds, fresh, session, data)
    for finding in run(fresh.check()).findings:
        # A tail that was cut off and ended by a LF, its seal cut off as well (or never due).
        torn = finding.code == "damaged_line" and world.rough
        if finding.severity == "error" and not torn and not _left_behind(game, finding.path):
            yield f"check says {finding}"


def _left_behind(game: Game, path: str) -> bool:
    """Return whether somebody died in the midst of refusing to write to a deleted session."""
    deleted = {deed.session for deed in game.deeds if deed.kind == "delete"}
    return game.world.rough and path.split("/")[0] in deleted


def _lives(game: Game, fresh: Engine) -> Iterator[str]:
    there = set(run(fresh.get_all_session_ids()))
    resolved = [d for d in game.deeds if d.kind == "resolve" and d.outcome == "ok"]
    deletes = [d for d in game.deeds if d.kind == "delete" and d.outcome == "ok"]
    tried = {d.session for d in game.deeds if d.kind == "delete" and d.outcome != "no"}
    for deed in resolved:
        if deed.answer not in there and deed.answer not in tried:
            yield f"the session {deed.answer} is gone"
    for one in deletes:
        if one.session in there:
            yield f"{one.session} came back"
        left = game.world.names_below(one.session)
        if left and not _left_behind(game, one.session):
            yield f"{one.session} was deleted and left {left}"
        for deed in game.deeds:
            late = deed.session == one.session and deed.began > one.ended
            if late and deed.outcome == "ok":
                yield f"{deed.kind} of {deed.task} in a deleted session"
        for deed in resolved:
            if deed.answer == one.session and deed.began > one.ended:
                yield f"{deed.facts['key']} still names a deleted session"
    for first in resolved:
        for then in resolved:
            both = {first.answer, then.answer}
            if first.facts == then.facts and len(both) > 1 and not both & tried:
                yield f"{first.facts} names {first.answer} and {then.answer}"


def _engines_agree(game: Game, fresh: Engine, session: str, data: bytes) -> Iterator[str]:
    lines = lines_of(data)
    state = states_of(lines)[-1]
    everything = tuple(line.record["id"] for line in lines if not line.kind)
    wanted = (
        state.visible,
        everything,
        state.head,
        len(state.visible),
        finish(fresh.get_branches(session)),
        finish(fresh.get_linear_history(session)),
    )
    for name, engine in [("fresh", fresh), *_alive(game)]:
        if not finish(engine.has_session(session)):
            yield f"{name} knows nothing of {session}"
            continue
        found = (
            tuple(message.id for message in finish(engine.get_messages(session))),
            tuple(m.id for m in finish(engine.get_messages(session, include_reset=True))),
            finish(engine.get_head(session)),
            finish(engine.get_metadata(session)).message_count,
            finish(engine.get_branches(session)),
            finish(engine.get_linear_history(session)),
        )
        if found != wanted:
            yield f"{name} reads {found}, the bytes say {wanted}"
        log = engine._logs._logs.get(session)
        if log is not None and (log.tail.head, log.tail.branch) != (state.head, state.branch):
            yield f"{name} stands at {log.tail.head}, {log.tail.branch}, the bytes say {state}"


def _alive(game: Game) -> Iterator[tuple[str, Engine]]:
    for number, (process, engine) in enumerate(game.engines.items()):
        if not process.dead and not engine._closed:
            yield f"engine {number}", engine


def _branches_are_there(
    deeds: list[Deed], fresh: Engine, session: str, data: bytes
) -> Iterator[str]:
    there = {branch.name: branch for branch in run(fresh.get_branches(session))}
    for name in NAMES:
        touching = [
            deed
            for deed in deeds
            if deed.kind == "reset" or (deed.kind in ("branch", "unbranch"))
            if deed.facts.get("name", name) == name and deed.outcome != "no"
        ]
        if not touching:
            continue
        last = max(touching, key=lambda deed: deed.began)
        alone = all(deed is last or deed.ended < last.began for deed in touching)
        if last.outcome != "ok" or not alone:
            continue
        if last.kind == "branch":
            if name not in there:
                yield f"branch {name} was created and is not there"
                continue
            on = [line for line in lines_of(data) if line.record.get("branch") == name]
            tips = [line.record["id"] for line in on if line.offset >= last.size_before]
            if not on or on[-1].offset < last.size_after:
                tips.append(last.answer.leaf_message_id)
            else:
                tips = tips[-1:]
            if there[name].leaf_message_id not in tips:
                yield f"branch {name} is at {there[name].leaf_message_id}, not at {tips}"
        elif name in there:
            yield f"branch {name} is there after {last.kind}"
