"""Judges a store whose files were damaged: what must still be shown, named, and possible.

Knows the rules of the format by itself, so that the readers under test cannot excuse
themselves: a line is a record's if its bytes stand between two line ends as they were written.
"""

import json
import re
from collections import Counter
from collections.abc import Iterator
from typing import Final, NamedTuple

from damage_kinds import Kind
from damage_world import Image, SessionTruth, World, loaded, open_store, unload

from session_store.files import InMemoryFileSystem
from session_store.model.records import Finding, Message
from session_store.sync import SessionStore

PLACES: Final = frozenset(
    {
        "damaged_checksum",
        "damaged_line",
        "false_seal",
        "misplaced_line",
        "nul_run",
        "pending_batch",
        "sealed_tail",
        "torn_batch",
        "torn_tail",
    }
)
"""Findings that name bytes; all others tell what follows from them."""


class Hurt(NamedTuple):
    """A file as it was and as it is; `start` to `end` are the old bytes that are not there."""

    path: str
    before: bytes
    after: bytes
    start: int
    end: int

    def __str__(self) -> str:
        return f"{self.path}[{self.start}:{self.end}]"


def hurt(path: str, before: bytes, after: bytes) -> Hurt:
    """Return what happened to a file, told by its first and its last byte that differ."""
    common = min(len(before), len(after))
    start = next((n for n in range(common) if before[n] != after[n]), common)
    behind = 0
    while behind < common - start and before[-1 - behind] == after[-1 - behind]:
        behind += 1
    return Hurt(path, before, after, start, len(before) - behind)


def whole_lines(data: bytes) -> list[bytes]:
    """Return the lines that a LF ends."""
    return data.split(b"\n")[:-1]


class Judge:
    """Knows a world, and tells what a damaged one does wrong.

    `baseline` are the findings of the world before the damage.
    """

    def __init__(self, world: World, image: Image | None = None) -> None:
        self.world = world
        self.image = world.closed if image is None else image
        store = open_store(loaded(self.image), 8)
        self.baseline = Counter(_place(finding) for finding in store.check().findings)
        self.by_line = {
            session_id: dict(self._lines(session_id)) for session_id in world.truth.sessions
        }

    def _lines(self, session_id: str) -> Iterator[tuple[bytes, Message]]:
        """Yield the line of each message, found by its id as text: ids here are unique."""
        lines = whole_lines(self.image.get(f"{session_id}/messages.jsonl", b""))
        for message in self.world.truth.sessions[session_id].every:
            begin = b'{"id":"%s",' % message.id.encode()
            [line] = [line for line in lines if line.startswith(begin)]
            yield line, message

    def survivors(self, session_id: str, log: bytes) -> list[Message]:
        """Return the messages whose lines stand in `log` as they were written, each once."""
        known = self.by_line[session_id]
        found = dict.fromkeys(line for line in whole_lines(log) if line in known)
        return [known[line] for line in found]

    def log(self, hurt: Hurt, kind: Kind) -> list[str]:
        """Return what is wrong with a store whose log was hurt in some kind of way."""
        image = self.image | {hurt.path: hurt.after}
        files, wrong = loaded(image), list[str]()
        store = open_store(files, 9)
        wrong += self._shown(store, hurt, kind)
        wrong += self._named(store, hurt, kind)
        wrong += self._works(store, image)
        wrong += self.kept(files, image)
        again = open_store(files, 10)
        if self._ids(again) != self._ids(store):
            wrong.append("a second opening shows something else")
        return wrong

    def _ids(self, store: SessionStore) -> list[str]:
        return [m.id for m in store.get_messages(self.world.main, include_reset=True)]

    def _shown(self, store: SessionStore, hurt: Hurt, kind: Kind) -> list[str]:
        main, truth = self.world.main, self.world.truth.sessions
        shown = store.get_messages(main, include_reset=True)
        survivors = self.survivors(main, hurt.after)
        if kind.cuts or not hurt.after.endswith(b"\n"):
            survivors = without_open_batch(survivors)
        if self._looks_cut(hurt.after):
            # Nobody could tell these batches from ones that were never answered.
            survivors = with_whole_batches(survivors)
        forged = unverified_in(hurt.after) if kind.moves else set[str]()
        if forged:
            # Damage that takes a checksum off leaves a line like one of the original's: it is
            # read, and counted as unverified. In the midst of a batch it ends that.
            if store.check().unverified < len(forged):
                return ["a line without a checksum is not counted as unverified"]
            shown = [message for message in shown if message.id not in forged]
            survivors = [message for message in survivors if message.id not in forged]
            survivors = [message for message in survivors if message.batch is None]
        wrong = compare(shown, truth[main], survivors, moved=kind.moves)
        streamed = list(store.stream_messages(main, include_reset=True))
        if streamed != store.get_messages(main, include_reset=True):
            wrong.append("the stream shows something else than the list")
        wrong += backwards(store, main)
        for session_id, other in truth.items():
            if session_id != main:
                wrong += unharmed(store, session_id, other)
        return wrong

    def _looks_cut(self, log: bytes) -> bool:
        """Return whether damage put an end where only a writer that sealed a tail puts one."""
        written = set(whole_lines(self.image[self.world.log]))
        return any(
            line.endswith(b"~") or b'"control":{"kind":"seal"' in line
            for line in whole_lines(log)
            if line not in written
        )

    def _named(self, store: SessionStore, hurt: Hurt, kind: Kind) -> list[str]:
        report = store.check()
        found = [finding for finding in report.findings if finding.code in PLACES]
        new = list((Counter(map(_place, found)) - self.baseline).elements())
        if hurt.before == hurt.after:
            return []
        wrong: list[str] = []
        if not kind.moves:  # a line elsewhere is no longer where its seal, or its batch, is
            wrong += [f"named what is whole: {p}" for p in new if not _touches(p, hurt)]
        told = _is_told(report.findings) or (kind.moves and report.unverified > 0)
        if not new and not self._excused(hurt) and not told:
            wrong.append(f"not named; found: {report.findings}")
        return wrong

    def _excused(self, hurt: Hurt) -> bool:
        """Return whether the damage lies in bytes that were no record anyway."""
        place = hurt.before.find(b"never answered")
        junk = hurt.before.rfind(b"\n", 0, place) + 1 if place >= 0 else -1
        return junk <= hurt.start and hurt.end <= hurt.before.find(b"\n", place)

    def _works(self, store: SessionStore, image: Image) -> list[str]:
        """Use the store as if nothing had happened."""
        wrong: list[str] = []
        main, truth = self.world.main, self.world.truth
        known = {message.id for message in store.get_messages(main)}
        first = store.append(main, {"role": "user", "content": "first after the damage"})
        if first.parent_id is not None and first.parent_id not in known:
            wrong.append(f"the next message follows {first.parent_id!r}, which is not shown")
        pair = [{"role": "user", "content": f"{n}"} for n in range(2)]
        last = store.append_many(main, pair)[-1]
        tail = [message.id for message in store.get_messages(main)][-3:]
        if tail[0] != first.id or tail[-1] != last.id:
            wrong.append("what was appended is not what comes last")
        if [m.id for m in store.get_linear_history(main, limit=2)][-1] != last.id:
            wrong.append("the history does not end in what was appended")
        wrong += keys_as(store, truth.keys)
        listed = {metadata.session_id for metadata in store.list_sessions().sessions}
        if not truth.sessions.keys() <= listed:
            wrong.append("a session is not listed")
        new = store.resolve("somebody:new")
        store.append(new, {"role": "user", "content": "hello"})
        if new in truth.sessions:
            wrong.append("a new key names an old session")
        return wrong

    def warm(self, hurt: Hurt, kind: Kind) -> list[str]:
        """Return what is wrong if the log is hurt under a store that has read it."""
        files, wrong = loaded(self.image), list[str]()
        store = open_store(files, 9)
        main, truth = self.world.main, self.world.truth.sessions[self.world.main]
        assert store.get_messages(main, include_reset=True) == truth.every
        files._files[hurt.path].data[:] = hurt.after
        files._touch(files._files[hurt.path])
        answer = store.append(main, {"role": "user", "content": "first after the damage"})
        shown = [m for m in store.get_messages(main, include_reset=True) if m.id != answer.id]
        if not kind.moves:
            wrong += compare(shown, truth, [])
        fresh = open_store(files, 10)
        there = fresh.get_messages(main, include_reset=True)
        # Whoever has read the log's last LF does not look at it again before an append.
        glued = hurt.after[len(hurt.before) - 1 :] not in (b"", b"\n")
        if there[-1:] != [answer] and not (glued and len(hurt.after) == len(hurt.before)):
            wrong.append(f"what was acknowledged after the damage is not there: {answer}")
        if not kind.moves:
            expected = self.survivors(main, hurt.after)
            if kind.cuts or not hurt.after.endswith(b"\n"):
                expected = without_open_batch(expected)
            if self._looks_cut(hurt.after):
                expected = with_whole_batches(expected)
            wrong += compare([m for m in there if m.id != answer.id], truth, expected)
        return wrong + self.kept(files, self.image | {hurt.path: hurt.after})

    def beside(self, hurt: Hurt, kind: Kind) -> list[str]:
        """Return what is wrong with a store in which a file beside the log was hurt."""
        image = self.image | {hurt.path: hurt.after}
        files, main = loaded(image), self.world.main
        store, truth = open_store(files, 9), self.world.truth.sessions[main]
        wrong: list[str] = []
        if store.get_messages(main, include_reset=True) != truth.every:
            wrong.append("the messages are not shown as they are")
        branches = store.get_branches(main)
        forged = kind.moves and unverified_in(hurt.after)
        if not forged:
            wrong += [f"invented or changed: {b}" for b in branches if b not in truth.branches]
        lines = whole_lines(hurt.after)
        for line in whole_lines(self.image[f"{main}/branches.jsonl"]):
            for branch in truth.branches:
                whole = hurt.path.endswith("lock.json") or line in lines
                if line.startswith(b'{"name":"%s"' % branch.name.encode()) and whole:
                    there = branch in branches or forged
                    wrong += [] if there else [f"not shown: {branch}"]
        findings = [f for f in store.check().findings if f.path == hurt.path]
        if hurt.path.endswith(".jsonl") and hurt.before != hurt.after and not findings:
            at_line_end = hurt.before.startswith(hurt.after) and hurt.after[-1:] in (b"", b"\n")
            blank = {line for line in lines if line.strip()} == set(whole_lines(hurt.before))
            wrong += [] if at_line_end or blank or forged else ["not named"]
        store.force_release(main)
        if not store.acquire_lock(main, "worker-2").acquired:
            wrong.append("a lock that was released by force cannot be had")
        store.create_branch(main, "after the damage")
        if "after the damage" not in [branch.name for branch in store.get_branches(main)]:
            wrong.append("a new branch is not shown")
        store.append(main, {"role": "user", "content": "under the lock"})
        store.release_lock(main, "worker-2")
        return wrong + self._works(store, image) + self.kept(files, image)

    def kept(self, files: InMemoryFileSystem, image: Image) -> list[str]:
        """Return what was deleted or written over to repair it; the index may be rewritten."""
        after = unload(files)
        return [
            f"{path} was changed"
            for path, data in image.items()
            if path.endswith(".jsonl")
            and not path.startswith("sessions.")
            and not after.get(path, b"").startswith(data)
        ]


def compare(
    shown: list[Message], truth: SessionTruth, survivors: list[Message], *, moved: bool = False
) -> list[str]:
    """Return what of `shown` was invented, changed or put elsewhere, and what is missing."""
    known = {message.id: message for message in truth.every}
    wrong = [f"invented: {message}" for message in shown if message.id not in known]
    wrong += [f"changed: {m}" for m in shown if m.id in known and known[m.id] != m]
    ids = [message.id for message in shown]
    wrong += [f"not shown: {message}" for message in survivors if message.id not in ids]
    order = {message.id: place for place, message in enumerate(truth.every)}
    places = [order[id_] for id_ in ids if id_ in order]
    if not moved and places != sorted(set(places)):
        wrong.append(f"shown in another order, or twice: {places}")
    return wrong


def backwards(store: SessionStore, session_id: str) -> list[str]:
    """Return where what is read from the end differs from what the whole tree tells."""
    fresh = open_store(store._engine._files, 11)
    near = fresh.get_linear_history(session_id, limit=5)
    return [] if near == store.get_linear_history(session_id)[-5:] else ["the tail reads otherwise"]


def unharmed(store: SessionStore, session_id: str, truth: SessionTruth) -> list[str]:
    """Return whether a session shows all that was acknowledged, and nothing else."""
    shown = (
        store.get_messages(session_id, include_reset=True),
        store.get_messages(session_id),
        store.get_branches(session_id),
    )
    return [] if shown == truth[:3] else [f"session {session_id} is not as it was"]


def keys_as(store: SessionStore, keys: dict[str, str]) -> list[str]:
    """Return the keys that name another session than they did, or none."""
    return [
        f"the key {key!r} names {store.get_session_id(key)!r}"
        for key, session_id in keys.items()
        if store.get_session_id(key) != session_id
    ]


CHECKSUM: Final = re.compile(rb',"crc":"[0-9a-f]{8}"\}\r?$')


def unverified_in(log: bytes) -> set[str]:
    """Return the ids on the lines that are JSON objects and have no checksum at their end.

    What a seal voids is no line of anybody's.
    """
    ids: set[str] = set()
    end = 0
    for line in whole_lines(log):
        offset, end = end, end + len(line) + 1
        seal = b'"control":{"kind":"seal","offset":%d,"length":%d}' % (offset, len(line))
        if CHECKSUM.search(line) or seal in log[end:].partition(b"\n")[0]:
            continue
        try:
            found = json.loads(line.lstrip(b"\0").decode("utf-8", "replace"))
        except ValueError:
            continue
        if isinstance(found, dict):
            ids.add(str(found.get("id") or f"line:{offset}"))
    return ids


Place = tuple[str, str, int | None, int | None]


def _place(finding: Finding) -> Place:
    return finding.code, finding.path, finding.offset, finding.length


def _touches(place: Place, hurt: Hurt) -> bool:
    """Return whether a finding names bytes of the lines that were hurt, or batches with them.

    The line before counts where its LF was hit, the one behind where a piece was joined to it.
    """
    code, path, offset, length = place
    if path != hurt.path or offset is None:
        return False
    if code == "misplaced_line" and _batch_was_hit(offset, hurt):
        return True
    start = hurt.after.rfind(b"\n", 0, hurt.start) + 1
    if hurt.before[: hurt.start].rpartition(b"\n")[0].endswith(b"~"):
        # A seal was hurt: what it sealed is named as well.
        start = hurt.after.rfind(b"\n", 0, start - 1) + 1
    behind = len(hurt.after) - (len(hurt.before) - hurt.end)
    line_end = hurt.after.find(b"\n", max(hurt.start, behind))
    end = len(hurt.after) if line_end < 0 else line_end + 1
    return offset <= end and start <= offset + (length or 0) + 1


def _batch_was_hit(offset: int, hurt: Hurt) -> bool:
    """Return whether one of the lines before was hit, of the batch of the line at `offset`."""
    at = begin = offset + len(hurt.before) - len(hurt.after)
    places = re.search(rb'"batch":\[(\d+),', hurt.before[at:].partition(b"\n")[0])
    for _ in range(int(places[1]) - 1 if places else 0):
        begin = hurt.before.rfind(b"\n", 0, begin - 1) + 1
    return begin < hurt.end and hurt.start < at


def _is_told(findings: list[Finding]) -> bool:
    """Return whether what is named is that lines are missing, or are there twice."""
    told = {"log_short", "stale_count", "wrong_count", "duplicate_id", "missing_parent"}
    return any(finding.code in told for finding in findings)


def with_whole_batches(messages: list[Message]) -> list[Message]:
    """Return the messages without those of a batch whose last line did not survive."""
    found: list[Message] = []
    held: list[Message] = []
    for message in messages:
        if message.batch is None or message.batch[0] == 1:
            held = []
        (found if message.batch is None else held).append(message)
        if message.batch is not None and message.batch[0] == message.batch[1]:
            found += held
            held = []
    return found


def without_open_batch(messages: list[Message]) -> list[Message]:
    """Return the messages without a batch at the end of which the last line did not survive."""
    if messages and (batch := messages[-1].batch) is not None and batch[0] < batch[1]:
        return messages[: -batch[0]]
    return messages
