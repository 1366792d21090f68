"""What a log says to somebody who has never seen the engine, and what must be true of it.

Only what the bytes alone can tell: parents, branches, leases, and that every answer was true
at some moment of its call. The rest is told by `session_store.testing.history`.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple
from zlib import crc32

from session_store.errors import UnknownParentError
from session_store.testing.history import APPENDS, NEVER, Operation


class Line(NamedTuple):
    """A readable record and where it stands; `whole` is where its batch ends."""

    offset: int
    end: int
    record: dict[str, Any]
    kind: str
    whole: int


class State(NamedTuple):
    """Where a session stands behind a line: what the next message continues from."""

    head: str | None = None
    branch: str | None = None
    visible: tuple[str, ...] = ()
    said: tuple[str, ...] = ()


@dataclass(slots=True)
class Deed(Operation):
    """One call of one task, with what only a simulation can see of it."""

    size_before: int = 0
    size_after: float = NEVER
    error: BaseException | None = None
    lease: tuple[str, int] | None = None
    """Nonce and first offset of the lease that was held all through the call."""


def parse(line: bytes) -> dict[str, Any] | None:
    """Return the record on a line, None if it is damaged."""
    try:
        record = json.loads(line)
        whole = isinstance(record, dict) and crc32(line[:-18]) == int(record.get("crc", "0"), 16)
    except ValueError:
        return None
    return record if whole else None


class Log(NamedTuple):
    """The records of a log, and from where to where stands what is none and was not sealed off."""

    lines: list[Line]
    damage: list[tuple[int, int]]
    batches: bool
    """Whether there are lines of batches, complete or not."""


def read_log(data: bytes) -> Log:
    """Read a log: sealed tails and batches that never came whole are left out."""
    found: list[Line] = []
    damaged: list[tuple[int, int]] = []
    at = 0
    for piece in data.split(b"\n")[:-1]:
        line = piece.lstrip(b"\0")
        record = parse(line)
        end = at + len(piece) + 1
        if record is None:
            # The mark says that it was cut off, also where the seal behind it was as well; but a
            # hole may have swallowed lines before it.
            if not piece.endswith(b"~") or b"\0" in piece:
                damaged.append((at, end))
        else:
            if line != piece:
                damaged.append((at, end - len(line) - 1))
            kind = record.get("control", {}).get("kind", "")
            found.append(Line(at, end, record, kind, end))
        at = end
    void: set[int] = set()
    for line in reversed(found):
        if line.kind == "seal" and line.offset not in void:
            sealed = line.record["control"]
            assert sealed["offset"] + sealed["length"] + 1 == line.offset
            void.add(sealed["offset"])
    lines = list(_whole([line for line in found if line.offset not in void]))
    damage = [(start, end) for start, end in damaged if start not in void]
    return Log(lines, damage, any("batch" in line.record for line in found))


def _whole(lines: list[Line]) -> Iterator[Line]:
    for place, line in enumerate(lines):
        if "batch" not in line.record:
            yield line
            continue
        k, n = line.record["batch"]
        batch = lines[place - k + 1 : place - k + 1 + n] if place - k + 1 >= 0 else []
        if [one.record.get("batch") for one in batch] == [[i + 1, n] for i in range(n)]:
            yield line._replace(whole=batch[-1].end)


def states_of(lines: list[Line]) -> list[State]:
    """Return where the session stands before the first line, and behind each line."""
    head: str | None = None
    branch: str | None = None
    visible: tuple[str, ...] = ()
    said: tuple[str, ...] = ()
    states = [State()]
    for line in lines:
        if not line.kind:
            head, branch = line.record["id"], line.record.get("branch")
            visible += (line.record["id"],)
            said += (line.record["content"],)
        elif line.kind == "head":
            control = line.record["control"]
            head, branch = control["messageId"], control["branch"]
            if head is not None and head not in visible:
                head = visible[-1] if visible else None  # a hole has taken what was switched to
        elif line.kind == "reset":
            head, branch, visible, said = None, None, (), ()
        elif line.kind == "branch_deleted":
            branch = None if branch == line.record["control"]["name"] else branch
        states.append(State(head, branch, visible, said))
    return states


def judge_log(
    lines: list[Line], deeds: Iterable[Deed], since: float = 0, murky: tuple[float, float] = (0, 0)
) -> Iterator[str]:
    """Yield what is wrong with a log, given what was done and answered.

    Answers of calls that began before `since` were true of another log than this one; so was
    what the lines that stand in the `murky` range say of those before them, and what the index
    has counted there, from which a count goes on.
    """
    states = states_of(lines)
    appends = [deed for deed in deeds if deed.kind in APPENDS]
    yield from _stored(lines, [d for d in appends if d.began >= since or "durable" not in d.facts])
    yield from _parents(lines, states, appends, murky)
    yield from _branches(lines, states, murky)
    yield from _leases(lines, appends)
    asked = [d for d in deeds if d.began >= since and not (d.kind == "count" and murky[1])]
    yield from _answers(lines, states, asked)


def _stored(lines: list[Line], appends: list[Deed]) -> Iterator[str]:
    records = {line.record["id"]: line.record for line in lines if not line.kind}
    for deed in appends:
        if deed.outcome == "ok":
            for message in deed.answer:
                stored = records.get(message.id)
                answered = (message.content, message.parent_id)
                if stored and (stored["content"], stored["parentId"]) != answered:
                    yield f"acknowledged as {message}, and there as {stored}"


def _parents(
    lines: list[Line], states: list[State], appends: list[Deed], murky: tuple[float, float]
) -> Iterator[str]:
    given = {deed.facts["ids"][0]: deed.facts["given"] for deed in appends if "given" in deed.facts}
    for line, before in zip(lines, states, strict=False):
        if line.kind:
            continue
        parent, name = line.record["parentId"], line.record["content"]
        if name in given:
            if parent != given[name]:
                yield f"{name} was given {given[name]} and has {parent}"
            if parent not in (None, *before.visible) and not _is_in(murky, line):
                yield f"{name} hangs below {parent}, which is not there"
        elif parent != before.head and not _is_in(murky, line):
            yield f"{name} continues {parent}, not the head {before.head}"


def _is_in(murky: tuple[float, float], line: Line) -> bool:
    return murky[0] <= line.offset < murky[1]


def _branches(lines: list[Line], states: list[State], murky: tuple[float, float]) -> Iterator[str]:
    tips: dict[str, str] = {}
    for line, before in zip(lines, states, strict=False):
        branch, parent = line.record.get("branch"), line.record["parentId"]
        if line.kind in ("reset", "branch_deleted"):
            name = line.record["control"].get("name")
            tips = {one: tip for one, tip in tips.items() if name not in (one, None)}
        if branch is not None:
            on = (before.head, before.branch) == (parent, branch) or tips.get(branch) == parent
            if not on and not _is_in(murky, line):
                yield f"{line.record['content']} is on {branch}, not behind its tip"
            tips[branch] = line.record["id"]
        elif line.kind or parent is None or parent != before.head or not before.branch:
            continue
        elif not _is_in(murky, line):
            yield f"{line.record['content']} has left {before.branch}"


def _leases(lines: list[Line], appends: list[Deed]) -> Iterator[str]:
    fences = [line for line in lines if line.kind == "fence"]
    if not fences and not any(deed.lease for deed in appends):
        return
    place = {line.record["content"]: line.offset for line in lines if not line.kind}
    guarded: list[tuple[int, str]] = []
    for deed in appends:
        first = deed.facts["ids"][0]
        offset = place.get(first)
        if deed.lease is None or offset is None or deed.outcome != "ok" or "id" in deed.facts:
            continue
        nonce, since = deed.lease
        guarded.append((offset, nonce))
        for fence in fences:
            if since <= fence.offset < offset and fence.record["control"]["nonce"] != nonce:
                yield f"{first} of {nonce} stands behind the fence at {fence.offset}"
    seen: list[str] = []
    for _, nonce in sorted(guarded):
        if nonce in seen[:-1]:
            yield f"two leases are in force at once: {nonce}"
        if nonce not in seen:
            seen.append(nonce)


def _answers(lines: list[Line], states: list[State], deeds: list[Deed]) -> Iterator[str]:
    """Yield what was answered and was true at no moment of the call."""
    # A batch stands there when its last line does.
    ends = [0, *(line.whole for line in lines)]
    for deed in deeds:
        unknown = isinstance(deed.error, UnknownParentError)
        if not unknown and (deed.outcome != "ok" or deed.kind not in _ANSWERS):
            continue
        last = max(deed.size_after, deed.size_before)
        first = max(k for k, end in enumerate(ends) if end <= deed.size_before)
        during = [
            state for state, end in zip(states[first:], ends[first:], strict=True) if end <= last
        ]
        if unknown:
            if all(deed.facts.get("given") in state.visible for state in during):
                yield f"{deed.actor} was told that {deed.facts.get('given')} is unknown"
        elif not any(_agrees(deed, state) for state in during):
            yield f"{deed.actor} was told {deed.answer} by {deed.kind}, and it was never so"


_ANSWERS = ("switch", "read", "count", "head")


def _agrees(deed: Deed, state: State) -> bool:
    """Return whether the answer was right while the session stood so."""
    match deed.kind:
        case "switch":
            return (state.head, state.branch) == (deed.answer, deed.facts["name"])
        case "read":
            return bool(state.said == deed.answer)
        case "count":
            return bool(len(state.visible) == deed.answer)
        case _:
            return bool(state.head == deed.answer)
