"""A store in a world that one seed decides: processes, their crashes, power cuts, the clock.

`play(seed)` plays the schedules of a seed and returns what they broke; `python -m
session_store.testing.simulation SEED` tells them as a story, and with `--schedules` plays many.
`World`, `Process` and `Fresh` are for schedules that are written by hand.
"""

from .case import Case
from .disk import Disk
from .many import Report, play_many
from .players import Game, Player
from .process import Fresh, Mutex, Process
from .schedule import FAULTS, STYLES, Outcome, Tally, Wish, play
from .starts import STARTS, Start, start_of
from .story import tell
from .verdict import finish, judge
from .world import Cancelled, Died, Pause, World

__all__ = [
    "FAULTS",
    "STARTS",
    "STYLES",
    "Cancelled",
    "Case",
    "Died",
    "Disk",
    "Fresh",
    "Game",
    "Mutex",
    "Outcome",
    "Pause",
    "Player",
    "Process",
    "Report",
    "Start",
    "Tally",
    "Wish",
    "World",
    "finish",
    "judge",
    "play",
    "play_many",
    "start_of",
    "tell",
]
