"""The tree of a log as `check` judges it, in sixteen bytes a message: a log may hold millions.

Ids are known by their hash alone, 64 bits that no writer can foresee. What looks odd is looked
up by a second reading; one that hides behind an equal hash is as likely as a wrong checksum.
"""

from array import array
from collections.abc import Sequence
from typing import Final, NamedTuple

from session_store.jsonl.scanner import Entry

from .records import Node, is_control

_SHARES: Final = 256
_RECENT: Final = 4096


class Oddities(NamedTuple):
    """What is odd about a tree: the ordinals of messages, and the hashes of ids met twice."""

    orphans: set[int]
    before_parent: set[int]
    doubled: set[int]


class Census:
    """Counts the messages of a log and finds those that contradict each other."""

    def __init__(self) -> None:
        self.messages = 0
        self._hidden = 0
        # One share after the other is worked through, so that none of it takes much memory.
        self._ids = [(array("q"), array("q")) for _ in range(_SHARES)]
        self._parents = [(array("q"), array("q")) for _ in range(_SHARES)]
        self._recent: set[str] = set()
        self._before: set[str] = set()

    @property
    def visible(self) -> int:
        """Return how many messages no reset hides."""
        return self.messages - self._hidden

    def extend(self, entries: Sequence[Entry[Node]]) -> None:
        """Take in more records, in the order of the log."""
        for _, _, node in entries:
            control = node.control
            if control is not None and is_control(node):
                if control.get("kind") == "reset":
                    self._hidden = self.messages
                continue
            parent = node.parent_id
            # Most answer what was said just before; the others are judged in the end.
            if parent is not None and parent not in self._recent and parent not in self._before:
                self._note(self._parents, parent)
            self._note(self._ids, node.id)
            if len(self._recent) >= _RECENT:
                self._before, self._recent = self._recent, set()
            self._recent.add(node.id)
            self.messages += 1

    def _note(self, shares: list[tuple["array[int]", "array[int]"]], message_id: str) -> None:
        digest = hash(message_id)
        digests, ordinals = shares[digest % _SHARES]
        digests.append(digest)
        ordinals.append(self.messages)

    def holds(self, message_id: str) -> bool:
        """Return whether there is such a message, hidden or not."""
        digest = hash(message_id)
        return digest in self._ids[digest % _SHARES][0]

    def oddities(self) -> Oddities:
        """Return what a second reading should tell of by name; empty if all is as it should be."""
        found = Oddities(set(), set(), set())
        for ids, parents in zip(self._ids, self._parents, strict=True):
            first: dict[int, int] = {}
            for digest, ordinal in zip(*ids, strict=True):
                if first.setdefault(digest, ordinal) != ordinal:
                    found.doubled.add(digest)
            for digest, ordinal in zip(*parents, strict=True):
                parent = first.get(digest)
                if parent is None:
                    found.orphans.add(ordinal)
                elif parent >= ordinal:
                    found.before_parent.add(ordinal)
        return found
