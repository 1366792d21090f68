"""A schedule told step by step, for whoever wants to know how it came to its end."""

from collections.abc import Iterator
from typing import Any

from session_store.errors import SessionStoreError

from .process import Process
from .schedule import ANY, Outcome, Wish, play
from .world import Died

VERBS = ("stat", "read", "write", "append", "delete", "delete_tree", "list", "sync")
SHOWN_BYTES = 150


def tell(seed: int, wish: Wish = ANY) -> Iterator[str]:
    """Play a schedule again, and yield its story line by line, its violations last."""
    outcome = play(seed, wish, listen)
    yield f"schedule {seed}: {outcome.fault}"
    yield from outcome.story
    yield from verdict(outcome)


def verdict(outcome: Outcome) -> Iterator[str]:
    """Yield what a schedule has broken."""
    if not outcome.violations:
        yield f"schedule {outcome.seed}: no promise was broken"
    for sentence in outcome.violations:
        yield f"schedule {outcome.seed}: {sentence}"


def listen(process: Process) -> None:
    """Let the world's story tell every file call of a process."""
    for verb in VERBS:
        setattr(process, verb, _told(process, verb))


def _told(process: Process, verb: str) -> Any:
    call = getattr(process, verb)
    world = process.world

    async def told(path: str, *args: Any, **options: Any) -> Any:
        if world.over:
            return await call(path, *args, **options)
        given = [shown(arg) for arg in args] + [f"{k}={shown(v)}" for k, v in options.items()]
        text = f"{process.name} {verb} {path} {' '.join(given)}".rstrip()
        world.tell(f"{text} …")
        try:
            answer = await call(path, *args, **options)
        except (SessionStoreError, Died) as error:
            world.tell(f"{text} -> {type(error).__name__}: {error}")
            raise
        world.tell(f"{process.name} {verb} {path} -> {shown(answer)}")
        return answer

    return told


def shown(value: Any) -> str:
    """Return a value as a story shows it."""
    if isinstance(value, bytes):
        text = value.decode(errors="replace").replace("\0", "\u2400").replace("\n", "\u23ce")
        return f"{len(value)} bytes: {text[:SHOWN_BYTES]}"
    return str(value)
