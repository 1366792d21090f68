"""How large the run is: the sizes of the issue, or small ones for a look in passing."""

from typing import NamedTuple


class Scale(NamedTuple):
    """Sizes, and how long each rate is measured."""

    name: str
    repetitions: int
    slices: int
    """Into so many turns a rate is cut, in which all rows take part: the disk has its moods."""
    budget: float
    """Seconds for each turn; a row that needs less for `count` is done earlier."""
    messages: int
    """How many a rate is measured with at most."""
    read_sizes: tuple[int, ...]
    sizes: tuple[int, ...]
    """Of sessions and of indexes: the curves, the last 20, opening a store."""
    trees: tuple[int, ...]
    creations: int
    live: int
    """Messages of which a subscriber says how long they took."""
    idle_seconds: float
    crowds: tuple[int, ...]
    peer_workloads: str
    peer_sizes: tuple[int, ...]
    fill_seconds: float
    """What a peer may take to make a session; one that needs more has no point there."""
    starts: int

    @property
    def largest(self) -> int:
        """Return the size of the largest session."""
        return self.sizes[-1]


QUICK = Scale(
    name="quick",
    repetitions=3,
    slices=1,
    budget=0.25,
    messages=10_000,
    read_sizes=(1_000, 10_000),
    sizes=(100, 1_000, 10_000),
    trees=(2_000, 10_000),
    creations=1_000,
    live=40,
    idle_seconds=1.5,
    crowds=(4,),
    peer_workloads="A",
    peer_sizes=(),
    fill_seconds=2,
    starts=5,
)

FULL = Scale(
    name="full",
    repetitions=3,
    slices=3,
    budget=0.5,
    messages=100_000,
    read_sizes=(1_000, 10_000, 100_000),
    sizes=(100, 1_000, 10_000, 100_000, 1_000_000),
    trees=(10_000, 100_000),
    creations=10_000,
    live=200,
    idle_seconds=10,
    crowds=(4, 8),
    peer_workloads="ABCDFHK",
    peer_sizes=(100, 1_000, 10_000),
    fill_seconds=30,
    starts=10,
)
