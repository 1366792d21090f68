"""What a log says to somebody who has never seen the engine, and what must be true of it."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from zlib import crc32

from session_store.errors import UnknownParentError


class Line(NamedTuple):
    """A readable record and where it stands."""

    offset: int
    end: int
    record: dict[str, Any]

    @property
    def kind(self) -> str:
        return self.record.get("control", {}).get("kind", "")


class State(NamedTuple):
    """Where a session stands behind a line: what the next message continues from."""

    head: str | None
    branch: str | None
    visible: tuple[str, ...]


def parse(line: bytes) -> dict[str, Any] | None:
    """Return the record on a line, None if it is damaged."""
    try:
        record = json.loads(line)
    except ValueError:
        return None
    whole = isinstance(record, dict) and crc32(line[:-18]) == int(record.get("crc", "0"), 16)
    return record if whole else None


def lines_of(data: bytes) -> list[Line]:
    """Return the records of a log: sealed tails and batches that never came whole left out."""
    found: list[Line] = []
    at = 0
    for piece in data.split(b"\n")[:-1]:
        record = parse(piece)
        line = Line(at, at + len(piece) + 1, record) if record is not None else None
        at += len(piece) + 1
        if line is not None:
            found.append(line)
    void: set[int] = set()
    for line in reversed(found):
        if line.kind == "seal" and line.offset not in void:
            sealed = line.record["control"]
            assert sealed["offset"] + sealed["length"] + 1 == line.offset
            void.add(sealed["offset"])
    return list(_whole([line for line in found if line.offset not in void]))


def _whole(lines: list[Line]) -> Iterator[Line]:
    for place, line in enumerate(lines):
        k, n = line.record.get("batch", (1, 1))
        batch = lines[place - k + 1 : place - k + 1 + n]
        if [one.record.get("batch", [1, 1]) for one in batch] == [[i + 1, n] for i in range(n)]:
            yield line


def states_of(lines: list[Line]) -> list[State]:
    """Return where the session stands before the first line, and behind each line."""
    head: str | None = None
    branch: str | None = None
    visible: list[str] = []
    states = [State(None, None, ())]
    for line in lines:
        control = line.record.get("control", {})
        if line.kind == "head":
            head, branch = control["messageId"], control["branch"]
        elif line.kind == "reset":
            head, branch, visible = None, None, []
        elif line.kind == "branch_deleted":
            branch = None if branch == control["name"] else branch
        elif not line.kind:
            head, branch = line.record["id"], line.record.get("branch")
            visible.append(line.record["id"])
        states.append(State(head, branch, tuple(visible)))
    return states


@dataclass
class Deed:
    """One call of one task, and what became of it: `ok`, `no` (an error), or `maybe`."""

    task: str
    kind: str
    session: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    began: int = 0
    ended: int = 1 << 60
    size_before: int = 0
    size_after: int = 1 << 60
    outcome: str = "maybe"
    error: BaseException | None = None
    answer: Any = None
    lease: tuple[str, int] | None = None
    """Nonce and first offset of the lease that was held all through the call."""

    @property
    def tags(self) -> list[str]:
        return self.facts.get("tags", [])


def judge_log(data: bytes, deeds: list[Deed]) -> Iterator[str]:
    """Yield what is wrong with the log of a session, given what was done and answered."""
    lines = lines_of(data)
    messages = [line for line in lines if not line.kind]
    ids = [line.record["id"] for line in messages]
    if len(ids) != len(set(ids)):
        yield f"an id stands twice: {ids}"
    appends = [deed for deed in deeds if deed.kind in ("append", "append_many")]
    yield from _acknowledged(messages, appends)
    yield from _nothing_else(messages, appends)
    yield from _order(messages, appends)
    yield from _parents(lines, appends)
    yield from _branches(lines)
    yield from _leases(lines, appends)
    yield from _errors(lines, deeds)


def _acknowledged(messages: list[Line], appends: list[Deed]) -> Iterator[str]:
    records = {line.record["id"]: line.record for line in messages}
    for deed in appends:
        if deed.outcome == "ok":
            for message, tag in zip(deed.answer, deed.tags, strict=True):
                stored = records.get(message.id)
                if stored is None:
                    yield f"acknowledged and lost: {tag}"
                elif (stored["content"], stored["parentId"]) != (tag, message.parent_id):
                    yield f"acknowledged as something else: {tag}, {stored}"


def _nothing_else(messages: list[Line], appends: list[Deed]) -> Iterator[str]:
    allowed = {tag for deed in appends if deed.outcome != "no" for tag in deed.tags}
    there = [line.record["content"] for line in messages]
    for tag in set(there):
        if tag not in allowed:
            yield f"refused and there: {tag}"
        if there.count(tag) > 1:
            yield f"there twice: {tag}"
    for deed in appends:
        if 0 < len(set(deed.tags) & set(there)) < len(deed.tags):
            yield f"half a batch: {deed.tags}"


def _order(messages: list[Line], appends: list[Deed]) -> Iterator[str]:
    place = {line.record["content"]: line.offset for line in messages}
    done = [deed for deed in appends if deed.outcome == "ok" and deed.tags[0] in place]
    for first in done:
        for then in done:
            behind = place[first.tags[0]] > place[then.tags[0]]
            if behind and first.ended < then.began and "id" not in then.facts:
                yield f"{then.tags} stands before {first.tags}"


def _parents(lines: list[Line], appends: list[Deed]) -> Iterator[str]:
    given = {deed.tags[0]: deed.facts["parent"] for deed in appends if "parent" in deed.facts}
    for line, before in zip(lines, states_of(lines), strict=False):
        parent, tag = line.record["parentId"], line.record.get("content")
        if line.kind:
            continue
        if tag in given:
            if parent != given[tag]:
                yield f"{tag} was given {given[tag]} and has {parent}"
            if parent is not None and parent not in before.visible:
                yield f"{tag} hangs below {parent}, which is not there"
        elif parent != before.head:
            yield f"{tag} continues {parent}, not the head {before.head}"


def _branches(lines: list[Line]) -> Iterator[str]:
    tips: dict[str, str] = {}
    for line, before in zip(lines, states_of(lines), strict=False):
        branch, parent = line.record.get("branch"), line.record["parentId"]
        if line.kind in ("reset", "branch_deleted"):
            name = line.record["control"].get("name")
            tips = {one: tip for one, tip in tips.items() if name not in (one, None)}
        if branch is not None:
            if (before.head, before.branch) != (parent, branch) and tips.get(branch) != parent:
                yield f"{line.record['content']} is on {branch}, not behind its tip"
            tips[branch] = line.record["id"]
        elif not line.kind and parent is not None and parent == before.head and before.branch:
            yield f"{line.record['content']} has left {before.branch}"


def _leases(lines: list[Line], appends: list[Deed]) -> Iterator[str]:
    place = {line.record.get("content"): line.offset for line in lines if not line.kind}
    fences = [line for line in lines if line.kind == "fence"]
    guarded: list[tuple[int, str]] = []
    for deed in appends:
        offset = place.get(deed.tags[0])
        if deed.lease is None or offset is None or deed.outcome != "ok" or "id" in deed.facts:
            continue
        nonce, since = deed.lease
        guarded.append((offset, nonce))
        for fence in fences:
            if since <= fence.offset < offset and fence.record["control"]["nonce"] != nonce:
                yield f"{deed.tags} of {nonce} stands behind the fence at {fence.offset}"
    seen: list[str] = []
    for _, nonce in sorted(guarded):
        if nonce in seen[:-1]:
            yield f"two leases are in force at once: {nonce}"
        if nonce not in seen:
            seen.append(nonce)


def _errors(lines: list[Line], deeds: list[Deed]) -> Iterator[str]:
    """What was answered must have been true at some moment of the call."""
    states = states_of(lines)
    # A batch stands there when its last line does.
    ends = [0]
    for place, line in enumerate(lines):
        k, n = line.record.get("batch", (1, 1))
        ends.append(lines[place + n - k].end)
    for deed in deeds:
        first = max(k for k, end in enumerate(ends) if end <= deed.size_before)
        during = [
            state
            for state, end in zip(states[first:], ends[first:], strict=True)
            if end <= max(deed.size_after, deed.size_before)
        ]
        if deed.outcome == "ok" and not any(_agrees(deed, state) for state in during):
            yield f"{deed.task} was told {deed.answer} by {deed.kind}, and it was never so"
        parent = deed.facts.get("parent")
        unknown = isinstance(deed.error, UnknownParentError)
        if unknown and all(parent in state.visible for state in during):
            yield f"{deed.task} was told that {parent} is unknown"


def _agrees(deed: Deed, state: State) -> bool:
    """Return whether the answer was right while the session stood so."""
    match deed.kind:
        case "switch":
            return (state.head, state.branch) == (deed.answer, deed.facts["name"])
        case "read":
            return bool(state.visible == deed.answer)
        case "count":
            return len(state.visible) == deed.answer
        case "head":
            return state.head == deed.answer
        case _:
            return True
