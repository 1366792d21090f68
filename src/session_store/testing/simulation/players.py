"""What the tasks of a schedule do: calls of the engine, each written down with its answer."""

from collections.abc import Awaitable, Callable
from typing import Any

from session_store.errors import (
    AppendUnknownError,
    LeaseLostError,
    SessionNotFoundError,
    SessionStoreError,
    UnavailableError,
)
from session_store.model.config import StoreConfig
from session_store.store.engine import Engine
from session_store.testing.history import APPENDS

from .process import Process
from .truth import Deed
from .world import Cancelled, Died, World

NAMES = ("left", "right")
KEYS = ("one", "one", "one", "two")

WEIGHTS = {
    # append, append_many, create_branch, switch, undo, lock, lifecycle, read
    "plain": (8, 3, 0, 0, 0, 0, 1, 4),
    "branches": (6, 1, 3, 3, 1, 1, 0, 2),
    "locks": (6, 1, 0, 0, 0, 5, 0, 1),
    "deletes": (6, 1, 1, 0, 1, 3, 3, 3),
    "ends": (4, 0, 0, 0, 0, 6, 4, 1),
    "all": (6, 2, 1, 1, 1, 2, 1, 3),
}


class Game:
    """One schedule: its world, its engines, and what everybody did and was told."""

    def __init__(self, world: World, style: str, durability: Any) -> None:
        self.world = world
        self.style = style
        self.durability = durability
        self.deeds: list[Deed] = []
        self.engines: dict[Process, Engine] = {}
        self.known: dict[str, list[str]] = {}
        """Ids that somebody was given, which all pass on to each other."""
        self.keys: dict[str, str] = {}
        """Which key names which session, as far as everybody knows from before."""
        self.said = self.acknowledged = self.operations = 0
        self.on_ok: Callable[[], None] = lambda: None

    def open(self, process: Process) -> Engine:
        """Give a process an engine of its own."""
        dice = self.world.dice
        config = StoreConfig(
            durability=self.durability,
            lock_timeout_ms=dice.choice((20, 60)),
            index_save_delay_ms=dice.choice((0, 20)),
            cache_max_bytes=dice.choice((0, 1 << 20)),
        )
        self.engines[process] = Engine(process, config, process)
        return self.engines[process]

    async def do(self, deed: Deed, call: Awaitable[Any]) -> Any:
        """Make the call and write down what became of it; return its answer, None for none."""
        world, path = self.world, f"{deed.session}/messages.jsonl"
        if self.durability == "os":
            deed.facts["durable"] = False
        deed.began, deed.size_before = world.tick(), len(world.disk.data(path))
        self.deeds.append(deed)
        self.operations += 1
        try:
            deed.answer = await call
        except (Cancelled, Died) as error:
            deed.error = error
            if isinstance(error, Died):
                raise
        except SessionStoreError as error:
            deed.error = error
            # `branches.jsonl` has no precondition: a lease may be lost behind the record (D3).
            behind = isinstance(error, LeaseLostError) and deed.kind == "branch"
            lost = isinstance(error, UnavailableError) and (error.unknown or deed.kind in _WAIT)
            if not (behind or lost or isinstance(error, AppendUnknownError)):
                deed.outcome = "fail"
        else:
            deed.outcome = "ok"
        deed.ended, deed.size_after = world.tick(), len(world.disk.data(path))
        if deed.outcome == "ok" and deed.kind in APPENDS:
            self.acknowledged += 1
            self.on_ok()
        return deed.answer if deed.outcome == "ok" else None


# They are several writes, and may fail between two of them.
_WAIT = ("resolve", "delete", "branch", "lock", "close")


class Player:
    """One task of one process."""

    def __init__(self, game: Game, process: Process, name: str) -> None:
        self.game = game
        self.process = process
        self.name = name
        self.dice = game.world.dice

    @property
    def engine(self) -> Engine:
        """The engine of its process, which may close it and open another."""
        return self.game.engines[self.process]

    async def play(self, calls: int, *, speaks: bool = False) -> None:
        """Make so many calls; who `speaks` begins with an append."""
        session = self._guess()
        for _ in range(calls):
            try:
                if session is None or self.dice.random() < 0.1:
                    session = await self._resolve() or session
                if session is None:
                    continue
                if speaks:
                    speaks = False
                    await self._append(session)
                else:
                    await self._one(session)
                if isinstance(self.game.deeds[-1].error, SessionNotFoundError):
                    session = None if self.dice.random() < 0.7 else session
            except Cancelled:
                continue

    def _guess(self) -> str | None:
        """Return a session from before, as a client would that has kept the id."""
        session = self.game.keys.get(self.dice.choice(KEYS))
        return None if self.dice.random() < 0.3 else session

    async def _resolve(self) -> str | None:
        key = self.dice.choice(KEYS)
        deed = Deed(self.name, "resolve", facts={"key": key})
        session: str | None = await self.game.do(deed, self.engine.resolve(key))
        return session

    async def _one(self, session: str) -> None:
        await self.dice.choices(_ACTS, WEIGHTS[self.game.style])[0](self, session)

    def _word(self) -> str:
        self.game.said += 1
        return f"{self.name}-{self.game.said}"

    async def _append(self, session: str) -> None:
        word, facts = self._word(), dict[str, Any]()
        message: dict[str, Any] = {"type": "user", "content": word}
        kind = self.dice.random()
        if kind < 0.15:
            # One of a few ids that all tasks use, always with the same words.
            word = message["id"] = facts["id"] = f"shared-{self.dice.randrange(3)}-{session}"
            message["content"] = word
        elif kind < 0.4:
            parent = self.dice.choice([None, *self.game.known.get(session, ())])
            message["parentId"] = facts["given"] = parent
        facts["ids"] = [word]
        await self._say("append", session, facts, self._list(session, message))

    async def _list(self, session: str, message: dict[str, Any]) -> Any:
        return [await self.engine.append(session, message)]

    async def _append_many(self, session: str) -> None:
        words = [self._word() for _ in range(self.dice.choice((2, 3)))]
        call = self.engine.append_many(session, [{"type": "user", "content": w} for w in words])
        await self._say("append_many", session, {"ids": words}, call)

    async def _say(self, kind: str, session: str, facts: dict[str, Any], call: Any) -> None:
        deed = Deed(self.name, kind, session, facts)
        before = self.engine._locks.held(session)
        messages = await self.game.do(deed, call)
        after = self.engine._locks.held(session)
        if before is not None and after is before:
            deed.lease = (before.nonce, before.since)
        if messages:
            known = self.game.known.get(session, [])
            self.game.known[session] = [*known[-3:], *(message.id for message in messages)]

    async def _create_branch(self, session: str) -> None:
        name = self.dice.choice(NAMES)
        leaf = self.dice.choice([None, *self.game.known.get(session, ())])
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
            deed = Deed(self.name, "delete", session)
            await self.game.do(deed, self.engine.delete_session(session))
        elif self.dice.random() < 0.5:
            snapshot = self.dice.random() < 0.5
            await self.game.do(Deed(self.name, "flush"), self.engine.flush(snapshot=snapshot))
        elif len(self.process.tasks) == 1:
            await self.game.do(Deed(self.name, "close"), self.engine.close())
            self.game.open(self.process)

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
            await self.game.do(Deed(self.name, "read", session), self._words(session))

    async def _count(self, session: str) -> int:
        metadata = await self.engine.get_metadata(session)
        if metadata is None:
            raise SessionNotFoundError(session)
        return metadata.message_count

    async def _words(self, session: str) -> tuple[Any, ...]:
        return tuple(message.content for message in await self.engine.get_messages(session))


_ACTS: tuple[Callable[[Player, str], Awaitable[None]], ...] = (
    Player._append,
    Player._append_many,
    Player._create_branch,
    Player._switch,
    Player._undo,
    Player._lock,
    Player._lifecycle,
    Player._read,
)
