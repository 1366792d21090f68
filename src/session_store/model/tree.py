"""The shape of a dialogue: who answers whom, also where the data contradicts itself.

Nothing here recurses: a dialogue may be a chain of a hundred thousand messages. Foreign logs
may name parents that are missing, and even run in circles; every message keeps exactly one
place all the same.
"""

from collections.abc import Iterable
from typing import Final

from .records import Message, inherits_parent

_ROOT: Final = -1


class Tree:
    """The messages of a log, in its order, and how they hang together.

    A message whose parent is missing is a root; of a circle, the first in the log is. Where
    two lines have one id, the first is found by it and has the children, and both are listed.
    """

    def __init__(self, messages: Iterable[Message] = ()) -> None:
        self._lines: list[Message] = list(messages)
        self._start_over()

    def add(self, message: Message) -> None:
        """Put `message` behind the last; what is asked next costs only what is new."""
        self._lines.append(message)

    def __len__(self) -> int:
        return len(self._lines)

    def get(self, message_id: str) -> Message | None:
        """Return the message with that id, or None."""
        line = self._line(message_id)
        return None if line is None else self._lines[line]

    def children(self, parent_id: str | None) -> list[Message]:
        """Return what hangs on `parent_id`, in log order; on None, the roots."""
        line = _ROOT if parent_id is None else self._line(parent_id)
        return [] if line is None else self._listed(self._below(line))

    def has_children(self, message_id: str) -> bool:
        """Return whether something hangs on `message_id`."""
        line = self._line(message_id)
        return line is not None and bool(self._below(line))

    def path_to(self, leaf_id: str) -> list[Message]:
        """Return the messages from the root to `leaf_id`, it included; none if unknown."""
        path: list[int] = []
        line = self._line(leaf_id)
        while line is not None and line != _ROOT:
            path.append(line)
            line = self._parents[line]
        return self._listed(reversed(path))

    def preorder(self, root_id: str | None = None) -> list[Message]:
        """Return all below `root_id` (None: all there are), each before its children.

        Depth first, children in log order; `root_id` itself is not among them.
        """
        line = _ROOT if root_id is None else self._line(root_id)
        if line is None:
            return []
        order: list[int] = []
        pending = self._below(line)[::-1]
        while pending:
            line = pending.pop()
            order.append(line)
            pending.extend(reversed(self._below(line)))
        return self._listed(order)

    def orphans(self) -> list[Message]:
        """Return the roots that name a parent: it is missing, or a circle leads to it."""
        return [root for root in self.children(None) if _parent_id(root) is not None]

    def _line(self, message_id: str) -> int | None:
        self._link()
        return self._first.get(message_id)

    def _below(self, line: int) -> list[int]:
        self._link()
        return self._children.get(line, [])

    def _listed(self, lines: Iterable[int]) -> list[Message]:
        return [self._lines[line] for line in lines]

    def _start_over(self) -> None:
        self._first: dict[str, int] = {}
        self._parents: list[int] = []
        self._children: dict[int, list[int]] = {}
        self._missing: set[str] = set()

    def _link(self) -> None:
        for line in range(len(self._parents), len(self._lines)):
            message = self._lines[line]
            parent_id = _parent_id(message)
            parent = _ROOT if parent_id is None else self._first.get(parent_id)
            if parent is None:
                assert parent_id is not None
                self._missing.add(parent_id)
                parent = _ROOT
            self._first.setdefault(message.id, line)
            if message.id in self._missing:
                # A child stood before its parent, which no log of ours has.
                self._link_in_any_order()
                return
            self._parents.append(parent)
            self._children.setdefault(parent, []).append(line)

    def _link_in_any_order(self) -> None:
        self._start_over()
        for line, message in enumerate(self._lines):
            self._first.setdefault(message.id, line)
        for message in self._lines:
            parent_id = _parent_id(message)
            parent = _ROOT if parent_id is None else self._first.get(parent_id)
            if parent is None:
                assert parent_id is not None
                self._missing.add(parent_id)
                parent = _ROOT
            self._parents.append(parent)
        self._cut_circles()
        for line, parent in enumerate(self._parents):
            self._children.setdefault(parent, []).append(line)

    def _cut_circles(self) -> None:
        parents = self._parents
        settled = bytearray(len(parents))
        for start in range(len(parents)):
            walk: dict[int, None] = {}
            line = start
            while line != _ROOT and not settled[line] and line not in walk:
                walk[line] = None
                line = parents[line]
            if line in walk:
                way = list(walk)
                parents[min(way[way.index(line) :])] = _ROOT
            for line in walk:
                settled[line] = 1


def _parent_id(message: Message) -> str | None:
    return None if inherits_parent(message) else message.parent_id
