"""Writes that were cut off, and what came behind them."""

from typing import Any

import pytest
from races_kit import KEY, Start, user

from session_store.errors import (
    UnavailableError,
)
from session_store.index import core as index_core
from session_store.jsonl import file as jsonl_file
from session_store.jsonl.lines import TAIL_END, close_line
from session_store.jsonl.scanner import Scanner
from session_store.runtime import run
from session_store.store import log as session_log
from session_store.store.records import control_record, read_message
from session_store.testing.simulation import World


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
        world.disk.append(path, torn, None)
        run(start().append(session, user("m3")))
        size = world.bytes_of(path).index(torn) + len(torn) + 1
        monkeypatch.setattr(session_log, "TAIL_BYTES", 200)

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
        world.disk.put(path, torn + TAIL_END)

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
        world.disk.put(path, world.bytes_of(path).replace(b'"b"', b'"x"'))

        assert [message.content for message in run(start().get_messages(session))] == ["a"]

    def test_a_reader_that_took_half_a_seal_for_damage_reads_anew(self) -> None:
        # What ends the torn tail is seen before the seal behind it is.
        lines = [
            close_line(b'{"id":"%d","parentId":null,"type":"user","batch":[%d,2]}' % (n, n))
            for n in (1, 2)
        ]
        torn = lines[1][:-4]
        data = lines[0] + torn + TAIL_END
        seal = control_record("s", 1, "seal", offset=len(lines[0]), length=len(torn) + 1)
        scanner = Scanner(read_message)
        early = scanner.feed(data)
        fresh = Scanner(read_message)

        later = fresh.feed(data + close_line(session_log.encode_message(seal)))

        assert [entry[2].id for entry in early] == []
        assert [entry[2].id for entry in later] == ["s"]

    def test_a_seal_that_was_cut_off_and_sealed_has_sealed_nothing(
        self, start: Start, world: World
    ) -> None:
        here = start()
        session = run(here.resolve(KEY))
        whole = close_line(b'{"id":"m1","parentId":null,"type":"user","timestamp":1}')
        seal = control_record("s1", 1, "seal", offset=0, length=len(whole) - 1)
        sealing = close_line(session_log.encode_message(seal))
        # Two writers died, each just before its last LF.
        world.disk.append(f"{session}/messages.jsonl", whole + sealing[:-1], None)
        assert run(here.get_head(session)) == "m1"

        answer = run(here.append(session, user("next")))

        assert answer.parent_id == "m1"
        for engine in (here, start()):
            found = [message.id for message in run(engine.get_messages(session))]
            assert found == ["m1", answer.id]


class TestTheIndex:
    @pytest.mark.parametrize("snapshot", [True, False])
    def test_a_line_taken_for_a_record_before_its_seal_is_seen_splits_no_index(
        self, start: Start, world: World, monkeypatch: pytest.MonkeyPatch, snapshot: bool
    ) -> None:
        run(start().resolve(KEY))
        journal = "sessions.1.jsonl"
        header, torn = world.bytes_of(journal).splitlines(keepends=True)
        world.disk.put(journal, header + torn[:-1])
        other = start()
        session = run(other.resolve(KEY))
        sealed = world.bytes_of(journal)
        # Of the write that sealed the tail only the first byte is to be seen at first.
        world.disk.put(journal, header + torn)
        if not snapshot:
            world.disk.delete("sessions.json")
        late = start()
        stat, stats = late._files.stat, list[str]()

        async def see_more(path: str) -> Any:
            stats.append(path)
            if stats.count(journal) == 2:
                world.disk.put(journal, sealed)
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
        world.disk.append(journal, torn, None)
        second = run(start().resolve("second"))
        edge = world.bytes_of(journal).rindex(torn) + len(torn) + 1

        for chunk in range(edge - 90, edge + 5):
            monkeypatch.setattr(index_core, "CHUNK_BYTES", chunk)
            late = start()
            assert run(late.resolve("first")) == first
            assert run(late.resolve("second")) == second
            assert run(late.check()).ok

    def test_a_change_whose_answer_and_proof_were_lost_is_not_called_undone(
        self, start: Start, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        here = start()
        session = run(here.resolve(KEY))
        append, read = here._files.append, here._files.read
        appends = list[str]()

        async def lose(path: str, data: bytes, **options: Any) -> int:
            size = await append(path, data, **options)
            raise UnavailableError(path, f"the answer {size} was lost", unknown=True)

        async def not_now(path: str, *rest: Any) -> bytes:
            if appends:
                raise UnavailableError(path, "not now")
            return await read(path, *rest)

        async def lose_once(path: str, data: bytes, **options: Any) -> int:
            appends.append(path)
            return await (lose if len(appends) == 1 else append)(path, data, **options)

        monkeypatch.setattr(here._files, "append", lose_once)
        monkeypatch.setattr(here._files, "read", not_now)

        with pytest.raises(UnavailableError) as caught:
            run(here.delete_session(session))

        assert caught.value.unknown
        assert not run(start().has_session(session))
