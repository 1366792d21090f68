"""What can happen to the files of the index, and what must still be known afterwards."""

import json
import random
from collections import Counter
from collections.abc import Iterator
from itertools import product
from typing import Final, NamedTuple

from damage_judge import Judge, keys_as
from damage_kinds import cut, flips
from damage_world import Image, World, loaded, open_store

from session_store.files import InMemoryFileSystem
from session_store.jsonl.lines import checksum, damage
from session_store.sync import SessionStore

SNAPSHOT: Final = "sessions.json"
PREVIOUS: Final = "sessions.json.prev"

Whole = dict[str, bytes]
"""The files of the index alone, by their names; absent is missing."""


class IndexCase(NamedTuple):
    """The files of an index as they are now; `killed` if its journal was ahead of its snapshot."""

    name: str
    files: Whole
    killed: bool


def index_of(image: Image) -> Whole:
    """Return the files of the index."""
    return {path: data for path, data in image.items() if path.startswith("sessions.")}


def damaged_alone(world: World, alien: World) -> Iterator[IndexCase]:
    """Yield each file of the index damaged in each way, the others being whole."""
    for killed in (False, True):
        index = index_of(world.killed if killed else world.closed)
        for path, data in index.items():
            for how, after in ways(path, data, world, alien):
                yield _case(f"{path} {how}", index, {path: after}, killed=killed)
            for how, after in (*cut(data), *flips(data)):
                yield _case(f"{path} {how}", index, {path: after}, killed=killed)


def damaged_together(world: World, alien: World) -> Iterator[IndexCase]:
    """Yield every combination of whole, missing and damaged files."""
    for killed in (False, True):
        index = index_of(world.killed if killed else world.closed)
        choices = [
            [("whole", data), *ways(path, data, world, alien)] for path, data in index.items()
        ]
        for chosen in product(*choices):
            changes = dict(zip(index, (after for _, after in chosen), strict=True))
            name = ", ".join(f"{path} {how}" for path, (how, _) in zip(index, chosen, strict=True))
            yield _case(name, index, changes, killed=killed)


def ways(path: str, data: bytes, world: World, alien: World) -> list[tuple[str, bytes | None]]:
    """Return what can be there instead of a whole file; None for nothing."""
    found: list[tuple[str, bytes | None]] = [
        ("missing", None),
        ("empty", b""),
        ("of NULs", bytes(len(data))),
        ("cut in the middle", data[: len(data) // 2]),
        ("rubbish", random.Random(path).randbytes(len(data))),
    ]
    if path in world.older:
        found.append(("stale", world.older[path]))
    if path in alien.closed:
        found.append(("from another store", alien.closed[path]))
    return found


def _case(name: str, index: Whole, changes: dict[str, bytes | None], *, killed: bool) -> IndexCase:
    after = {path: changes.get(path, data) for path, data in index.items()}
    there = {path: data for path, data in after.items() if data is not None}
    return IndexCase(f"{'killed' if killed else 'closed'}: {name}", there, killed)


class IndexJudge:
    """Tells what a store with a damaged index does wrong."""

    def __init__(self, world: World) -> None:
        self.world = world
        self._judge = Judge(world)
        self._logs = {
            path: data for path, data in world.closed.items() if not path.startswith("sessions.")
        }
        sessions = world.truth.sessions
        self._baseline = Counter[tuple[str, str]]()
        for image in (world.closed, world.killed):
            found = open_store(loaded(image), 8).check().findings
            self._baseline |= Counter((finding.code, finding.path) for finding in found)
        self._with_messages = [id_ for id_, session in sessions.items() if session.every]
        self._first_keys = {"telegram:123": world.main, "telegram:456": world.other}

    def judge(self, case: IndexCase) -> list[str]:
        """Return what is wrong."""
        image = self._logs | case.files
        files = loaded(image)
        store = open_store(files, 9)
        report = store.check()
        wrong = self._known(store, case)
        new = Counter((finding.code, finding.path) for finding in report.findings)
        if not self._means_the_same(case) and not new - self._baseline:
            wrong.append("not named")
        wrong += self._works(store)
        wrong += self._judge.kept(files, image)
        wrong += self._set_aside(files, case)
        again = open_store(files, 10)
        if set(again.get_all_session_ids()) != set(store.get_all_session_ids()):
            wrong.append("a second opening knows other sessions")
        if {k: again.get_session_id(k) for k in again.get_all_keys()} != {
            k: store.get_session_id(k) for k in store.get_all_keys()
        }:
            wrong.append("a second opening knows other keys")
        return wrong

    def _known(self, store: SessionStore, case: IndexCase) -> list[str]:
        wrong: list[str] = []
        truth = self.world.truth
        if not self.trusts_a_stranger(case):
            ids = store.get_all_session_ids()
            wrong += [f"lost: {id_}" for id_ in self._with_messages if id_ not in ids]
            # The line that says so, and the snapshot without it: one of them must be there.
            told = self._whole(case, SNAPSHOT) or self._whole(case, "sessions.8.jsonl")
            if self.world.deleted in ids and told:
                wrong.append("a deleted session came back")
            keys = truth.keys if self.tells_all(case) else self._first_keys
            if case.killed and not self._whole(case, "sessions.9.jsonl"):
                keys = {key: id_ for key, id_ in keys.items() if key != "cli:ada"}
            wrong += keys_as(store, keys)
            if self.tells_all(case):
                wrong += self._metadata(store)
        else:
            store.check(repair_index=True)
            ids = store.get_all_session_ids()
            wrong += [f"not repaired: {id_}" for id_ in self._with_messages if id_ not in ids]
        for session_id in self._with_messages:
            if store.has_session(session_id):
                shown = store.get_messages(session_id, include_reset=True)
                if shown != truth.sessions[session_id].every:
                    wrong.append(f"{session_id} does not show what was acknowledged")
        return wrong

    def _metadata(self, store: SessionStore) -> list[str]:
        wrong: list[str] = []
        for session_id, session in self.world.truth.sessions.items():
            now, then = store.get_metadata(session_id), session.metadata
            assert then is not None
            if now is None or (now.user_id, now.metadata, now.created_at, now.message_count) != (
                then.user_id,
                then.metadata,
                then.created_at,
                then.message_count,
            ):
                wrong.append(f"of {session_id} another thing is known: {now}")
        return wrong

    def _works(self, store: SessionStore) -> list[str]:
        wrong: list[str] = []
        for key in ("telegram:123", "somebody:new"):
            session_id = store.resolve(key)
            answer = store.append(session_id, {"role": "user", "content": "next"})
            if store.get_messages(session_id)[-1] != answer:
                wrong.append(f"what was appended to {key!r} is not what comes last")
        store.flush(snapshot=True)
        return wrong

    def _set_aside(self, files: InMemoryFileSystem, case: IndexCase) -> list[str]:
        """Return whether a snapshot that could not be read is there no more, under no name."""
        data = case.files.get(SNAPSHOT)
        names = [path for path in files._files if path.startswith(SNAPSHOT)]
        there = any(bytes(files._files[path].data) == data for path in names)
        usable = data is None or self._reads(data)
        return [] if usable or there else ["the damaged snapshot was thrown away"]

    @staticmethod
    def _reads(data: bytes) -> bool:
        line = data.removesuffix(b"\n")
        return checksum(line) is not None and damage(line) is None

    def _whole(self, case: IndexCase, path: str) -> bool:
        return case.files.get(path) == self._whole_of(case)[path]

    def _means_the_same(self, case: IndexCase) -> bool:
        """Return whether nothing is hurt but what nobody will ever read."""
        whole = self._whole_of(case)
        changed = {path for path in whole if case.files.get(path) != whole[path]}
        if case.name.count("from another store"):
            return True  # written by the same hand, and telling of the same kind of things
        if changed in ({SNAPSHOT}, {PREVIOUS}):
            [path] = changed
            return case.files.get(path) == whole[path].removesuffix(b"\n")
        if changed == {"sessions.9.jsonl"}:
            # Nobody can tell the last journal, cut behind a line, from one that had no more.
            now = case.files.get("sessions.9.jsonl", b"")
            return now[-1:] == b"\n" and whole["sessions.9.jsonl"].startswith(now)
        if changed == {"sessions.8.jsonl"}:
            # What the previous snapshot holds of it.
            mark = json.loads(whole[PREVIOUS])["journal"]["size"]
            now = case.files.get("sessions.8.jsonl", b"")
            return now[mark:] == whole["sessions.8.jsonl"][mark:] and len(now) > mark
        return not changed

    def _whole_of(self, case: IndexCase) -> Whole:
        return index_of(self.world.killed if case.killed else self.world.closed)

    def tells_all(self, case: IndexCase) -> bool:
        """Return whether one of the two ways to the whole index is whole."""
        if self._whole(case, SNAPSHOT):
            return True
        spare = (PREVIOUS, "sessions.8.jsonl", "sessions.9.jsonl")
        return all(self._whole(case, path) for path in spare)

    def trusts_a_stranger(self, case: IndexCase) -> bool:
        """Return whether a snapshot that is whole, but not of this time and place, is there."""
        if self.tells_all(case) and case.files.get(SNAPSHOT) == self.world.older[SNAPSHOT]:
            return False  # an old copy is known for what it is by the whole rest
        used = (SNAPSHOT,) if self._whole(case, SNAPSHOT) else (SNAPSHOT, PREVIOUS)
        return any(
            path in case.files and not self._whole(case, path) and self._reads(case.files[path])
            for path in used
        )
