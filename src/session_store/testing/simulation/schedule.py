"""One seed, from its beginning to its verdict: `play(seed)` repeats it, call by call.

A seed stands for a trunk, played to its end with its fault, and for what if all processes had
died at one of its steps, with a power cut or without: schedules that share their beginning,
which is computed once. Each is judged by a process that comes afterwards.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Final

from session_store.testing.history import Left

from .case import Case
from .players import WEIGHTS, Game, Player
from .process import Brisk, Process
from .starts import STARTS, random_limits, start_of
from .truth import Deed
from .verdict import judge, judge_logs

STYLES = tuple(WEIGHTS)

FAULTS = (
    *("power_cut",) * 8,
    *("death", "death", "torn_death", "torn_death", "torn_pause"),
    *("lost_request", "lost_answer", "cancel", "full", "refused"),
    *("fsync_fails", "stop", "stop", "clock_jump", "none"),
)
"""What goes wrong in a trunk, once; a third of the others end in a power cut besides."""

LONG_SHARE = 1 / 8
DELAY_STEPS = 24
WHAT_IF_STEPS = 4
LONG_WHAT_IF_STEPS = 12
THOROUGH_SHARE = 1 / 32
TRUNK_THOROUGH_SHARE = 1 / 8
JUMPS_MS = (-3_600_000, 3_600_000, 315_360_000_000)


@dataclass(slots=True)
class Tally:
    """Figures of many schedules, those of each counted from its own beginning."""

    schedules: int = 0
    trunks: int = 0
    idle: int = 0
    """Trunks that had nothing acknowledged before their fault: they do not count."""
    operations: int = 0
    acknowledged: int = 0
    calls: int = 0
    faults: dict[str, int] = field(default_factory=dict)

    def count(self, fault: str, game: Game) -> None:
        """Count one schedule that ends here."""
        self.schedules += 1
        self.operations += game.operations
        self.acknowledged += game.acknowledged
        self.calls += game.world.calls
        self.faults[fault] = self.faults.get(fault, 0) + 1

    def add(self, other: "Tally") -> None:
        """Take the figures of others in."""
        for name in ("schedules", "trunks", "idle", "operations", "acknowledged", "calls"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for fault, number in other.faults.items():
            self.faults[fault] = self.faults.get(fault, 0) + number


@dataclass(slots=True)
class Outcome:
    """What became of a seed."""

    seed: int
    fault: str
    violations: list[str]
    tally: Tally
    story: list[str]


@dataclass(frozen=True, slots=True)
class Wish:
    """What a schedule shall be like, where its seed is not to decide."""

    style: str = ""
    mode: str = ""
    fault: str = ""
    long: bool = False


ANY: Final = Wish()


def play(seed: int, wish: Wish = ANY, listen: Callable[[Process], None] | None = None) -> Outcome:
    """Play a seed; `listen` is shown each process at its birth."""
    return _Trunk(seed, wish, listen).play()


class _Trunk:
    def __init__(self, seed: int, wish: Wish, listen: Callable[[Process], None] | None) -> None:
        # Not the seed itself: neighbours would throw similar dice.
        self.dice = dice = Random(seed * 2 + 1)  # noqa: S311
        self.seed = seed
        self.listen = listen
        self.long = dice.random() < LONG_SHARE or wish.long
        self.fault = wish.fault or dice.choice(FAULTS)
        start = start_of(dice.choice(STARTS))
        self.world = start.world(seed)
        durability = "os" if dice.random() < 0.2 else "fsync"
        style = wish.style or dice.choice(STYLES)
        self.game = Game(self.world, style, wish.mode or durability)
        self.game.deeds += start.deeds
        self.game.known, self.game.keys = dict(start.known), start.keys
        # After a failed fsync nobody writes until the machine has been started anew.
        chance = 1.0 if self.fault == "fsync_fails" else 0.33
        self.cut_later = self.fault == "power_cut" or dice.random() < chance
        self.due = dice.choice((1, 1, 2))
        self.strike_at = 0
        self.counts = False
        self.since = 0
        self.found: list[str] = []
        self.read: dict[tuple[str, bytes], Left] = {}
        self.tally = Tally()

    def play(self) -> Outcome:
        game, world, dice = self.game, self.world, self.dice
        with random_limits(dice):
            try:
                self._play()
                thorough = self.long or dice.random() < TRUNK_THOROUGH_SHARE
                case = Case(world, game.deeds, game.durability, self.since, game.engines)
                self.found += judge_logs(case)
                self.found += judge(case, thorough=thorough)
            except Exception as error:  # whatever it is: it has a seed and a story
                self.found.append(f"{type(error).__name__}: {error}")
        self.tally.trunks = 1
        if self.counts:
            self.tally.count(self.fault, game)
        else:
            self.tally.idle = 1
        return Outcome(self.seed, self.fault, self.found, self.tally, world.story)

    def _play(self) -> None:
        world, dice = self.world, self.dice
        world.ring = self._ring
        world.haste = dice.choice((0.0, 0.0, 0.7, 0.9))
        if self.long:
            self._rough()
        self.game.on_ok = self._acknowledged
        for _ in range(dice.choice((2, 3) if self.long else (1, 2, 2, 2, 3))):
            self._spawn(dice.choice((1, 1, 2)), (3, 4, 5) if self.long else (1, 1, 2))
        world.run()
        if self.cut_later:
            self._cut_power()
            world.run()

    def _spawn(self, tasks: int, calls: tuple[int, ...]) -> Process:
        process = self.dice.choice((Process, Brisk))(self.world)
        if self.listen is not None:
            self.listen(process)
        self.game.open(process)
        for letter in "ab"[:tasks]:
            player = Player(self.game, process, process.name + letter)
            # Nothing can be lost before something was acknowledged.
            first = process.name == "p0" and letter == "a"
            process.tasks.append(player.play(self.dice.choice(calls), speaks=first))
        return process

    def _rough(self) -> None:
        world, dice = self.world, self.dice
        world.deaths = dice.choice((0.0, 0.0, 0.002))
        world.cancels = dice.choice((0.0, 0.0, 0.004))
        world.faults = dice.choice((0.0, 0.0, 0.03))
        world.tears = dice.choice((0.0, 0.0, 0.3))

    def _acknowledged(self) -> None:
        """Let the fault strike a few steps after enough was acknowledged."""
        world = self.world
        if not world.alarm and self.game.acknowledged >= self.due:
            self.strike_at = world.step + 1 + self.dice.randrange(DELAY_STEPS)
            world.alarm = min(self.strike_at, self._later())

    def _later(self) -> int:
        steps = LONG_WHAT_IF_STEPS if self.long else WHAT_IF_STEPS
        return self.world.step + 1 + self.dice.randrange(steps)

    def _ring(self) -> None:
        world = self.world
        if world.step == self.strike_at:
            self._strike()
        else:
            self._what_if()
        if world.alarm > 0:
            world.alarm = self._later()
            if self.strike_at > world.step:
                world.alarm = min(world.alarm, self.strike_at)

    def _what_if(self) -> None:
        """Judge what would be left if all processes died here."""
        game, world, dice = self.game, self.world, self.dice
        cut = dice.random() < 0.75
        deeds = game.deeds
        since = self.since
        if cut:
            deeds = [*deeds, Deed("machine", "power_cut", began=world.tick(), ended=world.tick())]
            since = world.tick()
        case = Case(world.aside(cut), deeds, game.durability, since, read=self.read)
        found = list(judge(case, thorough=dice.random() < THOROUGH_SHARE))
        self.found += [f"step {world.step}: {sentence}" for sentence in found]
        self.tally.count("what if: power cut" if cut else "what if: death", game)

    def _strike(self) -> None:
        world, dice, fault = self.world, self.dice, self.fault
        self.counts = True
        process = dice.choice(world.turns)[0] if world.turns else None
        match fault:
            case "none":
                pass
            case "power_cut":
                self._cut_power()
            case "death":
                if process:
                    world.kill(process)
                    world.start(self._spawn(1, (1, 2)))
            case "cancel":
                if world.turns:
                    world.cancel(dice.choice(world.turns))
            case "stop":
                if process:
                    process.stop()
            case "clock_jump":
                jump = dice.choice(JUMPS_MS)
                world.tell(f"** the clock jumps by {jump} ms")
                world.wall_ms += jump
            case _:
                world.ambush = fault

    def _cut_power(self) -> None:
        game, world = self.game, self.world
        self.counts = self.counts or game.acknowledged > 0
        # Nothing else goes wrong while the machine is started again.
        world.alarm = -1
        self.cut_later = False
        self.found += judge_logs(Case(world, game.deeds, game.durability, self.since))
        game.deeds.append(Deed("machine", "power_cut", began=world.tick(), ended=world.tick()))
        self.since = world.tick()
        world.cut_power()
        for _ in range(self.dice.choice((1, 1, 2))):
            world.start(self._spawn(1, (1, 2)))
