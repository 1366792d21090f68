"""Waiting for a lock, and taking it by force."""

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
)
from session_store.runtime import run

HOUR_MS = 3_600_000


@pytest.mark.parametrize("jump_ms", [HOUR_MS, -HOUR_MS])
def test_a_waiter_does_not_look_at_the_wall_clock(
    ann: MiniStore, bob: MiniStore, clock: ManualRuntime, jump_ms: int
) -> None:
    acquired(ann, "ann")
    clock.wall_ms += jump_ms
    start = clock.seconds

    result = run(bob.locks.wait(SESSION, "bob"))

    assert result.acquired
    assert clock.seconds - start == pytest.approx(TTL_MS / 1000, abs=0.03)


def test_a_waiter_whose_holder_renews_waits_on(
    ann: MiniStore, bob: MiniStore, clock: ManualRuntime
) -> None:
    acquired(ann, "ann")
    clock.on_sleep.append(lambda: ann.locks.renew(SESSION))

    result = run(bob.locks.wait(SESSION, "bob", timeout_ms=3 * TTL_MS))

    assert not result.acquired
    assert result.lock is not None
    assert result.lock.owner_id == "ann"
    assert result.reason == f"locked by ann, after waiting for {3 * TTL_MS} ms"
    run(ann.append("still mine"))


def test_a_waiter_gets_a_released_lock_within_a_poll(
    ann: MiniStore, bob: MiniStore, clock: ManualRuntime, files: FaultyFiles
) -> None:
    acquired(ann, "ann")
    start = clock.seconds

    async def release_after_a_while() -> None:
        if clock.seconds - start > 0.5:
            clock.on_sleep.clear()
            await ann.locks.release(SESSION, "ann")

    clock.on_sleep.append(release_after_a_while)

    assert run(bob.locks.wait(SESSION, "bob", timeout_ms=TTL_MS)).acquired
    assert clock.seconds - start < 0.55
    assert fences(files) == 0


@pytest.mark.parametrize("timeout_ms", [0, 50, 55])
def test_a_waiter_gives_up_on_time(
    ann: MiniStore, bob: MiniStore, clock: ManualRuntime, timeout_ms: int
) -> None:
    acquired(ann, "ann")
    start = clock.seconds

    result = run(bob.locks.wait(SESSION, "bob", timeout_ms=timeout_ms))

    assert not result.acquired
    assert clock.seconds - start == pytest.approx(timeout_ms / 1000)


def test_forced_release_frees_the_lock_and_the_holder_is_lost(
    ann: MiniStore, bob: MiniStore, files: FaultyFiles
) -> None:
    acquired(ann, "ann")
    run(ann.append("one"))

    run(bob.locks.force_release(SESSION))

    assert not run(bob.locks.is_locked(SESSION))
    with pytest.raises(LeaseLostError):
        run(ann.append("too late"))
    assert acquired(bob, "bob")
    assert fences(files) == 1


def test_a_store_that_forces_its_own_lease_knows_that_it_is_lost(ann: MiniStore) -> None:
    acquired(ann, "ann")

    run(ann.locks.force_release(SESSION))

    with pytest.raises(LeaseLostError):
        ann.locks.check(SESSION)


def test_forced_release_of_a_free_lock_writes_nothing(ann: MiniStore, files: FaultyFiles) -> None:
    run(ann.locks.force_release(SESSION))
    assert not run(files.exists(LOCK))

    acquired(ann, "ann")
    run(ann.locks.release(SESSION, "ann"))
    before = lock_of(files)
    run(ann.locks.force_release(SESSION))

    assert lock_of(files) == before
    assert fences(files) == 0


def test_forced_release_holds_its_own_against_a_renewal(
    ann: MiniStore, bob: MiniStore, files: FaultyFiles
) -> None:
    acquired(ann, "ann")
    files.before_write.append(ann.locks.renew(SESSION))

    run(bob.locks.force_release(SESSION))

    assert not run(bob.locks.is_locked(SESSION))


def test_a_forced_release_that_dies_half_way_leaves_a_lock_that_nobody_waits_for(
    ann: MiniStore, bob: MiniStore, files: FaultyFiles, clock: ManualRuntime
) -> None:
    acquired(ann, "ann")
    dying = MiniStore(files, clock)

    async def crash(*_: object, **__: object) -> int | None:
        raise OSError("crash")

    dying.append_fence = crash  # type: ignore[method-assign]
    with pytest.raises(OSError, match="crash"):
        run(dying.locks.force_release(SESSION))

    assert acquired(bob, "bob")
    assert fences(files) == 1


def test_a_forced_release_that_somebody_else_was_faster_than_leaves_their_lock_alone(
    ann: MiniStore, bob: MiniStore, files: FaultyFiles, clock: ManualRuntime
) -> None:
    acquired(ann, "ann")
    forcing = MiniStore(files, clock)
    append_fence = forcing.append_fence

    async def late_fence(*args: str, **facts: object) -> int | None:
        assert (await bob.locks.acquire(SESSION, "bob")).acquired
        return await append_fence(*args, **facts)  # type: ignore[arg-type]

    forcing.append_fence = late_fence  # type: ignore[method-assign]

    run(forcing.locks.force_release(SESSION))

    run(bob.append("mine"))
    assert run(bob.locks.is_locked(SESSION))
