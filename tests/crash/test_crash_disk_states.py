"""The crash states of a disk, and the judge of what is left: both must see what they are for."""

import itertools
import random
from pathlib import Path

import pytest
from disk_fuse import Record
from disk_judge import judge
from disk_states import Epoch, apply, epochs, known_at, states
from disk_work import Worker, open_store

from session_store.testing.history import History

FLUSH = [Record(0, None)]


def write(offset: int, size: int = 512) -> list[Record]:
    return [Record(offset, b"x" * size)]


def test_writes_are_parted_by_flushes_and_those_before_the_start_count_as_flushed() -> None:
    log = [write(0), FLUSH, write(1), write(2), FLUSH, write(3)]

    found = list(epochs(log, 2))

    assert found == [Epoch(4, write(1) + write(2)), Epoch(6, write(3))]


def test_of_a_few_writes_every_subset_is_a_state_and_of_many_every_prefix() -> None:
    few = Epoch(9, [Record(n, b"x") for n in range(4)])
    many = Epoch(9, [Record(n, b"x") for n in range(40)])

    of_few = {tuple(one.offset for one in state.writes) for state in states(few, random.Random(1))}
    of_many = [[one.offset for one in state.writes] for state in states(many, random.Random(1))]

    assert len(of_few) == 2**4
    assert all(list(range(length)) in of_many for length in range(41))
    assert len(of_many) > 41


def test_a_torn_write_is_there_in_part() -> None:
    epoch = Epoch(9, write(4096, 4096))

    torn = [state for state in states(epoch, random.Random(1)) if state.torn]

    assert torn
    for state in torn:
        assert 0 < sum(len(one.data or b"") for one in state.writes) < 4096
        assert all(one.offset % 512 == 0 for one in state.writes)


def test_a_state_is_laid_over_the_image(tmp_path: Path) -> None:
    image = tmp_path / "image"
    image.write_bytes(bytes(8))

    apply(image, [Record(2, b"ab"), Record(3, b"c")])

    assert image.read_bytes() == b"\0\0ac\0\0\0\0"


def test_what_was_not_answered_at_the_cut_is_unknown_and_what_was_not_asked_is_not_there() -> None:
    times = iter([1.0, 2.0, 3.0, 5.0, 6.0, 7.0])
    history = History(lambda: next(times))
    for name in "abc":
        history.begin("w", "append", "s", ids=[name]).ok()

    known = known_at(history, 4)

    assert [(one.facts["ids"], one.outcome) for one in known.operations] == [
        (["a"], "ok"),
        (["b"], "unknown"),
    ]
    assert history.operations[1].outcome == "ok"


def worked(root: Path) -> tuple[History, Path]:
    """A store with acknowledged messages, and the longest of its logs."""
    ticks = itertools.count(1)
    history = History(lambda: float(next(ticks)))
    store = open_store(root)
    worker = Worker(store, history, "w", seed=1)
    worker.work(60)
    store.close()
    assert worker.acknowledged >= 20
    return history, max(root.glob("*/messages.jsonl"), key=lambda path: path.stat().st_size)


def test_a_whole_store_is_judged_whole(tmp_path: Path) -> None:
    history, _ = worked(tmp_path / "store")

    assert judge(tmp_path / "store", history).violations == []


@pytest.mark.parametrize("damage", ["cut", "doubled", "overwritten", "removed"])
def test_what_is_missing_doubled_or_damaged_is_found(tmp_path: Path, damage: str) -> None:
    history, log = worked(tmp_path / "store")
    lines = log.read_bytes().splitlines(keepends=True)

    match damage:
        case "cut":
            log.write_bytes(b"".join(lines[:-1]))
        case "doubled":
            log.write_bytes(b"".join([*lines, lines[0]]))
        case "overwritten":
            log.write_bytes(b"".join([*lines[:-2], bytes(len(lines[-2]) - 1) + b"\n", lines[-1]]))
        case _:
            log.unlink()

    assert judge(tmp_path / "store", history).violations
