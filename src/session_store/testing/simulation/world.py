"""Several processes over one disk, in one thread, one step at a time, as a seed says.

Every file call is two points at which others may run: before it takes effect, and between
its effect and its answer. There a process may die or be stopped, a task be cancelled, an
answer be lost, the power go.
"""

from collections.abc import Callable, Coroutine, Generator
from copy import copy
from random import Random
from typing import TYPE_CHECKING, Any, TypeAlias

from .disk import Disk

if TYPE_CHECKING:
    from .process import Process

Task: TypeAlias = Coroutine[Any, Any, None]

STEPS_MAX = 40_000
STEP_SECONDS = 0.001


class Died(BaseException):
    """This process is no more."""


class Cancelled(BaseException):
    """What a cancelled task is thrown."""


class Pause:
    """A point where any other task may go on instead."""

    __slots__ = ()

    def __await__(self) -> Generator[None, None, None]:
        yield


class World:
    """The disk, the clock, the dice, and the tasks of all processes.

    `alarm` is the step at which `ring` is called. The rates are chances a step (`deaths`,
    `cancels`) or a call (`faults`, `tears`); `ambush` names what happens to the next call that
    it can happen to.
    """

    def __init__(self, seed: int, disk: Disk | None = None) -> None:
        self.dice = Random(seed)  # noqa: S311
        self.disk = disk or Disk()
        self.step = 0
        self.seconds = 0.0
        self.wall_ms = 1_700_000_000_000
        self.ids = 0
        self.calls = 0
        self.ticks = 0
        self.haste = 0.0
        """How likely the same task goes on, while all others stand still."""
        self.deaths = self.cancels = self.faults = self.tears = 0.0
        self.alarm = 0
        self.ring: Callable[[], None] = lambda: None
        self.ambush = ""
        self.over = False
        """Whether all is done, and only the verdict is left."""
        self.writing: set[str] = set()
        self.processes: list[Process] = []
        self.turns: list[tuple[Process, Task]] = []
        self.story: list[str] = []

    def tell(self, text: str) -> None:
        """Note something that happens to processes."""
        self.story.append(f"{self.step:5} {text}")

    def tick(self) -> int:
        """Return a moment that is later than all before."""
        self.ticks += 1
        return self.ticks

    def bytes_of(self, path: str) -> bytes:
        """Return what stands in a file, past every process."""
        return self.disk.data(path)

    def names_below(self, folder: str) -> list[str]:
        """Return the files in a folder and below, past every process."""
        return self.disk.below(folder)

    def run(self) -> None:
        """Step random tasks until all have ended; fails if they never do."""
        chance = self.dice.random
        turns = self.turns
        if not turns:
            for process in self.processes:
                if not process.dead:
                    self.start(process)
        rates, haste = bool(self.deaths or self.cancels), self.haste
        turn = turns[0]
        while turns:
            self.step = step = self.step + 1
            self.seconds += STEP_SECONDS
            if step == self.alarm:
                self.ring()
                if not turns:
                    return
            if step > STEPS_MAX:
                raise AssertionError("nobody gets on")
            if not (haste and chance() < haste and turn in turns):
                turn = turns[int(chance() * len(turns))]
            process, task = turn
            if process.wakes > step:
                if all(one.wakes > step for one, _ in turns):
                    self.seconds += 1
                    process.wakes = 0
                continue
            try:
                if rates and chance() < self.deaths:
                    self.kill(process)
                elif rates and chance() < self.cancels:
                    self.cancel(turn)
                else:
                    task.send(None)
            except (StopIteration, Died, Cancelled):
                if turn in turns:
                    turns.remove(turn)

    def start(self, process: "Process") -> None:
        """Let the tasks of a process take part in what is running."""
        self.turns.extend((process, task) for task in process.tasks)

    def cancel(self, turn: "tuple[Process, Task]") -> None:
        """Cancel a task where it waits."""
        process, task = turn
        self.tell(f"** {process.name}: a task is cancelled")
        try:
            task.throw(Cancelled())
        except (StopIteration, Died, Cancelled):
            self.turns.remove(turn)

    def kill(self, process: "Process") -> None:
        """End a process; none of its tasks reaches the disk any more."""
        if process.dead:
            return
        process.dead = True
        self.tell(f"** {process.name} dies")
        self._bury({process})

    def cut_power(self) -> None:
        """End all processes, and leave of the disk what a power cut leaves."""
        self.tell("** the power is cut")
        for process in self.processes:
            process.dead = True
        self._bury(set(self.processes))
        self.ambush = ""
        self.disk, fates = self.disk.cut_power(self.dice)
        for fate in fates:
            self.tell(f"   {fate}")

    def aside(self, cut: bool) -> "World":
        """Return what would be left if all processes died here, with a power `cut` or without."""
        self.tell(f"?? what if all processes died here{' in a power cut' if cut else ''}")
        other = copy(self)
        other.ambush, other.processes, other.turns, other.writing = "", [], [], set()
        if cut:
            other.disk, fates = self.disk.cut_power(self.dice)
            for fate in fates:
                self.tell(f"   {fate}")
        else:
            other.disk = self.disk.copy()
        return other

    def _bury(self, dead: "set[Process]") -> None:
        self.writing.clear()
        for turn in [turn for turn in self.turns if turn[0] in dead]:
            self.turns.remove(turn)
            try:
                turn[1].throw(Died())
            except (StopIteration, Died, Cancelled, ValueError):
                # ValueError: the one that runs just now ends by itself.
                continue
