"""What a delete must leave, seen by everybody who was in the midst of something."""

from collections.abc import Callable
from typing import Any

import pytest
from races_kit import KEY, Start, user

from session_store.errors import (
    NotLockOwnerError,
    SessionNotFoundError,
)
from session_store.jsonl import file as jsonl_file
from session_store.runtime import iterate, run
from session_store.store import log as session_log
from session_store.store.engine import Engine
from session_store.testing.simulation import World

Doomed = Callable[[int], Engine]


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

    def test_when_a_branch_is_moved_meanwhile(
        self, start: Start, world: World, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here, there = start(), start()
        session = run(here.resolve(KEY))
        run(here.append(session, user("a")))
        run(here.create_branch(session, "left"))
        append = here._files.append

        async def append_late(path: str, *rest: Any, **options: Any) -> Any:
            if path.endswith("branches.jsonl"):
                await there.delete_session(session)
                options["if_size"] = None
            return await append(path, *rest, **options)

        monkeypatch.setattr(here._files, "append", append_late)

        with pytest.raises(SessionNotFoundError):
            run(here.create_branch(session, "left"))

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


class TestDeletesInTheMidst:
    """A session is deleted behind the back of a call that has found it there."""

    @pytest.fixture
    def session(self, start: Start, monkeypatch: pytest.MonkeyPatch) -> str:
        monkeypatch.setattr(session_log, "TAIL_BYTES", 200)
        for module in (jsonl_file, session_log):
            monkeypatch.setattr(module, "CHUNK_BYTES", 300)
        here = start()
        session: str = run(here.resolve(KEY))
        for n in range(9):
            run(here.append(session, user(f"m{n}")))
        return session

    @pytest.fixture
    def doomed(self, start: Start, session: str, monkeypatch: pytest.MonkeyPatch) -> Doomed:
        """Give an engine for which the session goes before its n-th look at the log."""

        def doomed_at(number: int) -> Engine:
            here, there, looks = start(), start(), list[str]()
            run(here.init())
            run(there.init())

            def spied(verb: str) -> Any:
                honest = getattr(here._files, verb)

                async def look(path: str, *rest: Any) -> Any:
                    if path == f"{session}/messages.jsonl":
                        looks.append(verb)
                        if len(looks) == number:
                            await there.delete_session(session)
                    return await honest(path, *rest)

                return look

            for verb in ("stat", "read"):
                monkeypatch.setattr(here._files, verb, spied(verb))
            return here

        return doomed_at

    @pytest.mark.parametrize("number", range(1, 5))
    def test_no_reader_sees_a_part_of_it(self, doomed: Doomed, session: str, number: int) -> None:
        with pytest.raises(SessionNotFoundError):
            run(doomed(number).get_messages(session))
        with pytest.raises(SessionNotFoundError):
            list(iterate(doomed(1).stream_messages(session)))

    def test_a_reader_of_all_at_once_sees_all_or_nothing(
        self, doomed: Doomed, session: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(jsonl_file, "CHUNK_BYTES", 10_000)

        # It looks once, so nothing goes before a second look.
        assert len(run(doomed(2).get_messages(session))) == 9
        with pytest.raises(SessionNotFoundError):
            run(doomed(1).get_messages(session))

    def test_nobody_counts_a_part_of_it(self, doomed: Doomed, session: str) -> None:
        assert run(doomed(1).get_metadata(session)) is None

    def test_a_stream_of_it_ends_with_an_error(self, doomed: Doomed, session: str) -> None:
        with pytest.raises(SessionNotFoundError):
            list(iterate(doomed(4).stream_messages(session)))

    def test_a_subscription_ends_with_an_error(self, doomed: Doomed, session: str) -> None:
        with pytest.raises(SessionNotFoundError):
            list(iterate(doomed(4).subscribe(session)))

    def test_a_check_has_nothing_to_say_of_it(self, doomed: Doomed, session: str) -> None:
        assert run(doomed(3).check()).ok
