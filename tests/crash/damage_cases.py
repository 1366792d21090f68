"""Every case of damage by a name, from which it can be made again."""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from damage_index import IndexJudge, damaged_alone, damaged_together
from damage_judge import Hurt, Judge, hurt
from damage_kinds import KINDS, Kind
from damage_world import make_world

OTHER_STORE: Final = 7


class Trial(NamedTuple):
    """One damage, and what judges the store that has it."""

    name: str
    judge: Callable[[], list[str]]


Suite = Callable[[], Iterator[Trial]]


def suites() -> dict[str, Suite]:
    """Return the ways to hurt a store, each with all its cases."""
    world = make_world()
    judge, killed = Judge(world), Judge(world, world.killed)
    found: dict[str, Suite] = {}
    for kind in KINDS:
        found[f"log/{kind.name}"] = _suite(judge, world.log, kind, judge.log)
        found[f"warm/{kind.name}"] = _suite(judge, world.log, kind, judge.warm)
        for name in ("branches.jsonl", "lock.json"):
            path = f"{world.main}/{name}"
            found[f"{name}/{kind.name}"] = _suite(judge, path, kind, judge.beside)
    found["killed/flips"] = _suite(killed, world.log, KINDS[0], killed.log)
    index, alien = IndexJudge(world), make_world(OTHER_STORE)
    found["index/alone"] = lambda: (
        Trial(case.name, lambda case=case: index.judge(case))
        for case in damaged_alone(world, alien)
    )
    found["index/together"] = lambda: (
        Trial(case.name, lambda case=case: index.judge(case))
        for case in damaged_together(world, alien)
    )
    return found


def _suite(judge: Judge, path: str, kind: Kind, call: Callable[[Hurt, Kind], list[str]]) -> Suite:
    before = judge.image[path]

    def trials() -> Iterator[Trial]:
        for name, after in kind.cases(before):
            yield Trial(name, lambda after=after: call(hurt(path, before, after), kind))

    return trials
