"""What the damage loops and the fuzzer found, each once and by hand."""

import json
from collections.abc import Sequence

import pytest
from damage_world import Image, World, loaded, make_world, open_store

from session_store.index.snapshot import decode_snapshot, encode_snapshot
from session_store.jsonl.lines import close_line
from session_store.jsonl.scanner import Scanner
from session_store.model.messages import encode_message
from session_store.model.records import Message
from session_store.store.records import read_branch, read_message, read_slim
from session_store.sync import SessionStore

LOG = "s/messages.jsonl"
INDEX = json.dumps(
    {"keys": {"k": "s"}, "sessions": {"s": {"sessionId": "s", "createdAt": 1, "updatedAt": 1}}}
).encode()


def line(name: str, **fields: object) -> bytes:
    given = {"id": name, "parentId": None, "type": "user", "timestamp": 1, **fields}
    return close_line(json.dumps(given, separators=(",", ":")).encode())


def batch(size: int) -> list[bytes]:
    return [line(f"m{place}", batch=[place, size]) for place in range(1, size + 1)]


def shown(*pieces: bytes) -> list[str]:
    return [record.id for _, _, record in Scanner(read_message).feed(b"".join(pieces))]


def opened(log: bytes, **files: bytes) -> SessionStore:
    image: Image = {LOG: log, "sessions.json": INDEX}
    return open_store(loaded(image | {f"s/{name}": data for name, data in files.items()}), 3)


def codes(store: SessionStore) -> list[str]:
    return [finding.code for finding in store.check().findings]


class TestBatches:
    """One flipped bit may join two lines, or make two of one: the rest of a batch stays."""

    @pytest.mark.parametrize("hit", [0, 1, 2])
    def test_a_lost_line_end_joins_two_lines_and_hides_only_these(self, hit: int) -> None:
        pieces = batch(4)
        pieces[hit] = pieces[hit][:-1] + b"\x0b"

        names = shown(line("a"), *pieces, line("z"))

        assert names == ["a", *(f"m{k + 1}" for k in range(4) if k not in (hit, hit + 1)), "z"]

    @pytest.mark.parametrize("hit", [0, 1, 2, 3])
    def test_a_line_end_in_the_midst_of_a_line_hides_only_that_line(self, hit: int) -> None:
        pieces = batch(4)
        pieces[hit] = pieces[hit].replace(b'"user"', b'"us\ner"')

        names = shown(line("a"), *pieces, line("z"))

        assert names == ["a", *(f"m{k + 1}" for k in range(4) if k != hit), "z"]

    def test_a_hurt_end_of_the_last_line_is_no_cut(self) -> None:
        first, last = batch(2)

        assert shown(first, last.replace(b"}\n", b"|\n")) == ["m1"]

    def test_damage_over_the_last_lines_hides_only_these_once_something_follows(self) -> None:
        first, second, *_ = batch(5)
        hole = b"{" + bytes(500) + b"}\n"

        assert shown(first, second, hole) == []
        assert shown(first, second, hole, line("z")) == ["m1", "m2", "z"]

    def test_a_batch_that_was_cut_off_stays_torn(self) -> None:
        first, second, third = batch(3)

        assert shown(first, second[:30] + b"~\n", line("z")) == ["z"]
        assert shown(first, second, third[:40] + b"~\n", line("z")) == ["z"]

    def test_a_cut_that_was_none_is_told_by_the_lines_behind_it(self) -> None:
        first, second, third = batch(3)

        assert shown(first, second[:-2] + b"~\n", third) == ["m1", "m3"]

    def test_lines_behind_another_batch_are_not_late_ones_of_an_earlier(self) -> None:
        first, *_, third, fourth = batch(4)
        other = line("o", batch=[2, 2])

        names = shown(first, b"no JSON\n", other, fourth, b"no JSON\n", third)

        assert names == ["m1", "o", "m4"]

    def test_what_an_append_settles_of_a_batch_before_it_is_in_the_cache(self) -> None:
        first, second, *_ = batch(5)
        store = opened(line("a") + first + second + b"{" + bytes(300) + b"}\n")
        assert [message.id for message in store.get_messages("s")] == ["a"]

        answer = store.append("s", {"role": "user", "content": "next"})

        fresh = open_store(store._engine._files, 4)
        for one in (store, fresh):
            assert [m.id for m in one.get_messages("s")] == ["a", "m1", "m2", answer.id]


class TestChecksums:
    """Bits of the checksum itself: what it covers is whole, is shown, and is reported."""

    @pytest.mark.parametrize("place", [-16, -15, -14, -10, -3])
    def test_a_hurt_checksum_is_named_and_its_line_is_shown(self, place: int) -> None:
        data = line("a") + line("b")
        hurt = bytearray(data)
        hurt[place - 1] = ord("x")

        store = opened(bytes(hurt))

        assert [message.id for message in store.get_messages("s")] == ["a", "b"]
        assert codes(store) == ["damaged_checksum"]
        assert store.check().unverified == 1

    def test_somebody_elses_field_of_that_name_is_no_damage(self) -> None:
        own = b'{"id":"a","parentId":null,"type":"user","timestamp":1,"crc":"DEADBEEF"}\n'

        assert codes(opened(own)) == []

    def test_of_branches_and_of_the_index_it_is_named_too(self) -> None:
        world = make_world()
        for path in (f"{world.main}/branches.jsonl", "sessions.9.jsonl", "sessions.json"):
            data = world.killed[path].removesuffix(b"\n")
            hurt = data[:-5] + b"x" + data[-4:] + b"\n"

            store = open_store(loaded(world.killed | {path: hurt}), 3)

            assert ("damaged_checksum", path) in [(f.code, f.path) for f in store.check().findings]


class TestReaders:
    def test_a_role_that_says_nothing_is_what_it_was_when_the_append_is_repeated(self) -> None:
        store = opened(line("a"))
        given = {"id": "b", "type": "user", "role": "", "content": "x"}

        assert store.append("s", given) == store.append("s", given)

    def test_bytes_that_are_no_utf_8_are_the_same_line_to_all_readers(self) -> None:
        text = b'{"id":"\xff","parentId":"\xfe","type":"user","timestamp":1}'

        assert read_slim(text, 0).id == read_message(text, 0).id == "\ufffd"
        assert read_branch(b'{"name":"\xff","leafMessageId":"m"}', 0).name == "\ufffd"

    def test_a_line_that_stands_there_again_behind_a_reset_has_a_head(self) -> None:
        reset = line("r", type="custom", control={"kind": "reset"})

        store = opened(line("a") + reset + line("a"))

        assert store.get_head("s") == "a"
        assert [message.id for message in store.get_context("s")] == ["a"]
        assert store.append("s", {"role": "user", "content": "next"}).parent_id == "a"
        assert "duplicate_id" in codes(store)

    def test_a_torn_tail_of_the_branches_is_named(self) -> None:
        store = opened(line("a"), **{"branches.jsonl": b'{"name":"b","leafMes'})

        assert codes(store) == ["torn_tail"]


class TestTheIndex:
    @pytest.fixture
    def world(self) -> World:
        return make_world()

    @pytest.mark.parametrize("deep", [b"[" * 5000, b'{"keys":{},"sessions":{"s":' + b"[" * 5000])
    def test_a_snapshot_that_is_too_deep_is_rebuilt(self, deep: bytes) -> None:
        for data in (deep, b"\n" + deep):
            store = open_store(loaded({"sessions.json": data, LOG: line("a", key="k")}), 3)

            assert store.get_session_id("k") == "s"

    def test_a_number_beyond_all_floats_is_not_written_as_an_infinity(self) -> None:
        foreign = b'{"keys":{"\\ud83d":"s"},"sessions":{"s":{"n":[1e400]}},"journal":{}}'

        written = encode_snapshot(decode_snapshot(foreign).state, 1, 1, "nonce")

        assert b"Infinity" not in written
        assert set(decode_snapshot(written).state.sessions) == {"s"}

    def test_an_old_copy_of_the_snapshot_is_found_out_by_the_previous_one(
        self, world: World
    ) -> None:
        image = world.closed | {"sessions.json": world.older["sessions.json"]}

        store = open_store(loaded(image), 3)

        assert not store.has_session(world.deleted)
        assert {key: store.get_session_id(key) for key in store.get_all_keys()} == world.truth.keys
        assert "snapshot_rebuilt" in codes(store)

    @pytest.mark.parametrize(
        ("path", "data", "code"),
        [
            ("sessions.json.prev", b"rubbish", "previous_damaged"),
            ("sessions.json.prev", None, "previous_missing"),
            ("sessions.8.jsonl", None, "journal_missing"),
            ("sessions.9.jsonl", bytes(695), "journal_short"),
        ],
    )
    def test_what_is_wrong_with_the_second_way_to_the_index_is_told_before_it_is_needed(
        self, world: World, path: str, data: bytes | None, code: str
    ) -> None:
        image = {name: there for name, there in world.closed.items() if name != path}

        store = open_store(loaded(image if data is None else image | {path: data}), 3)

        found = {(f.code, f.path) for f in store.check().findings}
        assert (code, path) in found or code == "previous_missing" in {one for one, _ in found}
        assert store.check().ok

    def test_a_whole_second_way_gives_no_findings(self, world: World) -> None:
        for image in (world.closed, world.killed, world.older):
            store = open_store(loaded(image), 3)

            assert set(codes(store)) <= {"sealed_tail", "snapshot_lags"}

    def test_a_torn_tail_of_the_journal_is_named(self, world: World) -> None:
        journal = world.killed["sessions.9.jsonl"]

        store = open_store(loaded(world.killed | {"sessions.9.jsonl": journal + b'{"op"'}), 3)

        assert ("torn_tail", "sessions.9.jsonl") in [
            (finding.code, finding.path) for finding in store.check().findings
        ]


def ids_of(messages: Sequence[Message]) -> list[str]:
    return [message.id for message in messages]


def test_an_interrupted_seal_of_a_torn_batch_shows_nothing_of_it() -> None:
    first, second, *_ = batch(3)
    control = {"kind": "seal", "offset": len(first), "length": 31}
    seal = Message(id="c", parent_id=None, type="custom", timestamp=1, control=control)
    half = close_line(encode_message(seal))[:-12]

    store = opened(first + second[:30] + b"~\n" + half)
    answer = store.append("s", {"role": "user", "content": "next"})

    assert ids_of(store.get_messages("s")) == [answer.id]
