"""Whether what something costs grows as what it is given does, and no faster."""

import time
from collections.abc import Callable

FACTOR = 8


def growth(work: Callable[[int], Callable[[], None]], size: int) -> float:
    """Return by how much it costs more to do `work(FACTOR * size)` than `work(size)`.

    That is about `FACTOR` for what grows as its input, and its square for what compares each
    with each. Counted is what this thread did, however busy the machine is.
    """
    costs: list[float] = []
    for one in (size, FACTOR * size):
        do = work(one)
        began = time.thread_time()
        do()
        costs.append(time.thread_time() - began)
    return costs[1] / costs[0]
