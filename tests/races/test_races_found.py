"""Schedules that once broke a promise, each by hand."""

from collections.abc import Callable
from contextlib import suppress
from typing import Any

import pytest
from interleave import Fresh, World

from session_store.errors import (
    AppendUnknownError,
    NotLockOwnerError,
    SessionNotFoundError,
    UnavailableError,
)
from session_store.index import core as index_core
from session_store.jsonl import file as jsonl_file
from session_store.jsonl.lines import close_line
from session_store.jsonl.scanner import Scanner
from session_store.model.config import StoreConfig
from session_store.runtime import run
from session_store.store import logs
from session_store.store.engine import Engine
from session_store.store.records import control_record, read_message

KEY = "telegram:1"


def user(text: str, **fields: Any) -> dict[str, Any]:
    return {"type": "user", "content": text, **fields}


@pytest.fixture
def world() -> World:
    return World(0)


@pytest.fixture
def start(world: World) -> Callable[..., Engine]:
    """Start another process on the same files."""

    def start_one(**config: Any) -> Engine:
        process = Fresh(world)
        return Engine(process, StoreConfig(durability="os", **config), process)

    return start_one


Start = Callable[..., Engine]


class TestWhatOthersDidBefore:
    def test_a_parent_that_another_process_wrote_is_known(self, start: Start) -> None:
        here, there = start(), start()
        session = run(here.resolve(KEY))
        run(here.append(session, user("a")))
        theirs = run(there.append(session, user("b", parentId=None)))

        answer = run(here.append(session, user("c", parentId=theirs.id)))

        assert answer.parent_id == theirs.id

    def test_a_switch_counts_though_this_process_stood_there_before(self, start: Start) -> None:
        here, there = start(), start()
        session = run(here.resolve(KEY))
        leaf = run(here.append(session, user("a")))
        run(here.create_branch(session, "left", leaf.id))
        run(here.switch_to_branch(session, "left"))
        run(there.append(session, user("b", parentId=None)))

        run(here.switch_to_branch(session, "left"))

        assert run(start().get_head(session)) == leaf.id

    def test_a_branch_that_another_process_made_can_be_switched_to(self, start: Start) -> None:
        here, there = start(), start()
        session = run(here.resolve(KEY))
        run(here.append(session, user("a")))
        theirs = run(there.append(session, user("b")))
        run(there.create_branch(session, "left", theirs.id))

        assert run(here.switch_to_branch(session, "left")) == theirs.id

    def test_a_repeated_append_to_a_deleted_session_is_refused(self, start: Start) -> None:
        here, there = start(), start()
        session = run(here.resolve(KEY))
        run(here.append(session, user("a", id="m1")))
        run(there.delete_session(session))

        with pytest.raises(SessionNotFoundError):
            run(here.append(session, user("a", id="m1")))


class TestDeletedSessionsLeaveNothing:
    def test_after_its_lock_is_released(self, start: Start, world: World) -> None:
        here, there = start(), start()
        session = run(here.resolve(KEY))
        run(here.acquire_lock(session, "me"))
        run(there.delete_session(session))

        with pytest.raises((SessionNotFoundError, NotLockOwnerError)):
            run(here.release_lock(session, "me"))

        assert world.names_below(session) == []

    def test_after_a_store_that_held_its_lock_is_closed(self, start: Start, world: World) -> None:
        here, there = start(), start()
        session = run(here.resolve(KEY))
        run(here.acquire_lock(session, "me"))
        run(there.delete_session(session))

        run(here.close())

        assert world.names_below(session) == []

    def test_when_it_is_deleted_under_its_own_lock(self, start: Start, world: World) -> None:
        here = start()
        session = run(here.resolve(KEY))
        run(here._hold(session, "me", None))
        run(here.delete_session(session))

        run(here._let_go(session, "me", None))

        assert world.names_below(session) == []

    def test_after_its_lock_is_renewed(self, start: Start, world: World) -> None:
        here, there = start(), start()
        session = run(here.resolve(KEY))
        run(here.acquire_lock(session, "me"))
        run(there.delete_session(session))

        with pytest.raises(SessionNotFoundError):
            run(here._renew(session))

        assert world.names_below(session) == []

    def test_when_a_fence_meets_the_delete(
        self, start: Start, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here, there = start(), start()
        session = run(here.resolve(KEY))
        run(here.append(session, user("a")))
        write = here._files.write

        async def write_late(path: str, *rest: Any, **options: Any) -> Any:
            if path.endswith("lock.json"):
                await there.delete_session(session)
            return await write(path, *rest, **options)

        monkeypatch.setattr(here._files, "write", write_late)

        with pytest.raises(SessionNotFoundError):
            run(here.acquire_lock(session, "me"))

        assert world.names_below(session) == []


class TestAnswersThatFail:
    def test_an_append_that_landed_is_never_called_unwritten(
        self, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here = start()
        session = run(here.resolve(KEY))
        run(here.append(session, user("a")))

        async def not_now(_: str) -> bool:
            raise UnavailableError("sessions.json", "not now")

        monkeypatch.setattr(here._index, "has", not_now)

        with pytest.raises(AppendUnknownError) as caught:
            run(here.append(session, user("b")))

        monkeypatch.undo()
        last = run(here.get_messages(session))[-1]
        assert (last.content, last.id) == ("b", caught.value.message_id)
        again = run(here.append(session, user("b", id=caught.value.message_id)))
        assert again == last

    def test_a_count_that_cannot_be_noted_fails_nobody(
        self, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here = start()
        session = run(here.resolve(KEY))

        async def not_now(*_: object) -> None:
            raise UnavailableError("sessions.json", "not now")

        monkeypatch.setattr(here._index, "note_append", not_now)

        assert run(here.append(session, user("a"))).content == "a"

    def test_a_lost_answer_from_a_session_that_was_deleted_meanwhile(
        self, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here, there = start(), start()
        session = run(here.resolve(KEY))
        run(here.append(session, user("a")))
        append = here._files.append

        async def lose(path: str, data: bytes, **options: Any) -> int:
            if path.startswith(session):
                monkeypatch.undo()
                await append(path, data, **options)
                await there.delete_session(session)
                raise UnavailableError(path, "the answer was lost", unknown=True)
            return await append(path, data, **options)

        monkeypatch.setattr(here._files, "append", lose)

        with pytest.raises(SessionNotFoundError):
            run(here.append(session, user("b")))

    def test_an_append_that_stays_unknown_names_the_id_to_repeat(
        self, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here = start(io_timeout_ms=1)
        session = run(here.resolve(KEY))

        async def lose(path: str, _: bytes, **__: Any) -> int:
            raise UnavailableError(path, "the answer was lost", unknown=True)

        with monkeypatch.context() as patched:
            patched.setattr(here._files, "append", lose)
            with pytest.raises(AppendUnknownError) as caught:
                run(here.append(session, user("a")))

        named = caught.value.message_id
        assert named
        assert run(here.append(session, user("a", id=named))).id == named

    def test_an_opening_that_breaks_off_leaves_nothing_half_known(
        self, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(logs, "TAIL_BYTES", 300)
        here = start()
        session = run(here.resolve(KEY))
        first = run(here.append(session, user("a")))
        for _ in range(9):
            run(here.force_release(session))
            run(here.acquire_lock(session, "me"))
            run(start().force_release(session))
        there = start()
        run(there.init())
        read, reads = there._files.read, list[str]()

        async def break_off(path: str, *rest: Any) -> bytes:
            if path.endswith("messages.jsonl"):
                reads.append(path)
                if len(reads) == 2:
                    raise UnavailableError(path, "not now")
            return await read(path, *rest)

        monkeypatch.setattr(there._files, "read", break_off)
        with pytest.raises(UnavailableError):
            run(there.get_head(session))

        assert run(there.append(session, user("b"))).parent_id == first.id


class TestTornTails:
    def test_a_sealed_tail_at_the_end_of_a_chunk_does_not_brick_the_session(
        self, start: Start, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here = start()
        session = run(here.resolve(KEY))
        for n in range(3):
            run(here.append(session, user(f"m{n}")))
        path = f"{session}/messages.jsonl"
        torn = close_line(b'{"id":"torn","parentId":null,"type":"user","timestamp":1}')[:-1]
        run(world.disk.append(path, torn))
        run(start().append(session, user("m3")))
        size = world.bytes_of(path).index(torn) + len(torn) + 1
        monkeypatch.setattr(logs, "TAIL_BYTES", 200)

        for chunk in range(size - 3, size + 20):
            monkeypatch.setattr(jsonl_file, "CHUNK_BYTES", chunk)
            texts = [message.content for message in run(start().get_messages(session))]
            assert texts == ["m0", "m1", "m2", "m3"]
            assert run(start().check()).ok

    def test_a_batch_cut_off_in_its_last_line_stays_torn_if_its_sealer_dies_too(
        self, start: Start, world: World
    ) -> None:
        here = start()
        session = run(here.resolve(KEY))
        run(here.append_many(session, [user("a"), user("b")]))
        path = f"{session}/messages.jsonl"
        whole = world.bytes_of(path)
        torn = whole[: whole.rindex(b'"content"')]
        run(world.disk.write(path, torn + b"\n"))

        assert run(start().get_messages(session)) == []
        run(start().append(session, user("c")))
        assert [message.content for message in run(start().get_messages(session))] == ["c"]

    def test_a_batch_with_a_damaged_last_line_keeps_the_rest(
        self, start: Start, world: World
    ) -> None:
        here = start()
        session = run(here.resolve(KEY))
        run(here.append_many(session, [user("a"), user("b")]))
        path = f"{session}/messages.jsonl"
        run(world.disk.write(path, world.bytes_of(path).replace(b'"b"', b'"x"')))

        assert [message.content for message in run(start().get_messages(session))] == ["a"]

    def test_a_reader_that_took_half_a_seal_for_damage_reads_anew(self) -> None:
        # The LF that ends the torn tail is seen before the seal behind it is.
        lines = [
            close_line(b'{"id":"%d","parentId":null,"type":"user","batch":[%d,2]}' % (n, n))
            for n in (1, 2)
        ]
        torn = lines[1][:-4]
        data = lines[0] + torn + b"\n"
        seal = control_record("s", 1, "seal", offset=len(lines[0]), length=len(torn))
        scanner = Scanner(read_message)
        early = scanner.feed(data)
        fresh = Scanner(read_message)

        later = fresh.feed(data + close_line(logs.encode_message(seal)))

        assert [entry[2].id for entry in early] == []
        assert [entry[2].id for entry in later] == ["s"]

    def test_a_seal_that_was_cut_off_and_sealed_has_sealed_nothing(
        self, start: Start, world: World
    ) -> None:
        here = start()
        session = run(here.resolve(KEY))
        whole = close_line(b'{"id":"m1","parentId":null,"type":"user","timestamp":1}')
        seal = control_record("s1", 1, "seal", offset=0, length=len(whole) - 1)
        sealing = close_line(logs.encode_message(seal))
        # Two writers died, each just before its last LF.
        run(world.disk.append(f"{session}/messages.jsonl", whole + sealing[:-1]))
        assert run(here.get_head(session)) == "m1"

        answer = run(here.append(session, user("next")))

        assert answer.parent_id == "m1"
        for engine in (here, start()):
            found = [message.id for message in run(engine.get_messages(session))]
            assert found == ["m1", answer.id]


class TestTheIndex:
    def test_a_line_taken_for_a_record_before_its_seal_is_seen_splits_no_index(
        self, start: Start, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run(start().resolve(KEY))
        journal = "sessions.1.jsonl"
        header, torn = world.bytes_of(journal).splitlines(keepends=True)
        run(world.disk.write(journal, header + torn[:-1]))
        other = start()
        session = run(other.resolve(KEY))
        sealed = world.bytes_of(journal)
        # Of the write that sealed the tail only the first byte is to be seen at first.
        run(world.disk.write(journal, header + torn))
        late = start()
        stat, stats = late._files.stat, list[str]()

        async def see_more(path: str) -> Any:
            stats.append(path)
            if stats.count(journal) == 2:
                await world.disk.write(journal, sealed)
            return await stat(path)

        monkeypatch.setattr(late._files, "stat", see_more)

        assert run(late.resolve(KEY)) == session
        run(late.resolve("another"))
        assert run(other.get_session_id("another")) is not None
        assert run(start().get_session_id(KEY)) == session

    def test_a_sealed_line_at_the_end_of_a_chunk_does_not_brick_it(
        self, start: Start, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        first = run(start().resolve("first"))
        journal = "sessions.1.jsonl"
        torn = world.bytes_of(journal).splitlines()[-1]
        run(world.disk.append(journal, torn))
        second = run(start().resolve("second"))
        edge = world.bytes_of(journal).rindex(torn) + len(torn) + 1

        for chunk in range(edge - 90, edge + 5):
            monkeypatch.setattr(index_core, "CHUNK_BYTES", chunk)
            late = start()
            assert run(late.resolve("first")) == first
            assert run(late.resolve("second")) == second
            assert run(late.check()).ok


class TestBranches:
    def test_a_move_that_breaks_off_costs_no_branch(
        self, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here = start()
        session = run(here.resolve(KEY))
        first = run(here.append(session, user("a")))
        second = run(here.append(session, user("b")))
        run(here.create_branch(session, "left", first.id))
        append, appends = here._files.append, list[str]()
        leaf = None

        for last in (0, 1, 2):

            async def fail_behind(path: str, data: bytes, last: int = last, **options: Any) -> int:
                appends.append(path)
                if len(appends) > last:
                    raise UnavailableError(path, "not now")
                return await append(path, data, **options)

            appends.clear()
            with monkeypatch.context() as patched:
                patched.setattr(here._files, "append", fail_behind)
                with suppress(UnavailableError, AppendUnknownError):
                    run(here.create_branch(session, "left", second.id))

            branch = run(start().get_branch(session, "left"))
            assert branch is not None
            leaf = branch.leaf_message_id
            assert leaf in (first.id, second.id)
        assert leaf == second.id


class TestDamagedHeads:
    @pytest.fixture
    def session(self, start: Start, world: World) -> str:
        """A session that stands at a message whose line was damaged."""
        here = start()
        session: str = run(here.resolve(KEY))
        leaf = run(here.append(session, user("lost")))
        run(here.create_branch(session, "left", leaf.id))
        run(here.append(session, user("kept", parentId=None)))
        run(here.switch_to_branch(session, "left"))
        path = f"{session}/messages.jsonl"
        run(world.disk.write(path, world.bytes_of(path).replace(b'"lost"', b'"l?st"')))
        return session

    def test_everybody_stands_at_the_last_message_that_is_left(
        self, start: Start, session: str
    ) -> None:
        here = start()
        [kept] = run(here.get_messages(session))

        assert run(here.get_head(session)) == kept.id
        assert run(here.get_linear_history(session)) == [kept]
        assert run(here.create_branch(session, "right")).leaf_message_id == kept.id
        assert run(here.append(session, user("next"))).parent_id == kept.id


class TestCaches:
    def test_what_the_caller_changes_later_changes_nothing_stored(self, start: Start) -> None:
        here = start()
        session = run(here.resolve(KEY))
        metadata = {"n": 1}
        run(here.append(session, user("a", metadata=metadata)))

        metadata["n"] = 2

        [stored] = run(here.get_messages(session))
        assert stored.metadata == {"n": 1}

    def test_a_log_let_go_while_in_use_is_not_charged_to_another(self, start: Start) -> None:
        here = start()
        session = run(here.resolve(KEY))
        run(here.append(session, user("a")))
        held = here._logs
        old = held.take(session)
        held.drop(session)
        new = held.take(session)
        run(start().append(session, user("b")))
        run(old.refresh())

        held.give_back(new)
        held.give_back(old)

        assert held._held == new.charged
