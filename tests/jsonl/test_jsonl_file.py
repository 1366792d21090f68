"""`JSONLFile` on a file system: forwards, backwards, in part, and behind torn tails."""

import threading
from collections.abc import AsyncGenerator, Callable
from typing import TypeVar

import pytest

from session_store import InvalidMessageError
from session_store.files import InMemoryFileSystem
from session_store.jsonl import JSONLFile, close_line
from session_store.jsonl import file as file_module
from session_store.model import encode_message
from session_store.model.records import Message
from session_store.runtime import iterate, run

T = TypeVar("T")
Make = Callable[..., Message]


def taken(generator: AsyncGenerator[T, None]) -> list[T]:
    return list(iterate(generator))


def test_an_absent_file_is_an_empty_log(log: JSONLFile[Message]) -> None:
    assert run(log.read_all()) == []
    assert taken(log.read_backwards()) == []
    assert run(log.size()) == 0


def test_what_is_appended_is_read_back_in_order(log: JSONLFile[Message], message: Make) -> None:
    first = run(log.append(message("a", content="α\n😀")))
    second = run(log.append_many([message("b"), message("c")]))

    assert [found.id for found in run(log.read_all())] == ["a", "b", "c"]
    assert run(log.read_all())[0].content == "α\n😀"
    assert 0 < first < second == run(log.size())


def test_write_all_replaces_everything(log: JSONLFile[Message], message: Make) -> None:
    run(log.append(message("a")))

    run(log.write_all([message("b")]))

    assert [found.id for found in run(log.read_all())] == ["b"]


def test_reading_from_an_offset_gives_what_stands_behind_it(
    log: JSONLFile[Message], message: Make
) -> None:
    boundary = run(log.append(message("a")))
    run(log.append(message("b")))

    found = taken(log.read_from(boundary))

    assert [(start, record.id) for start, _, record in found] == [(boundary, "b")]
    start, end, _ = found[0]
    assert run(log.read_line(start, end)).startswith(b'{"id":"b"')


@pytest.mark.parametrize("torn", [b"{", b'{"id":"torn"}', b"\0" * 500, b"x" * 70_000])
def test_a_torn_tail_is_sealed_by_the_next_writer_in_one_write(
    files: InMemoryFileSystem, log: JSONLFile[Message], message: Make, torn: bytes
) -> None:
    boundary = run(log.append(message("a")))
    run(files.append(log.path, torn))

    before = [found.id for found in run(log.read_all())]
    run(log.append(message("b")))
    after = [found.id for found in run(log.read_all())]

    assert before == ["a"]
    assert after == ["a", f"seal-{boundary}", "b"]
    data = run(files.read(log.path))
    assert data[boundary : boundary + len(torn) + 2] == torn + b"~\n"
    assert [damage.code for damage in log.damage] == ["sealed_tail"]


def test_a_tail_that_lacks_only_its_line_feed_is_a_record_for_nobody_while_it_is_sealed(
    files: InMemoryFileSystem, log: JSONLFile[Message], message: Make
) -> None:
    run(log.append(message("a")))
    run(log.append(message("torn")))
    size = run(files.stat(log.path)).size - 1
    run(files.write(log.path, run(files.read(log.path, 0, size))))
    run(log.append(message("b")))
    whole = run(files.read(log.path))

    seen: set[str] = set()
    for cut in range(size, len(whole)):
        run(files.write(log.path, whole[:cut]))
        seen |= {found.id for found in run(log.read_all())}

    assert "torn" not in seen
    assert "a" in seen


def test_a_log_without_seals_ends_a_torn_tail_so_that_it_never_parses(
    files: InMemoryFileSystem, log: JSONLFile[Message], message: Make
) -> None:
    plain = JSONLFile(files, log.path, encode=encode_message, decode=log._decode)
    run(files.append(log.path, b"{torn"))

    run(plain.append(message("a")))

    assert run(files.read(log.path)).startswith(b"{torn~\n{")
    assert [found.id for found in run(plain.read_all())] == ["a"]
    assert [damage.code for damage in plain.damage] == ["sealed_tail"]


def test_writers_that_race_all_get_their_line(files: InMemoryFileSystem, message: Make) -> None:
    def write(worker: int) -> None:
        mine = JSONLFile(files, "l", encode=encode_message, decode=lambda *_: message("x"))
        for count in range(100):
            run(mine.append(message(f"{worker}-{count}")))

    workers = [threading.Thread(target=write, args=(worker,)) for worker in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()

    lines = run(files.read("l")).splitlines()
    assert len(lines) == len(set(lines)) == 400


def make_log(log: JSONLFile[Message], message: Make) -> list[str]:
    """Singles, batches, a torn batch, damage, long and short lines; returns what is shown."""
    shown: list[str] = []
    data = b""
    for place in range(60):
        name = f"m{place}"
        if place % 7 == 3:
            group = [message(f"{name}-{k}", batch=(k, 3)) for k in (1, 2, 3)]
            shown += [member.id for member in group]
            data += b"".join(close_line(encode_message(member)) for member in group)
        elif place % 11 == 5:
            group = [message(f"{name}-{k}", batch=(k, 3)) for k in (1, 2)]
            data += b"".join(close_line(encode_message(member)) for member in group)
            data += close_line(encode_message(message(name)))
            shown.append(name)
        elif place % 13 == 6:
            data += b"damaged\n"
        else:
            data += close_line(encode_message(message(name, content="x" * (place * 37 % 900))))
            shown.append(name)
    run(log._files.append(log.path, data))
    return shown


@pytest.mark.parametrize("block", [1, 64, 300, 1000, 1 << 16])
def test_reading_backwards_gives_the_same_records_for_any_size_of_block(
    log: JSONLFile[Message], message: Make, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        file_module.JSONLFile.tail, "__kwdefaults__", {"want": block, "followed": None}
    )
    shown = make_log(log, message)

    backwards = [record.id for _, _, record in taken(log.read_backwards())]

    assert backwards == shown[::-1]
    assert {damage.code for damage in log.damage} >= {"damaged_line", "torn_batch"}


@pytest.mark.parametrize("chunk", [1, 50, 333, 1 << 20])
def test_reading_forwards_gives_the_same_records_for_any_size_of_chunk(
    log: JSONLFile[Message], message: Make, chunk: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_module, "CHUNK_BYTES", chunk)
    shown = make_log(log, message)

    assert [record.id for record in run(log.read_all())] == shown


def test_the_tail_of_a_log_costs_the_same_however_long_it_is(
    files: InMemoryFileSystem, log: JSONLFile[Message], message: Make
) -> None:
    read: list[int] = []

    class Counting(InMemoryFileSystem):
        async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
            data = await super().read(path, start, end)
            read.append(len(data))
            return data

    counting = Counting()
    log = JSONLFile(counting, "l", encode=encode_message, decode=log._decode)
    costs = []
    for count in (1_000, 20_000):
        run(log.write_all([message(f"m{n}", content="x" * 200) for n in range(count)]))
        read.clear()
        last = run(log.tail(run(log.size()))).entries[-1][2]
        assert last.id == f"m{count - 1}"
        costs.append(sum(read))

    assert costs[0] == costs[1] <= 1 << 16


def numbered(message: Make, name: str, of: int) -> list[bytes]:
    members = [message(f"{name}{k}", content="x" * 90, batch=(k, of)) for k in range(1, of + 1)]
    return [close_line(encode_message(member)) for member in members]


def test_the_end_of_a_long_batch_is_read_without_its_beginning(
    files: InMemoryFileSystem, log: JSONLFile[Message], message: Make
) -> None:
    run(files.append(log.path, b"".join(numbered(message, "m", 1000))))

    block = run(log.tail(run(log.size()), want=1000))

    assert run(log.size()) - block.start <= 1000
    assert [record.id for _, _, record in block.entries] == [f"m{k}" for k in range(996, 1001)]


@pytest.mark.parametrize("block", [1, 300, 1000])
@pytest.mark.parametrize("end", ["whole", "torn", "pending", "damaged", "damaged at its end"])
def test_batches_longer_than_a_block_are_the_same_from_behind(
    files: InMemoryFileSystem,
    log: JSONLFile[Message],
    message: Make,
    block: int,
    end: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(
        file_module.JSONLFile.tail, "__kwdefaults__", {"want": block, "followed": None}
    )
    first, second = numbered(message, "a", 9), numbered(message, "b", 9)
    if end != "whole":
        del second[-1]
    if end.startswith("damaged"):
        hit = -1 if "end" in end else 4
        second[hit] = second[hit].replace(b"x", b"y", 1)
    if end not in ("whole", "pending"):
        second += [close_line(encode_message(message("last")))]
    run(files.append(log.path, b"".join([*first, *second])))
    shown = [record.id for record in run(log.read_all())]

    backwards = [record.id for _, _, record in taken(log.read_backwards())]

    assert backwards == shown[::-1]


def test_a_line_longer_than_any_block_is_found_from_behind(
    log: JSONLFile[Message], message: Make
) -> None:
    run(log.append_many([message("a"), message("b", content="x" * 3_000_000)]))

    found = [record.id for _, _, record in taken(log.read_backwards())]

    assert found == ["b", "a"]


def test_a_file_that_was_told_nothing_holds_plain_objects(files: InMemoryFileSystem) -> None:
    plain = JSONLFile(files, "notes.jsonl")
    run(plain.append({"a": 1, "nested": {"b": [None, "é"]}}))
    run(plain.append_many([{"n": 2, "batch": "no batch"}, {"n": 3}]))
    run(files.append("notes.jsonl", b'{"torn'))
    run(plain.append({"n": 4}))

    found = run(plain.read_all())

    assert [{k: v for k, v in record.items() if k != "crc"} for record in found] == [
        {"a": 1, "nested": {"b": [None, "é"]}},
        {"n": 2, "batch": "no batch"},
        {"n": 3},
        {"n": 4},
    ]
    assert [damage.code for damage in plain.damage] == ["sealed_tail"]


def test_plain_objects_may_be_batches_too(files: InMemoryFileSystem) -> None:
    plain = JSONLFile(files, "notes.jsonl")

    run(plain.append({"n": 1, "batch": [1, 2]}))

    assert run(plain.read_all()) == []


@pytest.mark.parametrize("record", [{"a": float("nan")}, {"a": b"x"}, {1: 2}, [1], "x"])
def test_an_object_that_could_not_be_read_back_is_refused(
    files: InMemoryFileSystem, record: object
) -> None:
    with pytest.raises(InvalidMessageError):
        run(JSONLFile(files, "notes.jsonl").append(record))

    assert not run(files.exists("notes.jsonl"))
