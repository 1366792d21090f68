"""The short way of an append: the same bytes, the same rules, and nothing half done."""

import errno
import os
from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from session_store import (
    AppendUnknownError,
    ClosedError,
    InvalidMessageError,
    LeaseLostError,
    Message,
    RealFileSystem,
    SessionMetadata,
    SessionNotFoundError,
    StoreConfig,
    ToolCall,
    ToolResult,
    UnavailableError,
)
from session_store.index.journal import JournalIndex
from session_store.runtime import run
from session_store.store.engine import Engine
from session_store.store.quick import NEAR_BYTES, Quick
from session_store.store.writer import Writer
from session_store.sync import SessionStore
from session_store.testing.simulation import World
from session_store.testing.simulation.process import Brisk, Fresh

Open = Callable[..., SessionStore]

SAID: list[Any] = [
    Message(type="user", role="user", content="hello"),
    Message(type="assistant", role="assistant", content="héllo \U0001f642\n"),
    Message(type="system", content="without a role"),
    Message(type="user", role="user", content=""),
    Message(type="user", role="user", content=[{"type": "text", "text": "a block"}]),
    Message(type="user", role="user", content="x", metadata={"a": [1, None]}),
    Message(
        type="assistant",
        role="assistant",
        tool_calls=[ToolCall(id="c", name="f", arguments={"q": "é"})],
    ),
    Message(type="tool_result", tool_result=ToolResult(tool_call_id="c", result=None)),
    Message(type="user", role="user", content="at a time", timestamp=5),
    Message(type="note", role="editor", content="of another type"),
    {"role": "user", "content": "a mapping"},
]


class Short(Brisk, Fresh):
    """Files that answer at once, and count how often."""

    landed = 0

    def append_now(self, path: str, data: bytes, size: int) -> bool:
        done = super().append_now(path, data, size)
        self.landed += done and path.endswith("messages.jsonl")
        return done


@pytest.fixture
def opened(tmp_path: Path) -> Iterator[Open]:
    """Each call opens another store on one folder, as another process would."""
    stores: list[SessionStore] = []

    def open_one(**config: Any) -> SessionStore:
        stores.append(SessionStore.open(tmp_path / "sessions", durability="os", **config))
        return stores[-1]

    yield open_one
    for store in stores:
        store.close()


@pytest.fixture
def landed(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The sessions to which the short way has appended."""
    seen: list[str] = []
    append = Quick.append

    def heard(self: Quick, session_id: str, given: Any) -> Any:
        answer = append(self, session_id, given)
        seen.extend([session_id] if answer is not None else [])
        return answer

    monkeypatch.setattr(Quick, "append", heard)
    return seen


def log_of(store: SessionStore, tmp_path: Path, session: str) -> bytes:
    return (tmp_path / "sessions" / session / "messages.jsonl").read_bytes()


class Ways:
    """The same calls by each way an append can go, in worlds that are alike."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self._patch = monkeypatch
        self.gone_on = 0

    def __iter__(self) -> Iterator[tuple[Short | Fresh, Engine]]:
        go_on = Writer.go_on

        async def heard(writer: Writer, session_id: str, drafts: Any) -> Any:
            answer = await go_on(writer, session_id, drafts)
            self.gone_on += answer is not None
            return answer

        async def never(*_: Any) -> None:
            """Leave it to the long way."""

        for files, way in ((Short(World(1)), never), (Fresh(World(1)), heard)):
            self._patch.setattr(Writer, "go_on", way)
            yield files, Engine(files, StoreConfig(durability="os"), files)
        long = Fresh(World(1))
        self._patch.setattr(Writer, "go_on", never)
        yield long, Engine(long, StoreConfig(durability="os"), long)


def test_the_short_ways_write_what_the_long_way_writes(monkeypatch: pytest.MonkeyPatch) -> None:
    ways, logs, landed = Ways(monkeypatch), [], []
    for files, engine in ways:
        session = run(engine.resolve("key"))

        answers = [run(engine.append(session, message)) for message in SAID]

        logs.append(files.world.bytes_of(f"{session}/messages.jsonl"))
        landed.append(getattr(files, "landed", 0))
        assert run(engine.get_messages(session)) == answers
        counted = run(engine.get_metadata(session))
        assert counted is not None and counted.message_count == len(SAID)
    assert logs[0] == logs[1] == logs[2]
    assert landed == [len(SAID) - 1, 0, 0]
    assert ways.gone_on == len(SAID) - 1


def test_the_short_ways_write_a_batch_as_the_long_way_does(monkeypatch: pytest.MonkeyPatch) -> None:
    ways, logs, landed = Ways(monkeypatch), [], []
    for files, engine in ways:
        session = run(engine.resolve("key"))
        run(engine.append(session, SAID[0]))

        answers = run(engine.append_many(session, SAID)) + run(
            engine.append_many(session, SAID[:1])
        )

        logs.append(files.world.bytes_of(f"{session}/messages.jsonl"))
        landed.append(getattr(files, "landed", 0))
        assert run(engine.get_messages(session))[1:] == answers
        counted = run(engine.get_metadata(session))
        assert counted is not None and counted.message_count == len(SAID) + 2
        assert run(engine.check()).ok
    assert logs[0] == logs[1] == logs[2]
    assert landed == [2, 0, 0]
    assert ways.gone_on == 2


def test_the_branch_that_was_switched_to_goes_on(opened: Open, landed: list[str]) -> None:
    store = opened()
    session = store.resolve("key")
    root = store.append(session, SAID[0])
    store.append(session, SAID[1])
    store.create_branch(session, "other", root.id)
    store.switch_to_branch(session, "other")

    said = [store.append(session, SAID[0]) for _ in range(3)]

    assert landed.count(session) >= 3
    assert [message.branch for message in said] == ["other"] * 3
    assert [message.parent_id for message in said] == [root.id, said[0].id, said[1].id]
    branch = store.get_branch(session, "other")
    assert branch is not None and branch.leaf_message_id == said[-1].id


def test_who_lost_the_lease_is_refused(opened: Open, landed: list[str], tmp_path: Path) -> None:
    store = opened()
    session = store.resolve("key")
    store.append(session, SAID[0])
    assert store.acquire_lock(session, "me")
    store.append(session, SAID[0])
    opened().force_release(session)
    before = log_of(store, tmp_path, session)

    for _ in range(2):
        with pytest.raises(LeaseLostError):
            store.append(session, SAID[0])

    assert landed == [session]
    assert log_of(store, tmp_path, session) == before


def test_a_session_that_another_deleted_is_gone(opened: Open, landed: list[str]) -> None:
    store, other = opened(), opened()
    session = store.resolve("key")
    for _ in range(3):
        store.append(session, SAID[0])
    other.delete_session(session)

    with pytest.raises(SessionNotFoundError):
        store.append(session, SAID[0])

    assert landed == [session] * 2
    assert not opened().has_session(session)


def test_a_delete_whose_folder_is_still_there_is_seen(opened: Open, tmp_path: Path) -> None:
    class Stuck(RealFileSystem):
        async def delete_tree(self, path: str) -> None:
            raise UnavailableError(path, "not now")

    store = opened()
    session = store.resolve("key")
    store.append(session, SAID[0])
    store.append(session, SAID[0])
    with (
        SessionStore(Stuck(tmp_path / "sessions"), StoreConfig(durability="os")) as other,
        pytest.raises(UnavailableError, match="the delete is recorded"),
    ):
        other.delete_session(session)

    with pytest.raises(SessionNotFoundError):
        store.append(session, SAID[0])


@pytest.mark.parametrize(
    ("how", "short"), [("replaced", False), ("grown", True), ("far", False), ("torn", False)]
)
def test_what_another_did_to_the_log_is_seen_first(
    opened: Open, landed: list[str], tmp_path: Path, how: str, short: bool
) -> None:
    store = opened()
    session = store.resolve("key")
    store.append(session, SAID[0])
    mine = store.append(session, SAID[0])
    path = tmp_path / "sessions" / session / "messages.jsonl"
    if how == "replaced":
        draft = path.with_name("draft")
        draft.write_bytes(path.read_bytes())
        os.replace(draft, path)
    else:
        text = "x" * (NEAR_BYTES if how == "far" else 1)
        mine = opened().append(session, Message(type="user", role="user", content=text))
        if how == "torn":
            path.write_bytes(path.read_bytes() + b'{"id":"')

    said = store.append(session, SAID[0])

    assert landed == [session] * (1 + short)
    assert said.parent_id == mine.id
    assert opened().get_messages(session)[-1] == said


def test_a_size_that_the_disk_does_not_tell_is_left_to_the_long_way(
    opened: Open, landed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = opened(), opened()
    session = store.resolve("key")
    store.append(session, SAID[0])
    store.append(session, SAID[0])
    mine = other.append(session, SAID[0])

    honest, looks = os.lseek, count()

    def gone(*look: int) -> int:
        if next(looks):
            raise OSError(errno.EIO, "Input/output error")
        return honest(*look)

    with monkeypatch.context() as patched:
        # As XFS does once it is shut down.
        patched.setattr(os, "lseek", gone)
        said = store.append(session, SAID[0])

    assert landed == [session]
    assert said.parent_id == mine.id
    assert opened().get_messages(session)[-1] == said


def test_a_message_that_landed_is_no_failure_where_the_index_cannot_be_looked_at(
    opened: Open, landed: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    store = opened()
    session = store.resolve("key")
    store.append(session, SAID[0])
    honest = os.lseek

    def gone(fd: int, *rest: int) -> int:
        if os.readlink(f"/proc/self/fd/{fd}").endswith("messages.jsonl"):
            return honest(fd, *rest)
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "lseek", gone)
    said = store.append(session, SAID[0])

    assert landed == [session]
    assert opened().get_messages(session)[-1] == said


def test_half_a_character_is_refused_and_nothing_is_written(opened: Open, tmp_path: Path) -> None:
    store = opened()
    session = store.resolve("key")
    store.append(session, SAID[0])
    before = log_of(store, tmp_path, session)

    with pytest.raises(InvalidMessageError, match="content"):
        store.append(session, Message(type="user", role="user", content="\ud800"))

    assert log_of(store, tmp_path, session) == before
    assert store.append(session, SAID[0])


def test_a_message_that_is_too_long_is_refused(opened: Open, tmp_path: Path) -> None:
    store = opened(max_message_bytes=500)
    session = store.resolve("key")
    store.append(session, SAID[0])

    with pytest.raises(InvalidMessageError, match="at most 500"):
        store.append(session, Message(type="user", role="user", content="x" * 500))

    assert log_of(store, tmp_path, session).count(b"\n") == 1


def test_a_closed_store_appends_nothing(opened: Open, tmp_path: Path) -> None:
    store = opened()
    session = store.resolve("key")
    store.append(session, SAID[0])
    store.append(session, SAID[0])
    store.close()

    with pytest.raises(ClosedError):
        store.append(session, SAID[0])

    assert log_of(store, tmp_path, session).count(b"\n") == 2


def test_a_subclass_with_an_append_of_its_own_is_asked(tmp_path: Path) -> None:
    heard: list[str] = []

    class Hearing(RealFileSystem):
        async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
            heard.append(path)
            return await super().append(path, data, if_size=if_size)

    with SessionStore(Hearing(tmp_path), StoreConfig(durability="os")) as store:
        session = store.resolve("key")
        for _ in range(3):
            store.append(session, SAID[0])

    assert heard.count(f"{session}/messages.jsonl") == 3


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("landed_first", [False, True])
def test_an_append_whose_end_is_unknown_is_told_as_such_and_goes_on(
    tmp_path: Path, many: bool, landed_first: bool
) -> None:
    errors: list[UnavailableError] = []

    class Failing(RealFileSystem):
        def append_now(self, path: str, data: bytes, size: int) -> bool:
            if errors and landed_first:
                super().append_now(path, data, size)
            if errors:
                raise errors.pop()
            return super().append_now(path, data, size)

    with SessionStore(Failing(tmp_path), StoreConfig(durability="os")) as store:
        session = store.resolve("key")
        first = store.append(session, SAID[0])

        def say() -> Any:
            return store.append_many(session, SAID[:2]) if many else store.append(session, SAID[0])

        errors.append(UnavailableError("log", "the disk went away", unknown=True))
        with pytest.raises(AppendUnknownError, match="went away") as told:
            say()
        errors.append(UnavailableError("log", "nothing was begun"))
        if not landed_first:
            with pytest.raises(UnavailableError, match="nothing was begun"):
                say()
        errors.clear()
        landed = store.get_messages(session)
        say()

        assert told.value.session_id == session
        count = (2 if many else 1) * landed_first
        assert landed[0] == first
        assert len(landed) == 1 + count
        assert (landed[-1].id == told.value.message_id) is landed_first
        after = store.get_messages(session)
        assert len(after) == 1 + count + (2 if many else 1)
        assert after[len(landed)].parent_id == landed[-1].id
        assert store.check().ok


@pytest.mark.parametrize("many", [False, True])
def test_a_batch_with_a_message_that_is_too_long_is_refused_whole(
    opened: Open, tmp_path: Path, many: bool
) -> None:
    store = opened(max_message_bytes=500)
    session = store.resolve("key")
    store.append(session, SAID[0])
    before = log_of(store, tmp_path, session)
    long = Message(type="user", role="user", content="x" * 500)

    with pytest.raises(InvalidMessageError, match="at most 500"):
        store.append_many(session, [SAID[0], long] if many else [long])

    assert log_of(store, tmp_path, session) == before


def test_what_is_cached_of_a_log_is_not_let_go_during_an_append(opened: Open) -> None:
    store = opened()
    logs = store._engine._logs
    session, other = store.resolve("key"), store.resolve("other")
    for one in (session, other):
        store.append(one, SAID[0])
        store.get_messages(one)
    log = logs.try_take(session)
    assert log is not None

    logs._max_bytes = 1
    store.get_messages(other)

    assert log.nodes is not None
    logs.leave(log)
    store.get_messages(other)
    assert log.nodes is None


@pytest.mark.parametrize("many", [False, True])
@pytest.mark.parametrize("field", ["content", "metadata"])
def test_the_messages_kept_are_the_written_ones(opened: Open, field: str, many: bool) -> None:
    store = opened()
    session = store.resolve("key")
    store.append(session, SAID[0])
    store.get_messages(session)
    value = {"type": "text", "text": "as it was"}
    fields: dict[str, Any] = {"content": "a text", field: [value] if field == "content" else value}
    message = Message(type="user", role="user", **fields)

    if many:
        store.append_many(session, [SAID[0], message])
    else:
        store.append(session, message)
    value["text"] = "changed since"

    kept = getattr(store.get_messages(session)[-1], field)
    assert kept in ({"type": "text", "text": "as it was"}, [{"type": "text", "text": "as it was"}])


def test_what_was_appended_since_the_tree_was_read_is_in_it(opened: Open) -> None:
    store = opened()
    session = store.resolve("key")
    said = [store.append(session, SAID[0]).id]
    store.get_messages(session)

    said += [store.append(session, SAID[0]).id for _ in range(600)]

    assert [message.id for message in store.get_messages(session)] == said
    assert [message.id for message in store.get_linear_history(session)] == said
    assert store.check().ok


def test_a_known_key_takes_one_look_and_what_another_did_is_seen(
    opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, other = opened(), opened()
    session = store.resolve("key")
    asked: list[str | None] = []
    register = JournalIndex.register

    async def counted(
        self: JournalIndex, session_id: str, key: str | None, metadata: SessionMetadata
    ) -> str:
        asked.append(key)
        return await register(self, session_id, key, metadata)

    monkeypatch.setattr(JournalIndex, "register", counted)

    assert store.resolve("key") == session
    assert asked == []

    other.delete_session(session)

    assert store.resolve("key") != session
    assert asked == ["key"]
