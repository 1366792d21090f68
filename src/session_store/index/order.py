"""All sessions by one of their times, kept sorted while they change."""

from bisect import bisect_left, insort
from collections.abc import Iterable, Iterator


class Order:
    """Pairs (time, id), oldest first; equal times are ordered by id."""

    __slots__ = ("_entries", "_times")

    def __init__(self, entries: Iterable[tuple[float, str]]) -> None:
        self._entries = sorted(entries)
        self._times = {session_id: time for time, session_id in self._entries}

    def put(self, session_id: str, time: float) -> None:
        """Let the session stand at `time`, wherever it stood before."""
        if self._times.get(session_id) == time:
            return
        self.drop(session_id)
        self._times[session_id] = time
        insort(self._entries, (time, session_id))

    def drop(self, session_id: str) -> None:
        """Take the session out, if it is there."""
        time = self._times.pop(session_id, None)
        if time is not None:
            del self._entries[bisect_left(self._entries, (time, session_id))]

    def newest_first(self, before: tuple[float, str] | None) -> Iterator[tuple[float, str]]:
        """Yield the pairs, newest first, from right behind `before`; not while it changes."""
        start = len(self._entries) if before is None else bisect_left(self._entries, before)
        for place in range(start - 1, -1, -1):
            yield self._entries[place]
