"""The n-th call fails as it was told to, and no other; a store or an engine can be tried so."""

import asyncio
from itertools import count
from pathlib import Path

import pytest

from session_store import (
    ConflictError,
    InMemoryFileSystem,
    NotFoundError,
    SessionStoreError,
    StorageFullError,
    StoreConfig,
    UnavailableError,
)
from session_store.event_loop import AsyncRuntime
from session_store.files import ABSENT, RealFileSystem
from session_store.runtime import run
from session_store.sync import SessionStore
from session_store.testing.faults import (
    CHANGING,
    Call,
    Fault,
    FaultyFileSystem,
    cancelled,
    cancelled_after,
    conflicting,
    full,
    lost_answer,
    lost_call,
    raising,
    refused,
    torn,
    vanished,
)


@pytest.fixture
def files() -> FaultyFileSystem:
    files = FaultyFileSystem(InMemoryFileSystem())
    run(files.append("log", b"one\n"))
    return files


def log(files: FaultyFileSystem) -> bytes:
    return run(files.read("log"))


def test_without_a_fault_every_verb_is_that_of_the_files_within(files: FaultyFileSystem) -> None:
    run(files.mkdir("folder"))
    stats = run(files.write("folder/file", b"data", if_version=ABSENT))
    run(files.sync("folder/file"))

    assert run(files.stat("folder/file")) == stats
    assert run(files.exists("folder/file"))
    assert run(files.read("folder/file", 1, 3)) == b"at"
    assert run(files.list("")).names == ["folder/", "log"]
    run(files.delete("folder/file", if_version=stats.version))
    run(files.delete_tree("folder"))
    assert not run(files.exists("folder/file"))
    assert files.traits.scope == "process"
    run(files.close())


def test_exactly_the_call_of_that_number_fails(files: FaultyFileSystem) -> None:
    files.fail(refused, at=3)

    run(files.stat("log"))
    run(files.append("log", b"two\n"))
    with pytest.raises(UnavailableError) as raised:
        run(files.append("log", b"three\n"))
    run(files.append("log", b"four\n"))

    assert not raised.value.unknown
    assert log(files) == b"one\ntwo\nfour\n"
    assert files.struck == ["append log"]
    assert files.calls == 5


def test_a_fault_can_last_until_it_is_healed(files: FaultyFileSystem) -> None:
    files.fail(refused, times=None)
    for _ in range(3):
        with pytest.raises(UnavailableError):
            run(files.stat("log"))

    files.heal()

    assert log(files) == b"one\n"
    assert len(files.struck) == 3


def test_a_fault_can_be_kept_to_some_verbs_and_paths(files: FaultyFileSystem) -> None:
    files.fail(refused, verbs={"append"}, paths="*/messages.jsonl")

    run(files.append("log", b"two\n"))
    with pytest.raises(UnavailableError):
        run(files.append("s/messages.jsonl", b"first\n"))

    assert files.struck == ["append s/messages.jsonl"]
    assert files.calls == 1


@pytest.mark.parametrize(
    ("fault", "error", "unknown", "after"),
    [
        (refused, UnavailableError, False, b"one\n"),
        (full, StorageFullError, None, b"one\n"),
        (lost_call, UnavailableError, True, b"one\n"),
        (lost_answer, UnavailableError, True, b"one\ntwo\n"),
        (torn(0.0), UnavailableError, True, b"one\nt"),
        (torn(0.5), UnavailableError, True, b"one\ntw"),
        (torn(1.0), UnavailableError, True, b"one\ntwo"),
        (conflicting, ConflictError, None, b"one\n"),
        (raising(MemoryError), MemoryError, None, b"one\n"),
        (raising(KeyboardInterrupt(), after=True), KeyboardInterrupt, None, b"one\ntwo\n"),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else None,
)
def test_each_fault_says_and_leaves_what_it_is_there_for(
    files: FaultyFileSystem,
    fault: Fault,
    error: type[BaseException],
    unknown: bool | None,
    after: bytes,
) -> None:
    files.fail(fault)

    with pytest.raises(error) as raised:
        run(files.append("log", b"two\n", if_size=4))

    assert getattr(raised.value, "unknown", None) == unknown
    assert log(files) == after


@pytest.mark.parametrize(
    ("fault", "fitting"),
    [
        (full, {"write", "append", "mkdir"}),
        (lost_answer, set(CHANGING)),
        (torn(0.5), {"append"}),
        (vanished, {"stat", "read", "sync"}),
    ],
    ids=lambda value: value.name if isinstance(value, Fault) else None,
)
def test_a_fault_fits_only_the_calls_that_can_fail_so(fault: Fault, fitting: set[str]) -> None:
    async def nothing() -> None:
        raise AssertionError

    verbs = CHANGING | {"stat", "exists", "read", "list", "close"}

    assert {verb for verb in verbs if fault.fits(Call(verb, "log", nothing, b"data"))} == fitting


def test_a_conflict_needs_a_precondition(files: FaultyFileSystem) -> None:
    files.fail(conflicting)

    run(files.append("log", b"two\n"))

    assert not files.struck


def test_a_file_can_seem_to_have_gone(files: FaultyFileSystem) -> None:
    files.fail(vanished)

    with pytest.raises(NotFoundError):
        run(files.stat("log"))

    assert log(files) == b"one\n"


@pytest.mark.parametrize(
    ("fault", "after"), [(cancelled, b"one\n"), (cancelled_after, b"one\ntwo\n")]
)
def test_the_task_that_calls_can_be_cancelled(
    files: FaultyFileSystem, fault: Fault, after: bytes
) -> None:
    async def main() -> None:
        task = asyncio.ensure_future(files.append("log", b"two\n"))
        with pytest.raises(asyncio.CancelledError):
            await task
        assert task.cancelled()

    files.fail(fault)
    asyncio.run(main())

    assert log(files) == after


def test_a_fault_of_ones_own_takes_the_place_of_the_call(files: FaultyFileSystem) -> None:
    async def twice(call: Call) -> object:
        await call.proceed()
        return await call.proceed()

    files.fail(Fault("twice", twice, lambda call: call.verb == "append"))
    run(files.append("log", b"two\n"))

    assert log(files) == b"one\ntwo\ntwo\n"


def test_files_bound_to_another_runtime_share_the_fault(tmp_path: Path) -> None:
    files = FaultyFileSystem(RealFileSystem(tmp_path))
    bound = files.bind(AsyncRuntime())
    files.fail(refused)

    assert not bound.traits.blocking
    with pytest.raises(UnavailableError):
        run(bound.stat("log"))

    assert files.struck == ["stat log"]
    run(files.close())


def test_the_loop_finds_an_operation_that_loses_what_it_acknowledged() -> None:
    def lost_after_each_call(careless: bool) -> list[int]:
        lost: list[int] = []
        for n in count(1):
            files = FaultyFileSystem(InMemoryFileSystem())
            store = SessionStore(files, StoreConfig(io_timeout_ms=1))
            chat = store.session("k")
            files.fail(refused, at=n)
            acknowledged = True
            try:
                chat.append("user", "hello")
            except SessionStoreError:
                acknowledged = careless
            files.heal()
            if acknowledged and [message.content for message in chat.messages()] != ["hello"]:
                lost.append(n)
            if not files.struck:
                break
        return lost

    assert lost_after_each_call(careless=True)
    assert not lost_after_each_call(careless=False)
