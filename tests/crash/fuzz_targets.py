"""What is fuzzed: each target takes bytes, and raises if the code under test does wrong.

What a reader may raise on purpose it catches; anything else (`RecursionError`, `MemoryError`,
`UnicodeDecodeError`, an `AssertionError` of the target) is a violation.
"""

import json
from collections.abc import Callable
from io import BytesIO
from typing import Any, Final, NamedTuple

import msgspec
from damage_world import loaded, open_store
from fuzz_plain import changes_of, records_of
from fuzz_seeds import INDEX_FILES, SPLIT, Seeds

from session_store.cli.transcript import Transcript, recorded_key
from session_store.errors import CorruptionError, InvalidMessageError, SessionStoreError
from session_store.files import InMemoryFileSystem
from session_store.formats import from_anthropic, from_openai, to_anthropic, to_openai
from session_store.index import records as journal
from session_store.index.fields import fields_of, times_of, to_metadata
from session_store.index.snapshot import (
    DamagedError,
    decode_snapshot,
    encode_snapshot,
    unsafe,
)
from session_store.index.state import IndexState
from session_store.jsonl import JSONLFile, Scanner
from session_store.jsonl.lines import close_line, damage, is_blurred, split_lines
from session_store.jsonl.scanner import seal_of
from session_store.locks.decision import (
    Silence,
    decide,
    decode,
    encode,
    is_live,
    needs_fence,
    shown,
)
from session_store.model.door import same_json
from session_store.model.ids import check_key
from session_store.model.messages import (
    encode_message,
    normalise,
    same_message,
)
from session_store.model.records import Message
from session_store.runtime import run
from session_store.store.branches import BranchRecord
from session_store.store.records import (
    is_control,
    read_branch,
    read_message,
    read_slim,
    write_branch,
)
from session_store.store.replay import Nodes, Tail


class Target(NamedTuple):
    """One door through which bytes come in; `weight` is its part of a thousand executions."""

    name: str
    run: Callable[[bytes], None]
    seeds: Callable[[Seeds], list[bytes]]
    weight: int
    most_bytes: int


def lines(data: bytes) -> None:
    """One line each: every reader of lines, and that the readers of one kind agree."""
    for offset, line in split_lines(data)[0]:
        damage(line)
        is_blurred(line)
        seal_of(line)
        _same_node(line, offset)
        for read in (read_branch, lambda line, _: journal.decode(line)):
            try:
                read(line, offset)
            except ValueError as error:
                _typed(error)


def _same_node(line: bytes, offset: int) -> None:
    try:
        message = read_message(line, offset)
    except ValueError as error:
        _typed(error)
        # The reader of ids looks at less, and may not see what is wrong with the rest.
        return
    slim = read_slim(line, offset)
    for field in ("id", "parent_id", "branch", "batch", "key", "control"):
        assert _alike(getattr(slim, field), getattr(message, field)), field
    assert is_control(slim) == is_control(message)
    assert message.id
    if message.batch is not None:
        assert 1 <= message.batch[0] <= message.batch[1]


def _alike(one: Any, other: Any) -> bool:
    return one == other or repr(one) == repr(other)  # a NaN is itself


def _typed(error: ValueError) -> None:
    """Let pass what a reader says of a line; a `UnicodeDecodeError` is none of its words."""
    if isinstance(error, UnicodeError) or type(error) not in (ValueError, InvalidMessageError):
        raise AssertionError(f"not translated: {error!r}") from error


def logs(data: bytes) -> None:
    """A whole log: read at once, in pieces, backwards and plainly, it says the same."""
    dice = data[:1] + data[-1:] + b"\x07"
    expected = records_of(data)
    at_once = Scanner(read_message)
    found = at_once.feed(data)
    assert _ids(found) == [(offset, m.id) for offset, m in expected], "the plain reader differs"
    starts = [offset for offset, _, _ in found]
    assert starts == sorted(set(starts)), "out of order"
    pieces = Scanner(read_message)
    given, available = [], 0
    while available < len(data):
        available = min(len(data), available + 1 + dice[available % 3] * 3)
        last = available == len(data)
        given += pieces.feed(data[pieces.position : available], last=last)
    assert _ids(given) == _ids(found), "in pieces it says something else"
    assert pieces.settled == at_once.settled or not data
    assert sorted(pieces.damage) == sorted(at_once.damage), "in pieces other damage is found"
    _backwards(data, found, at_once.position, dice[0])
    tail, nodes = Tail(0), Nodes()
    for offset, end, message in found:
        tail.apply(offset, message)
        nodes.apply(offset, end, message)
    if nodes.ids:
        nodes.path(nodes.ids[-1])


def _backwards(data: bytes, found: list[Any], end: int, want: int) -> None:
    """Read the blocks of a log from its end, as small as they come."""
    files = InMemoryFileSystem()
    run(files.write("log", data))
    file = JSONLFile(files, "log", encode=encode_message, decode=read_message)
    back: list[Any] = []
    block = run(file.tail(len(data), want=1 + want))
    while True:
        back[:0] = block.entries
        if not block.start:
            break
        assert block.start < end
        end = block.start
        block = run(file.tail(block.start, want=1 + want, followed=block))
    assert _ids(back) == _ids(found), "backwards it says something else"


def _ids(entries: list[Any]) -> list[tuple[int, str]]:
    return [(offset, record.id) for offset, _, record in entries]


def branches(data: bytes) -> None:
    """A file of branches: what is read can be written, and is read back the same."""
    scanner = Scanner(read_branch)
    for _, _, record in scanner.feed(data):
        assert isinstance(record.name, str) and isinstance(record.leaf_message_id, str)
        if not abs(record.created_at) < 2**63:
            continue  # read it may be, but nobody writes it
        line = close_line(write_branch(record))
        again = read_branch(line[:-1], 0)
        assert type(again) is BranchRecord and _alike(again, record)


def snapshots(data: bytes) -> None:
    """An index snapshot: damaged, from a newer version, or said again in our own words."""
    try:
        found = decode_snapshot(data)
    except (DamagedError, CorruptionError):
        return
    _metadata(found.state)
    again = decode_snapshot(encode_snapshot(found.state, 1, 2, "nonce"))
    assert not again.foreign and (again.epoch, again.size) == (1, 2)
    assert set(again.state.sessions) == set(found.state.sessions)
    for key, session_id in found.state.keys.items():
        assert again.state.keys.get(key) == session_id
    for session_id, stored in found.state.sessions.items():
        assert _same_metadata(session_id, stored, again.state.sessions[session_id])


def _metadata(state: IndexState) -> None:
    for session_id, stored in state.sessions.items():
        unsafe(session_id)
        to_metadata(session_id, stored)
        fields_of(stored)
        times = times_of(stored)
        assert isinstance(times.updated_at, float) and isinstance(times.created_at, float)
        state.keys_of(session_id)
    state.keys_as_read()


def _same_metadata(session_id: str, one: Any, other: Any) -> bool:
    return _alike(to_metadata(session_id, one), to_metadata(session_id, other))


def plain_changes(data: bytes) -> list[journal.JournalRecord]:
    """Return the records that the plain reader finds in a journal, each read alone."""
    ends = ((at, data.index(b"\n", at)) for at in changes_of(data))
    return [journal.decode(data[at:end].removesuffix(b"\r")) for at, end in ends]


def journals(data: bytes) -> None:
    """An index journal: replayed at once and in pieces it gives the same index."""
    whole, state = journal.scan(data, 0), IndexState()
    assert whole.records == plain_changes(data), "the plain reader differs"
    state.order("updated")
    for record in whole.records:
        state.apply(record)
    made = [record for record in whole.records if record.op == "register"]
    at_once, one_by_one = IndexState(), IndexState()
    at_once.register_all(made)
    for record in made:
        one_by_one.apply(record)
    assert (at_once.keys, at_once.sessions) == (one_by_one.keys, one_by_one.sessions)
    pieces, offset, last = IndexState(), 0, -1
    given: list[Any] = []
    try:
        for size in (*range(0, len(data), 97), len(data)):
            piece = data[offset:size]
            if size < len(data):
                lines = piece.rsplit(b"\n", 3)
                piece = lines[0] + b"\n" if len(lines) > 3 else b""
            found = journal.scan(piece, offset, last)
            given += found.records
            offset, last = found.end, found.last
    except journal.Retracted:
        given = whole.records
    for record in given:
        pieces.apply(record)
    assert given == whole.records
    assert pieces.keys == state.keys and pieces.deleted == state.deleted
    assert set(pieces.sessions) == set(state.sessions)
    _metadata(state)
    snapshots(encode_snapshot(state, 1, len(data), "nonce"))


def locks(data: bytes) -> None:
    """A lock file: unreadable, or something to decide by."""
    lock = decode(data)
    if lock is not None:
        assert decode(encode(lock)) == lock
        shown("s", lock)
        Silence().is_full(lock, 1e9)
    is_live(lock, 1)
    needs_fence(lock, absent=False, log_size=9)
    for owner, silent in (("w", False), ("x", True)):
        decide(lock, owner=owner, token="0123", held=None, silent=silent)


def door(data: bytes) -> None:
    """What a caller gives: refused, or written and read back as it was."""
    try:
        given = json.loads(data)
    except (ValueError, RecursionError):
        return
    for value in given if isinstance(given, list) else [given]:
        try:
            message = normalise(value)
            check_key(value.get("key", "k"))
        except (InvalidMessageError, ValueError) as error:
            assert isinstance(error, SessionStoreError), error
            continue
        line = close_line(encode_message(message))
        back = read_message(line[:-1], 0) if message.id else None
        assert damage(line[:-1]) is None
        if back is not None:
            assert same_message(message, back), "read back as something else"
            plain = json.loads(line)
            typed = msgspec.json.decode(line)
            assert same_json(plain, typed), "two parsers disagree"


def imports(data: bytes) -> None:
    """A file to import: each line a message that can be appended, or a reason why not."""
    recorded_key(BytesIO(data))
    readings = []
    for _ in range(2):
        transcript = Transcript(BytesIO(data), used=frozenset({"m1"}), visible=frozenset({"m1"}))
        readings.append(list(transcript.read()))
    first, second = readings
    assert first == second, "a second reading says something else"
    end = 0
    for line in first:
        assert line.end >= end
        end = line.end
        if line.message is not None:
            normalise(line.message)
            encode_message(line.message)
    assert end <= len(data)


def formats(data: bytes) -> None:
    """A dialogue in somebody's format: refused, or given back as it came."""
    try:
        items = json.loads(data)
    except (ValueError, RecursionError):
        return
    if not isinstance(items, list):
        return
    for read, write in ((from_openai, to_openai), (from_anthropic, _anthropic)):
        try:
            messages = read(items)
        except InvalidMessageError:
            continue
        back = write(messages)
        assert json.dumps(back)
        _exported(messages)
    _foreign(items)


def _anthropic(messages: list[Message]) -> list[Any]:
    conversation = to_anthropic(messages)
    return [conversation.system, conversation.messages]


def _exported(messages: list[Message]) -> None:
    """Said in the other format too, whatever it is."""
    json.dumps(to_openai(messages))
    json.dumps(_anthropic(messages))


def _foreign(items: list[Any]) -> None:
    """Write what stands on foreign lines, which may be of any shape."""
    found: list[Message] = []
    for item in items:
        if isinstance(item, dict):
            line = json.dumps(item).encode()
            try:
                found.append(read_message(line, 0))
            except ValueError as error:
                _typed(error)
    _exported(found)


def indexes(data: bytes) -> None:
    """All the files of an index: whatever they are, the store opens, works, and opens again."""
    names = (*INDEX_FILES, "found/messages.jsonl")
    parts = data.split(SPLIT)
    image = {name: part for name, part in zip(names, parts, strict=False) if part}
    image["kept/messages.jsonl"] = _KEPT
    files = loaded(image)
    try:
        store = open_store(files, 9)
        ids = set(store.get_all_session_ids())
        store.check()
        session_id = store.resolve("new:key")
        assert store.append(session_id, {"role": "user", "content": "x"}).id
        store.flush(snapshot=True)
    except CorruptionError:
        return
    again = open_store(files, 10)
    assert ids | {session_id} <= set(again.get_all_session_ids())
    assert again.get_session_id("new:key") == session_id
    assert files._files["kept/messages.jsonl"].data == _KEPT


_KEPT: Final = close_line(b'{"id":"m","parentId":null,"type":"user","timestamp":1,"key":"kept:key"')


def stores(data: bytes) -> None:
    """A whole session: its log, branches and lock may hold anything, and it goes on."""
    log, branch, lock, *_ = [*data.split(SPLIT), b"", b""]
    files = loaded({"s/messages.jsonl": log, "s/branches.jsonl": branch, "s/lock.json": lock})
    run(files.write("sessions.json", _INDEX))
    store = open_store(files, 9)
    before = [message.id for message in store.get_messages("s", include_reset=True)]
    store.check()
    store.get_branches("s")
    store.get_tree("s")
    store.get_context("s")
    answer = store.append("s", {"role": "user", "content": "x"})
    store.force_release("s")
    assert store.acquire_lock("s", "worker").acquired
    store.append_many("s", [{"role": "user", "content": "y"}, {"role": "user", "content": "z"}])
    store.release_lock("s", "worker")
    store.create_branch("s", "b")
    again = open_store(files, 10)
    shown = [message.id for message in again.get_messages("s")]
    assert shown == [message.id for message in store.get_messages("s")], "the cache differs"
    assert len(shown) >= 3 and answer.id in shown
    every = [message.id for message in again.get_messages("s", include_reset=True)]
    assert before == every[: len(before)], "what was shown is not the beginning of what is shown"
    assert bytes(files._files["s/messages.jsonl"].data).startswith(log)
    assert again.get_linear_history("s", limit=4) == again.get_linear_history("s")[-4:]


_INDEX: Final = encode_snapshot(
    IndexState({"k": "s"}, {"s": msgspec.Raw(b'{"sessionId":"s","createdAt":1,"updatedAt":1}')}),
    0,
    0,
    "nonce",
)


def _sessions(seeds: Seeds) -> list[bytes]:
    logs, files = seeds.logs(), seeds.named("branches.jsonl", "lock.json")
    return [SPLIT.join((log, file, file)) for log in logs[:4] for file in files[:4]]


def _messages(seeds: Seeds) -> list[bytes]:
    return [line for line in seeds.lines() if b'"type"' in line]


TARGETS: Final = {
    target.name: target
    for target in (
        Target("lines", lines, Seeds.lines, 50, 512),
        Target("logs", logs, Seeds.logs, 16, 2048),
        Target("branches", branches, lambda seeds: seeds.named("branches.jsonl"), 40, 1024),
        Target("snapshots", snapshots, lambda seeds: seeds.named(".json", ".prev"), 180, 2048),
        Target("journals", journals, lambda seeds: seeds.named(".8.jsonl", ".9.jsonl"), 24, 2048),
        Target("locks", locks, lambda seeds: seeds.named("lock.json"), 280, 512),
        Target("door", door, _messages, 200, 1024),
        Target("imports", imports, Seeds.logs, 20, 2048),
        Target(
            "formats", formats, lambda seeds: [*seeds.dialogues(), *_messages(seeds)], 180, 1024
        ),
        Target("indexes", indexes, Seeds.indexes, 5, 8192),
        Target("stores", stores, _sessions, 5, 4096),
    )
}
