"""What was asked, what was answered, and whether a store can have behaved so.

Every caller writes down each call: when it began, when it ended, and what became of it (`ok`,
`fail`: it did not happen, `unknown`: it may have happened). In the end a fresh process reads
what is there (`Final`), and `check` says which promise was broken. It knows nothing of files or
logs, so a whole store of any engine can be judged by it, in a simulation or under real faults.

A message goes by one name everywhere: the id that the caller gave, or, where the store makes
the id, anything else that is unique, such as its content. The calls that `check` understands:

- `append`, `append_many`: `ids` in order; `parent` if it was given (a name or None);
  `durable=False` if a power cut may take it back (`durability="os"` or `"interval"`)
- `read`: the answer is the names of all visible messages; `count`: their number
- `resolve`: `key`, the answer is the session; `delete` (`durable=False` as above); `reset`
- `power_cut` (of the machine): what was not durable may be gone behind it

Other kinds are kept and not judged. Times are of one monotonic clock for all who write.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

from .operations import NEVER, History, Operation

APPENDS = ("append", "append_many")


@dataclass(slots=True)
class Left:
    """What a fresh process reads of one session in the end.

    `messages` are the names in the order of the log, each with the name of its parent, those
    hidden by a reset included; the last `visible` of them are shown (None: all), and `count` is
    what the session's metadata says (None: nobody asked).
    """

    messages: list[tuple[str, str | None]]
    count: int | None = None
    visible: int | None = None
    deleted: bool = False


@dataclass(slots=True)
class Final:
    """What a fresh process finds in the end: the sessions, and which key names which."""

    sessions: dict[str, Left]
    keys: dict[str, str] = field(default_factory=dict)


async def read_final(store: Any, name: Callable[[Any], str] = lambda message: message.id) -> Final:
    """Return what `store`, opened afresh, says of every session that it knows."""
    final = Final({})
    for session in await store.get_all_session_ids():
        everything = await store.get_messages(session, include_reset=True)
        names = {message.id: name(message) for message in everything}
        metadata = await store.get_metadata(session)
        final.sessions[session] = Left(
            [(name(m), names.get(m.parent_id, m.parent_id)) for m in everything],
            count=metadata.message_count,
            visible=len(await store.get_messages(session)),
        )
    for key in await store.get_all_keys():
        final.keys[key] = await store.get_session_id(key)
    return final


def check(history: History, final: Final) -> list[str]:
    """Return every broken promise as a sentence; an empty list says that none was."""
    sessions: dict[str, list[Operation]] = {}
    for operation in history.operations:
        sessions.setdefault(operation.session, []).append(operation)
    cuts = [one.began for one in history.operations if one.kind == "power_cut"]
    found: list[str] = []
    for session in sessions.keys() | final.sessions.keys():
        if session:
            case = _Case(session, sessions.get(session, []), final.sessions.get(session), cuts)
            found += case.judge()
    found += _foreign(sessions, final)
    found += _keys(history, final, cuts)
    return found


def _foreign(sessions: dict[str, list[Operation]], final: Final) -> Iterator[str]:
    said = {
        name: session
        for session, operations in sessions.items()
        for operation in operations
        if operation.kind in APPENDS
        for name in operation.facts["ids"]
    }
    for session, left in final.sessions.items():
        for name, _ in left.messages:
            if name not in said:
                yield f"{session}: {name} was said by nobody"
            elif said[name] != session and not _said_in(sessions.get(session, []), name):
                yield f"{session}: {name} was said in {said[name]}"


def _said_in(operations: list[Operation], name: str) -> bool:
    return any(one.kind in APPENDS and name in one.facts["ids"] for one in operations)


def _keys(history: History, final: Final, cuts: list[float]) -> Iterator[str]:
    resolved = [one for one in history.operations if one.kind == "resolve" and one.outcome == "ok"]
    deletes = [one for one in history.operations if one.kind == "delete"]
    tried = {one.session for one in deletes if one.outcome != "fail"}
    done = {one.session: one.ended for one in deletes if _for_good(one, cuts)}
    names: dict[str, str] = {}
    for one in resolved:
        key, session = one.facts["key"], one.answer
        if done.get(session, NEVER) < one.began:
            yield f"{key} was resolved to {session}, which was deleted"
        if session in tried or _may_be_lost(one, cuts):
            continue
        if names.setdefault(key, session) != session:
            yield f"{key} names {names[key]} and {session}"
        left = final.sessions.get(session)
        if left is None or left.deleted:
            yield f"{session}, which {key} was resolved to, is gone"
    for key, session in final.keys.items():
        if names.get(key, session) != session:
            yield f"{key} was resolved to {names[key]}, and names {session} in the end"


def _may_be_lost(operation: Operation, cuts: list[float]) -> bool:
    """Return whether a power cut behind the call may have taken back what it answered."""
    return not operation.facts.get("durable", True) and any(cut > operation.began for cut in cuts)


def _for_good(delete: Operation, cuts: list[float]) -> bool:
    return delete.outcome == "ok" and not _may_be_lost(delete, cuts)


@dataclass(slots=True)
class _Word:
    """All that is known of one message from those who said it."""

    began: float
    ended: float = NEVER
    refused: bool = True
    safe: bool = False
    fragile: float = NEVER
    """When it was first acknowledged and could still be lost to a power cut."""
    claims: int = 0
    latest: float = 0.0
    """When it was last said, perhaps once more after it was lost."""


class _Case:
    """One session: its calls, and what is left of it."""

    def __init__(
        self, session: str, operations: list[Operation], left: Left | None, cuts: list[float]
    ) -> None:
        self._name = session
        self._operations = operations
        self._cuts = cuts
        self._left = left
        self._gone = left is None or left.deleted
        self._names = [] if left is None else [name for name, _ in left.messages]
        self._place = {name: place for place, name in enumerate(self._names)}
        self._deletes = [o for o in operations if o.kind == "delete" and o.outcome != "fail"]
        # One that was refused because of a delete may have been there before.
        self._resets = [
            o for o in operations if o.kind == "reset" and (o.outcome != "fail" or self._deletes)
        ]
        self._appends = [o for o in operations if o.kind in APPENDS]
        self._words: dict[str, _Word] = {}
        for one in self._appends:
            for name in one.facts["ids"]:
                self._hear(name, one)
        for word in self._words.values():
            # Said again after it was lost, it is the later one that is there.
            if word.claims == 1:
                word.ended = min(word.ended, word.fragile)
            elif self._deletes:
                word.ended = NEVER

    def _hear(self, name: str, one: Operation) -> None:
        word = self._words.setdefault(name, _Word(one.began))
        if one.outcome == "fail":
            return
        # What a delete has refused may have been there before it.
        first = word.refused and not self._deletes
        word.began = one.began if first else min(word.began, one.began)
        word.refused = False
        word.claims += 1
        word.latest = max(word.latest, one.began)
        if one.outcome != "ok":
            return
        if _may_be_lost(one, self._cuts):
            word.fragile = min(word.fragile, one.ended)
        else:
            word.safe = True
            word.ended = min(word.ended, one.ended)

    def judge(self) -> list[str]:
        """Return what is wrong with this session."""
        found = [*self._after_death(), *self._reads(), *self._counts()]
        if self._gone:
            if not self._deletes and any(word.safe for word in self._words.values()):
                found.append("is gone, and nobody deleted it")
        else:
            found += [*self._lost(), *self._batches(), *self._order(), *self._tree()]
        return [f"{self._name}: {sentence}" for sentence in found]

    def _after_death(self) -> Iterator[str]:
        done = [one.ended for one in self._deletes if _for_good(one, self._cuts)]
        if not done:
            return
        if not self._gone:
            yield "was deleted, and is there"
        for one in self._operations:
            late = one.outcome == "ok" and one.began > min(done)
            if late and (one.kind in APPENDS or (one.kind == "read" and one.answer)):
                yield f"{one.actor} was answered {one.kind} after the delete"

    def _lost(self) -> Iterator[str]:
        if len(self._place) != len(self._names):
            twice = {name for name in self._names if self._names.count(name) > 1}
            yield f"there twice: {', '.join(sorted(twice))}"
        if self._deletes:
            return
        lost = NEVER
        for name, word in self._words.items():
            if name in self._place:
                if word.refused:
                    yield f"refused, and there: {name}"
            elif word.safe:
                yield f"acknowledged, and lost: {name}"
            elif word.ended != NEVER:
                lost = min(lost, word.ended)
        for name in self._names:
            word = self._words.get(name, _Word(0.0))
            if word.began > lost and not any(lost < cut < word.latest for cut in self._cuts):
                yield f"{name} is there, and something acknowledged before it is lost"

    def _batches(self) -> Iterator[str]:
        for one in self._appends:
            places = [self._place[name] for name in one.facts["ids"] if name in self._place]
            if one.kind != "append_many" or one.outcome == "fail" or not places:
                continue
            if places != list(range(places[0], places[0] + len(one.facts["ids"]))):
                yield f"not all or nothing, or not together: {', '.join(one.facts['ids'])}"

    def _order(self) -> Iterator[str]:
        """Yield what stands behind something that was asked after its answer."""
        soonest, first = NEVER, ""
        for name in reversed(self._names):
            word = self._words.get(name)
            if word is None:
                continue
            if soonest < word.began:
                yield f"{first} was answered before {name} was said, and stands behind it"
            if word.ended < soonest:
                soonest, first = word.ended, name

    def _tree(self) -> Iterator[str]:
        assert self._left is not None
        there: set[str | None] = {None}
        for name, parent in self._left.messages:
            if parent not in there:
                yield f"{name} hangs below {parent}, which does not stand before it"
            there.add(name)
        given = dict(self._left.messages)
        for one in self._appends:
            first = one.facts["ids"][0] if one.facts["ids"] else ""
            wrong = "parent" in one.facts and given.get(first) != one.facts["parent"]
            if wrong and first in given and one.outcome == "ok":
                yield f"{first} was given {one.facts['parent']} and hangs below {given[first]}"
        visible = len(self._names) if self._left.visible is None else self._left.visible
        if self._left.count not in (None, visible):
            yield f"the metadata counts {self._left.count} of {visible} messages"
        if visible > len(self._names) or (visible < len(self._names) and not self._resets):
            yield f"{visible} of {len(self._names)} messages are shown, and nobody reset it"

    def _reads(self) -> Iterator[str]:
        before: Operation | None = None
        reads = [o for o in self._operations if o.kind == "read" and o.outcome == "ok"]
        for one in sorted(reads, key=lambda read: read.ended):
            yield from self._read(one, list(one.answer))
            if before is not None and before.ended < one.began:
                yield from self._later(before, one)
            before = one

    def _read(self, one: Operation, names: list[str]) -> Iterator[str]:
        for name in names:
            word = self._words.get(name)
            if word is None:
                yield f"{one.actor} read {name}, which nobody said here"
            elif word.refused and not self._deletes:
                yield f"{one.actor} read {name}, which was refused"
            elif word.began > one.ended:
                yield f"{one.actor} read {name} before it was said"
        if len(set(names)) != len(names):
            yield f"{one.actor} read a message twice: {names}"
        reset = any(reset.began < one.ended for reset in self._resets)
        if not reset:
            for name, word in self._words.items():
                if word.ended < one.began and name not in names and not self._cut(0.0, one.began):
                    yield f"{one.actor} did not read {name}, which was acknowledged before"
        if not self._gone:
            yield from self._stands(one, names, reset)

    def _stands(self, one: Operation, names: list[str], reset: bool) -> Iterator[str]:
        """See that it is a run of the log, but for an end that a power cut has taken since."""
        start = self._place.get(names[0], 0) if reset and names else 0
        same = 0
        for name, stored in zip(names, self._names[start:], strict=False):
            if name != stored:
                break
            same += 1
        for name in names[same:]:
            word = self._words.get(name)
            kept = name in self._place and word is not None and word.safe and not self._deletes
            # Lost, and said again: it stands where it was said last.
            kept = kept and word is not None and word.fragile == NEVER
            if kept or not self._cut(one.began, NEVER):
                yield f"{one.actor} read {name}, which does not stand there in the end"
                return

    def _later(self, first: Operation, then: Operation) -> Iterator[str]:
        """See that a read is a prefix of the next one, unless a reset or a power cut came."""
        reset = any(r.began < then.ended and r.ended > first.began for r in self._resets)
        same = list(first.answer) == list(then.answer)[: len(first.answer)]
        if not same and not reset and not self._cut(first.began, then.ended):
            yield f"{then.actor} read {then.answer} after {first.actor} had read {first.answer}"

    def _cut(self, after: float, before: float) -> bool:
        return any(after <= cut <= before for cut in self._cuts)

    def _counts(self) -> Iterator[str]:
        for one in self._operations:
            if one.kind != "count" or one.outcome != "ok":
                continue
            words = self._words.values()
            # What a delete has refused may have been there before it.
            most = sum(
                word.began <= one.ended and bool(self._deletes or not word.refused)
                for word in words
            )
            least = sum(word.ended < one.began for word in words)
            hidden = any(reset.began < one.ended for reset in self._resets)
            if hidden or self._cut(0.0, one.ended):
                least = 0
            if not least <= one.answer <= most:
                yield f"{one.actor} counted {one.answer} messages, of {least} to {most}"


__all__ = ["APPENDS", "NEVER", "Final", "History", "Left", "Operation", "check", "read_final"]
