"""Lost and damaged lock files, crashes half-way, lost answers, and calls in between."""

import pytest
from locks_kit import (
    LOCK,
    SESSION,
    TTL_MS,
    FaultyFiles,
    ManualRuntime,
    MiniStore,
    acquired,
    fences,
    lock_of,
)

from session_store.errors import (
    LeaseLostError,
    NotLockOwnerError,
    UnavailableError,
)
from session_store.files.memory import InMemoryFileSystem
from session_store.locks.manager import MAX_SWAPS
from session_store.runtime import run


@pytest.mark.parametrize("damage", [b"", b"\0" * 64, b"{", b"[1]", b'{"owner":1}'])
def test_an_unreadable_lock_file_counts_as_expired_and_unreleased(
    ann: MiniStore, bob: MiniStore, files: FaultyFiles, damage: bytes
) -> None:
    acquired(ann, "ann")
    run(files.write(LOCK, damage))

    assert run(bob.locks.get(SESSION)) is None
    assert acquired(bob, "bob")

    assert fences(files) == 1
    with pytest.raises(LeaseLostError):
        run(ann.append("too late"))


def test_a_lost_lock_file_does_not_give_two_holders(
    ann: MiniStore, bob: MiniStore, files: FaultyFiles
) -> None:
    acquired(ann, "ann")
    run(ann.append("first"))
    run(files.delete(LOCK))

    assert acquired(bob, "bob")

    assert fences(files) == 1
    with pytest.raises(LeaseLostError):
        run(ann.append("too late"))


@pytest.mark.parametrize("damage", [None, b"\0\0"])
def test_the_holder_restores_a_lost_lock_file(
    ann: MiniStore, bob: MiniStore, files: FaultyFiles, damage: bytes | None
) -> None:
    acquired(ann, "ann")
    run(ann.append("first"))
    run(files.delete(LOCK) if damage is None else files.write(LOCK, damage))

    run(ann.locks.renew(SESSION))

    assert not acquired(bob, "bob")
    run(ann.append("second"))


def test_a_restored_lock_file_does_not_vouch_for_what_happened_without_it(
    ann: MiniStore, bob: MiniStore, files: FaultyFiles, clock: ManualRuntime
) -> None:
    # Bob takes over while the file is away, loses it as well, and Ann puts hers back.
    acquired(ann, "ann")
    run(ann.append("first"))
    run(files.delete(LOCK))
    acquired(bob, "bob")
    run(files.delete(LOCK))
    run(ann.locks.renew(SESSION))
    run(ann.locks.release(SESSION, "ann"))
    cid = MiniStore(files, clock)

    assert acquired(cid, "cid")

    run(cid.append("mine alone"))
    with pytest.raises(LeaseLostError):
        run(bob.append("too late"))


def test_the_owner_gets_its_lost_lock_file_back_by_asking_again(
    ann: MiniStore, files: FaultyFiles
) -> None:
    acquired(ann, "ann")
    lease = ann.locks.held(SESSION)
    run(files.delete(LOCK))

    assert acquired(ann, "ann")
    assert ann.locks.held(SESSION) is lease


def test_who_follows_a_crash_between_lock_file_and_fence_appends_one(
    ann: MiniStore, bob: MiniStore, files: FaultyFiles, clock: ManualRuntime
) -> None:
    acquired(ann, "ann")
    clock.pass_ms(TTL_MS)
    crashing = MiniStore(files, clock)
    with pytest.raises(OSError, match="crash"):
        with_crash_before_fence(crashing, "cid")
    clock.pass_ms(TTL_MS)

    assert fences(files) == 0
    assert acquired(bob, "bob")
    assert fences(files) == 1
    with pytest.raises(LeaseLostError):
        run(ann.append("too late"))


def with_crash_before_fence(store: MiniStore, owner: str) -> None:
    async def crash(*_: object, **__: object) -> int | None:
        raise OSError("crash")

    store.append_fence = crash  # type: ignore[method-assign]
    try:
        run(store.locks.acquire(SESSION, owner))
    finally:
        del store.append_fence


def test_a_failed_acquisition_holds_nothing_and_does_not_lock_its_own_store_out(
    ann: MiniStore, bob: MiniStore, files: FaultyFiles
) -> None:
    run(bob.append("a log"))
    with pytest.raises(OSError, match="crash"):
        with_crash_before_fence(ann, "ann")

    assert ann.locks.held(SESSION) is None
    assert not acquired(bob, "bob")
    assert acquired(ann, "anna")
    assert fences(files) == 1


def test_of_two_takers_the_one_whose_lock_file_write_came_late_is_refused(
    ann: MiniStore, bob: MiniStore, files: FaultyFiles
) -> None:
    files.before_write.append(bob.locks.acquire(SESSION, "bob"))

    result = run(ann.locks.acquire(SESSION, "ann"))

    assert result.reason == "locked by bob"
    assert ann.locks.held(SESSION) is None
    assert bob.locks.held(SESSION) is not None


def test_of_two_takers_the_one_whose_fence_came_late_is_refused(
    ann: MiniStore, bob: MiniStore, files: FaultyFiles, clock: ManualRuntime
) -> None:
    run(ann.append("a log"))
    append_fence = ann.append_fence

    async def stopped_before_fence(*args: str, **facts: object) -> int | None:
        clock.pass_ms(TTL_MS)
        assert (await bob.locks.acquire(SESSION, "bob")).acquired
        return await append_fence(*args, **facts)  # type: ignore[arg-type]

    ann.append_fence = stopped_before_fence  # type: ignore[method-assign]

    result = run(ann.locks.acquire(SESSION, "ann"))

    assert result.reason == "locked by bob"
    assert fences(files) == 1
    run(bob.append("mine alone"))


def test_a_fence_read_by_somebody_else_before_the_acquisition_ends_is_not_missed(
    ann: MiniStore, bob: MiniStore, clock: ManualRuntime, files: FaultyFiles
) -> None:
    run(ann.append("a log"))
    append_fence = ann.append_fence

    async def stopped_after_fence(*args: str, **facts: object) -> int | None:
        offset = await append_fence(*args, **facts)  # type: ignore[arg-type]
        clock.pass_ms(TTL_MS)
        assert (await bob.locks.acquire(SESSION, "bob")).acquired
        await ann.catch_up()
        return offset

    ann.append_fence = stopped_after_fence  # type: ignore[method-assign]

    assert not acquired(ann, "ann")
    assert fences(files) == 2
    run(bob.append("mine alone"))


def test_the_last_holders_own_fence_serves_the_next_lease_and_does_not_end_it(
    ann: MiniStore, bob: MiniStore, files: FaultyFiles
) -> None:
    run(ann.append("a log"))
    assert acquired(ann, "ann")
    run(ann.locks.release(SESSION, "ann"))

    assert acquired(bob, "bob")
    run(bob.append("mine"))
    assert fences(files) == 1


def test_a_renewal_during_which_a_fence_was_read_is_none(
    ann: MiniStore, bob: MiniStore, clock: ManualRuntime, files: FaultyFiles
) -> None:
    # Bob's fence is in the log, but his lock file got lost.
    acquired(ann, "ann")
    run(ann.append("one"))
    clock.pass_ms(TTL_MS)
    mine = run(files.read(LOCK))
    acquired(bob, "bob")
    run(InMemoryFileSystem.write(files, LOCK, mine))
    files.before_write.append(ann.catch_up())

    with pytest.raises(LeaseLostError):
        run(ann.locks.renew(SESSION))


@pytest.mark.parametrize("call", ["renew", "force_release"])
def test_a_lock_file_that_keeps_changing_is_an_error_not_a_hang(
    ann: MiniStore, files: FaultyFiles, call: str
) -> None:
    acquired(ann, "ann")
    data = run(files.read(LOCK))

    async def rewrite() -> None:
        await InMemoryFileSystem.write(files, LOCK, data)

    changes = [rewrite() for _ in range(MAX_SWAPS)]
    files.before_write.extend(changes)

    with pytest.raises(UnavailableError):
        run(getattr(ann.locks, call)(SESSION))
    for change in changes:
        change.close()


@pytest.mark.parametrize("moment", ["before", "after"])
def test_a_release_whose_answer_was_lost_can_be_repeated_and_holds_nothing(
    ann: MiniStore, bob: MiniStore, files: FaultyFiles, moment: str
) -> None:
    acquired(ann, "ann")
    files.fail = moment

    with pytest.raises(UnavailableError):
        run(ann.locks.release(SESSION, "ann"))

    assert ann.locks.held(SESSION) is None
    run(ann.locks.release(SESSION, "ann"))
    assert acquired(bob, "bob")
    assert fences(files) == 0
    with pytest.raises(NotLockOwnerError):
        run(ann.locks.release(SESSION, "ann"))


def test_a_release_repeated_after_somebody_came_says_that_the_lease_is_gone(
    ann: MiniStore, bob: MiniStore, files: FaultyFiles
) -> None:
    acquired(ann, "ann")
    files.fail = "after"
    with pytest.raises(UnavailableError):
        run(ann.locks.release(SESSION, "ann"))
    acquired(bob, "bob")

    for expected in (LeaseLostError, NotLockOwnerError):
        with pytest.raises(expected):
            run(ann.locks.release(SESSION, "ann"))
    assert run(bob.locks.is_locked(SESSION))


@pytest.mark.parametrize("moment", ["before", "after"])
def test_an_acquisition_whose_answer_was_lost_can_be_repeated(
    ann: MiniStore, files: FaultyFiles, moment: str
) -> None:
    files.fail = moment
    with pytest.raises(UnavailableError):
        run(ann.locks.acquire(SESSION, "ann"))

    assert ann.locks.held(SESSION) is None
    assert acquired(ann, "ann")


def test_a_renewal_whose_answer_was_lost_keeps_the_lease(
    ann: MiniStore, files: FaultyFiles
) -> None:
    acquired(ann, "ann")
    files.fail = "after"
    with pytest.raises(UnavailableError):
        run(ann.locks.renew(SESSION))

    run(ann.locks.renew(SESSION))
    assert lock_of(files)["renewals"] == 2
    run(ann.append("still mine"))
