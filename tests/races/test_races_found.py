"""Schedules that once broke a promise, each by hand."""

from contextlib import suppress
from typing import Any

import pytest
from races_kit import KEY, Start, user

from session_store.errors import (
    AppendUnknownError,
    LeaseLostError,
    SessionNotFoundError,
    UnavailableError,
)
from session_store.runtime import run
from session_store.store import log as session_log
from session_store.testing.simulation import World


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
        monkeypatch.setattr(session_log, "TAIL_BYTES", 300)
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
        world.disk.put(path, world.bytes_of(path).replace(b'"lost"', b'"l?st"'))
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


class TestCosts:
    def test_words_that_look_like_a_seal_do_not_make_an_opening_read_everything(
        self, start: Start, session_of_decoys: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(session_log, "TAIL_BYTES", 500)
        late, amounts = start(), list[int]()
        read = late._files.read

        async def weigh(path: str, *rest: Any) -> bytes:
            data = await read(path, *rest)
            amounts.append(len(data) if path.endswith("messages.jsonl") else 0)
            return data

        monkeypatch.setattr(late._files, "read", weigh)

        run(late.get_head(session_of_decoys))

        assert 0 < sum(amounts) <= 500

    @pytest.fixture
    def session_of_decoys(self, start: Start) -> str:
        here = start()
        session: str = run(here.resolve(KEY))
        for n in range(30):
            run(here.append(session, user(f"m{n}", metadata={"kind": "seal"})))
        return session


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

    def test_a_holder_whose_log_was_let_go_still_meets_the_fence_far_back(
        self, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(session_log, "TAIL_BYTES", 300)
        here, there = start(), start()
        session = run(here.resolve(KEY))
        run(here.append(session, user("a")))
        run(here.acquire_lock(session, "me"))
        # What a full cache does while a lock is being taken.
        here._logs.drop(session)
        run(there.force_release(session))
        for n in range(9):
            run(there.append(session, user(f"b{n}")))

        with pytest.raises(LeaseLostError):
            run(here.append(session, user("late")))
