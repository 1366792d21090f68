"""What the lines of a log amount to: its head, its branches, its tree of ids.

Pure: fed with records in the order of the log (PROTOCOLS D5). `Tail` is what the end of a
log tells, `Nodes` what only the whole of it tells.
"""

from array import array
from collections.abc import Sequence
from struct import pack
from typing import Final, NamedTuple

from session_store.index.fields import number
from session_store.jsonl.scanner import Entry

from .records import Node, is_control

RECENT: Final = 512


class Fence(NamedTuple):
    """A lease was taken over; `offset` is where the log says so."""

    offset: int
    epoch: int
    nonce: str


class Tip(NamedTuple):
    """The newest message on a branch; the messages on it go back to just behind `base`."""

    offset: int
    id: str
    base: str | None


class Tail:
    """What the last records of a log tell, from the offset `start` on.

    `known` says whether the head has been met: else it lies further back. `count` is how
    many messages there are that no reset hides, None while that is not known.
    """

    def __init__(self, start: int) -> None:
        self.start = start
        self.known = not start
        self.head: str | None = None
        self.branch: str | None = None
        self.count: int | None = None if start else 0
        self.reset_at = -1
        self.epoch = 0
        self.last_id: str | None = None
        self.last_timestamp: int | float = 0
        self._recent: dict[str, str | None] = {}
        self._older: dict[str, str | None] = {}
        self.tips: dict[str, str] = {}

    def apply(self, offset: int, node: Node) -> Fence | None:
        """Take in one more record; returns the fence if it is one."""
        self.last_id = node.id
        self.last_timestamp = number(node.timestamp)
        if node.control is not None and is_control(node):
            return self._control(offset, node)
        self.said(node.id, node.branch)
        return None

    def extend(self, entries: Sequence[Entry[Node]]) -> list[Fence]:
        """Take in more records, in bulk between those of the store itself; returns the fences."""
        fences: list[Fence] = []
        done = 0
        for place in [at for at, (_, _, node) in enumerate(entries) if node.control is not None]:
            self._said_all(entries[done:place])
            offset, _, node = entries[place]
            fence = self.apply(offset, node)
            if fence is not None:
                fences.append(fence)
            done = place + 1
        self._said_all(entries[done:] if done else entries)
        return fences

    def _said_all(self, entries: Sequence[Entry[Node]]) -> None:
        if len(entries) > RECENT:
            # Of these nothing is remembered but how many they are, and the tips.
            early, entries = entries[:-RECENT], entries[-RECENT:]
            if self.count is not None:
                self.count += len(early)
            self.tips |= {
                branch: node.id for _, _, node in early if (branch := node.branch) is not None
            }
        for _, _, node in entries:
            self.said(node.id, node.branch)
        if entries:
            last = entries[-1][2]
            self.last_id, self.last_timestamp = last.id, number(last.timestamp)

    def said(self, message_id: str, branch: str | None) -> None:
        """Take in that a message is the head now."""
        self.known = True
        self.head = message_id
        self.branch = branch
        if self.count is not None:
            self.count += 1
        if branch is not None:
            self.tips[branch] = message_id
        recent = self._recent
        if message_id not in recent and message_id not in self._older:
            if len(recent) == RECENT:
                # By halves: to drop the first key of a large dict takes 2 µs.
                self._older, self._recent = recent, {}
                recent = self._recent
            recent[message_id] = branch

    def met(self, message_id: str) -> bool:
        """Return whether a message is among the last `RECENT`, or more, that no reset hides."""
        return message_id in self._recent or message_id in self._older

    def branch_of(self, message_id: str) -> str | None:
        """Return the branch that a message it has `met` was said on."""
        recent = self._recent
        return recent[message_id] if message_id in recent else self._older[message_id]

    @property
    def remembered(self) -> int:
        """How many messages it has met and not forgotten."""
        return len(self._recent) + len(self._older)

    def _control(self, offset: int, node: Node) -> Fence | None:
        control = node.control or {}
        kind = control.get("kind")
        if kind == "head":
            self.known = True
            self.head = _text(control.get("messageId"))
            self.branch = _text(control.get("branch"))
        elif kind == "reset":
            self.known = True
            self.head = self.branch = None
            self.count = 0
            self.reset_at = offset
            self._recent, self._older = {}, {}
            self.tips.clear()
        elif kind == "branch_deleted":
            name = _text(control.get("name"))
            if name is not None:
                self.tips.pop(name, None)
            if name == self.branch:
                self.branch = None
        elif kind == "fence":
            epoch, nonce = control.get("epoch"), control.get("nonce")
            if isinstance(epoch, int) and isinstance(nonce, str):
                self.epoch = max(self.epoch, epoch)
                return Fence(offset, epoch, nonce)
        return None


class Nodes:
    """The whole tree of a log by ids alone: who stands where, below whom, on which branch.

    `deleted` says for the name of a branch how much of `branches.jsonl` does not count.
    """

    def __init__(self) -> None:
        self.ids: list[str] = []
        self.parents: list[str | None] = []
        self.starts = array("q")
        self.ends = array("q")
        self.first_visible = 0
        self.tips: dict[str, Tip] = {}
        self.deleted: dict[str, int] = {}
        self.epoch = 0
        self._ordinals: dict[str, int] = {}
        self._linked = 0

    def __len__(self) -> int:
        """Return how many messages there are, hidden ones included."""
        return len(self.ids)

    def extend(self, entries: Sequence[Entry[Node]]) -> None:
        """Take in more records, in bulk between those of the store itself."""
        done = 0
        for place in [at for at, (_, _, node) in enumerate(entries) if node.control is not None]:
            self._extend(entries[done:place])
            self.apply(*entries[place])
            done = place + 1
        self._extend(entries[done:] if done else entries)

    def _extend(self, entries: Sequence[Entry[Node]]) -> None:
        if not entries:
            return
        starts, ends, nodes = zip(*entries, strict=True)
        self.ids += [node.id for node in nodes]
        self.parents += [node.parent_id for node in nodes]
        # Through `pack`: twice as fast as to extend the arrays by the numbers.
        self.starts.frombytes(pack(f"{len(starts)}q", *starts))
        self.ends.frombytes(pack(f"{len(ends)}q", *ends))
        for offset, _, node in [entry for entry in entries if entry[2].branch is not None]:
            self._move_tip(offset, node)

    def apply(self, offset: int, end: int, node: Node) -> None:
        """Take in one more record."""
        if node.control is not None and is_control(node):
            self._control(offset, node)
            return
        self.ids.append(node.id)
        self.parents.append(node.parent_id)
        self.starts.append(offset)
        self.ends.append(end)
        self._move_tip(offset, node)

    def _move_tip(self, offset: int, node: Node) -> None:
        if node.branch is None:
            return
        before = self.tips.get(node.branch)
        goes_on = before is not None and before.id == node.parent_id
        base = before.base if before is not None and goes_on else node.parent_id
        self.tips[node.branch] = Tip(offset, node.id, base)

    def _control(self, offset: int, node: Node) -> None:
        control = node.control or {}
        kind = control.get("kind")
        if kind == "reset":
            self._link()
            self.first_visible = len(self.ids)
        elif kind == "branch_deleted":
            name, created = _text(control.get("name")), control.get("created")
            if name is not None and isinstance(created, int):
                self.deleted[name] = created
                self.tips.pop(name, None)
        elif kind == "fence":
            epoch = control.get("epoch")
            if isinstance(epoch, int):
                self.epoch = max(self.epoch, epoch)

    def used(self, message_id: str) -> int | None:
        """Return the ordinal of the message, also of a hidden one, or None."""
        self._link()
        return self._ordinals.get(message_id)

    def visible(self, message_id: str | None) -> int | None:
        """Return the ordinal of the message, or None if there is none to be seen."""
        ordinal = None if message_id is None else self.used(message_id)
        return ordinal if ordinal is not None and ordinal >= self.first_visible else None

    def path(self, leaf_id: str) -> list[int]:
        """Return the ordinals from the root to the leaf; it ends where a parent is missing.

        A cycle, which only foreign data has, is cut where it closes.
        """
        path: list[int] = []
        seen: set[int] = set()
        ordinal = self.visible(leaf_id)
        while ordinal is not None and ordinal not in seen:
            seen.add(ordinal)
            path.append(ordinal)
            ordinal = self.visible(self.parents[ordinal])
        path.reverse()
        return path

    def _link(self) -> None:
        """Make the ids findable that have come since; when one is asked for is early enough."""
        linked = self._linked
        if linked == len(self.ids):
            return
        ids = self.ids[linked:] if linked else self.ids
        self._linked = len(self.ids)
        fresh = dict(zip(ids, range(linked, self._linked), strict=True))
        if len(fresh) == len(ids) and not self._ordinals:
            self._ordinals = fresh
            return
        # The first of equal ids is the one that is found (A3 makes a second impossible here), or
        # the first behind a reset: else a line that stands there twice would have no head.
        for ordinal, message_id in enumerate(ids, linked):
            if self._ordinals.setdefault(message_id, ordinal) < self.first_visible:
                self._ordinals[message_id] = ordinal


def count_on(count: int, entries: Sequence[Entry[Node]]) -> int:
    """Return how many messages no reset hides, if there were `count` before these records."""
    for _, _, node in entries:
        control = node.control
        if control is None or not is_control(node):
            count += 1
        elif control.get("kind") == "reset":
            count = 0
    return count


def _text(value: object) -> str | None:
    return value if isinstance(value, str) else None
