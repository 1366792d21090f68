"""What a schedule begins with: stores that were made before, shared by all schedules."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from random import Random
from typing import Any, NamedTuple

from session_store.index import rotation
from session_store.jsonl import file as jsonl_file
from session_store.runtime import run
from session_store.store import log as session_log

from .disk import Disk
from .players import Game, Player
from .process import Fresh
from .truth import Deed
from .world import World


class Start(NamedTuple):
    """The bytes of a store, all durable, and how it came to be so."""

    files: dict[str, bytes]
    deeds: list[Deed]
    known: dict[str, list[str]]
    keys: dict[str, str]
    ids: int
    ticks: int
    seconds: float

    def world(self, seed: int) -> World:
        """Return a world that goes on from here."""
        world = World(seed, Disk(self.files))
        world.ids, world.ticks, world.seconds = self.ids, self.ticks, self.seconds
        return world


def empty(_game: Game) -> None:
    """Leave no store at all."""


def journalled(game: Game) -> None:
    """Leave a session that is known from the journal alone."""
    _talk(game)


def closed(game: Game) -> None:
    """Leave two sessions in a snapshot."""
    _talk(game, "two")
    _talk(game)
    run(_engine(game).close())


def rotated(game: Game) -> None:
    """Leave a second journal, and a snapshot before the last."""
    with limits(rotate=0):
        _talk(game, "two")
        _talk(game)


def torn(game: Game) -> None:
    """Leave a log and a journal whose writers died in the midst of a line."""
    _talk(game)
    for path in [path for path in game.world.disk.files if path.endswith(".jsonl")]:
        data = game.world.disk.data(path)
        game.world.disk.put(path, data + data.splitlines(keepends=True)[-1][:-40])


def pending(game: Game) -> None:
    """Leave a log that ends in a batch which never came whole."""
    session = _talk(game)
    before = game.world.disk.data(f"{session}/messages.jsonl")
    run(_player(game)._append_many(session))
    data = game.world.disk.data(f"{session}/messages.jsonl")
    first = data[len(before) :].splitlines(keepends=True)[0]
    game.world.disk.put(f"{session}/messages.jsonl", before + first)
    # Its writer died in it: it was never told of.
    lost = game.deeds[-1]
    lost.outcome, lost.answer = "unknown", None


def held(game: Game) -> None:
    """Leave a session whose holder died."""
    session = _talk(game)
    run(game.do(Deed("before", "lock", session), _engine(game).acquire_lock(session, "before")))


def _talk(game: Game, key: str = "one") -> str:
    """Make a session with a branch."""
    engine, player = _engine(game), _player(game)
    deed = Deed("before", "resolve", facts={"key": key})
    session: str = run(game.do(deed, engine.resolve(key)))
    run(player._append(session))
    run(player._append(session))
    game.keys[key] = session
    deed = Deed("before", "branch", session, {"name": "left"})
    run(game.do(deed, engine.create_branch(session, "left", game.known[session][0])))
    run(engine.flush())
    return session


def _engine(game: Game) -> Any:
    return next(iter(game.engines.values()))


def _player(game: Game) -> Player:
    return Player(game, next(iter(game.engines)), "before")


def damaged(game: Game) -> None:
    """Leave a snapshot that cannot be read, over journals that can."""
    with limits(rotate=0):
        _talk(game, "two")
        _talk(game)
    game.world.disk.put("sessions.json", bytes(len(game.world.disk.data("sessions.json"))))


def missing(game: Game) -> None:
    """Leave no snapshot, but the one before it and the journals."""
    with limits(rotate=0):
        _talk(game)
    game.world.disk.delete("sessions.json")


STARTS: tuple[Callable[[Game], None], ...] = (
    empty,
    journalled,
    closed,
    rotated,
    torn,
    pending,
    held,
    damaged,
    missing,
)


@cache
def start_of(make: Callable[[Game], None]) -> Start:
    """Return what a start leaves behind; it is made once."""
    world = World(STARTS.index(make))
    process = Fresh(world)
    game = Game(world, "plain", "fsync")
    game.open(process)
    make(game)
    files = {path: inode.data for path, inode in world.disk.files.items()}
    known = (game.known, game.keys)
    return Start(files, game.deeds, *known, world.ids, world.ticks, world.seconds)


@contextmanager
def limits(*, tail: int = 1 << 16, chunk: int = 1 << 20, rotate: int = 1 << 20) -> Iterator[None]:
    """Let logs be read in small pieces, or journals be rotated often, for a while."""
    wanted = ((session_log, "TAIL_BYTES", tail), (jsonl_file, "CHUNK_BYTES", chunk))
    before = [(room, name, getattr(room, name)) for room, name, _ in (*wanted, _ROTATE)]
    try:
        for room, name, value in (*wanted, (*_ROTATE[:2], rotate)):
            setattr(room, name, value)
        yield
    finally:
        for room, name, value in before:
            setattr(room, name, value)


_ROTATE = (rotation, "ROTATE_BYTES", 0)


def random_limits(dice: Random) -> Any:
    """Return limits as the dice have them."""
    return limits(
        tail=dice.choice((300, 1 << 16)),
        chunk=dice.choice((400, 1 << 20)),
        rotate=dice.choice((0, 400, 1 << 20)),
    )
