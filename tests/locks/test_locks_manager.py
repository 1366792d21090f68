"""What one call after another sees, with clocks that move only when told."""

import contextlib

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
    ConfigError,
    InvalidIdError,
    LeaseLostError,
    NotLockOwnerError,
)
from session_store.runtime import run


def test_the_first_to_ask_gets_the_lock_and_the_second_is_told_who_has_it(
    ann: MiniStore, bob: MiniStore, clock: ManualRuntime
) -> None:
    mine = run(ann.locks.acquire(SESSION, "ann"))
    theirs = run(bob.locks.acquire(SESSION, "bob"))

    assert mine.acquired
    assert mine.lock is not None
    assert (mine.lock.owner_id, mine.lock.session_id) == ("ann", SESSION)
    assert mine.lock.acquired_at == clock.wall_ms
    assert mine.lock.expires_at == clock.wall_ms + TTL_MS
    assert not theirs.acquired
    assert theirs.lock == mine.lock
    assert theirs.reason == "locked by ann"


def test_another_owner_in_the_same_store_is_another_owner(ann: MiniStore) -> None:
    assert acquired(ann, "ann")
    assert not acquired(ann, "anna")


def test_the_same_owner_in_the_same_store_refreshes(
    ann: MiniStore, bob: MiniStore, clock: ManualRuntime, files: FaultyFiles
) -> None:
    first = run(ann.locks.acquire(SESSION, "ann"))
    clock.pass_ms(TTL_MS - 1)
    again = run(ann.locks.acquire(SESSION, "ann", ttl_ms=5000))
    clock.pass_ms(4999)

    assert again.acquired
    assert first.lock is not None
    assert again.lock is not None
    assert again.lock.acquired_at == first.lock.acquired_at
    assert again.lock.epoch == first.lock.epoch
    assert lock_of(files)["renewals"] == 1
    assert not acquired(bob, "bob")
    assert fences(files) == 0


def test_a_refresh_of_an_expired_lease_that_nobody_took_keeps_it(
    ann: MiniStore, clock: ManualRuntime
) -> None:
    acquired(ann, "ann")
    lease = ann.locks.held(SESSION)
    clock.pass_ms(TTL_MS * 9)

    assert acquired(ann, "ann")
    assert ann.locks.held(SESSION) is lease


def test_a_released_lock_is_free_and_costs_the_next_no_fence(
    ann: MiniStore, bob: MiniStore, files: FaultyFiles
) -> None:
    for store, owner in [(ann, "ann"), (bob, "bob"), (ann, "ann")]:
        assert acquired(store, owner)
        run(store.append(f"from {owner}"))
        run(store.locks.release(SESSION, owner))
        assert not run(store.locks.is_locked(SESSION))
        assert run(store.locks.get(SESSION)) is None
        assert store.locks.held(SESSION) is None

    assert fences(files) == 0
    assert lock_of(files)["epoch"] == 3


def test_an_expired_lock_is_taken_over_with_a_fence_that_stops_the_old_holder(
    ann: MiniStore, bob: MiniStore, clock: ManualRuntime, files: FaultyFiles
) -> None:
    acquired(ann, "ann")
    run(ann.append("first"))
    clock.pass_ms(TTL_MS)

    assert run(bob.locks.get(SESSION)) is None
    assert acquired(bob, "bob")
    assert fences(files) == 1

    with pytest.raises(LeaseLostError):
        run(ann.append("too late"))
    lease = ann.locks.held(SESSION)
    assert lease is not None
    assert lease.lost
    assert ann.locks.sessions_held() == []
    assert bob.locks.sessions_held() == [SESSION]


def test_a_stopped_holder_is_lost_although_the_taker_has_long_released(
    ann: MiniStore, bob: MiniStore, clock: ManualRuntime
) -> None:
    acquired(ann, "ann")
    clock.pass_ms(TTL_MS)
    acquired(bob, "bob")
    run(bob.append("between"))
    run(bob.locks.release(SESSION, "bob"))
    run(bob.locks.acquire(SESSION, "bob"))
    run(bob.locks.release(SESSION, "bob"))

    with pytest.raises(LeaseLostError):
        run(ann.append("too late"))
    with pytest.raises(LeaseLostError):
        ann.locks.check(SESSION)


def test_a_holder_that_read_past_the_fence_before_it_writes_is_lost(
    ann: MiniStore, bob: MiniStore, clock: ManualRuntime
) -> None:
    acquired(ann, "ann")
    clock.pass_ms(TTL_MS)
    acquired(bob, "bob")
    run(ann.catch_up())

    with pytest.raises(LeaseLostError):
        run(ann.append("too late"))


def test_the_release_of_a_lost_lease_says_so_and_forgets_it(
    ann: MiniStore, bob: MiniStore, clock: ManualRuntime
) -> None:
    acquired(ann, "ann")
    clock.pass_ms(TTL_MS)
    acquired(bob, "bob")

    with pytest.raises(LeaseLostError):
        run(ann.locks.release(SESSION, "ann"))

    assert ann.locks.held(SESSION) is None
    with pytest.raises(NotLockOwnerError):
        run(ann.locks.release(SESSION, "ann"))
    assert run(bob.locks.is_locked(SESSION))


def test_a_lost_lease_stays_lost_until_it_is_acquired_anew(
    ann: MiniStore, bob: MiniStore, clock: ManualRuntime
) -> None:
    acquired(ann, "ann")
    clock.pass_ms(TTL_MS)
    acquired(bob, "bob")
    run(ann.catch_up())

    assert not acquired(ann, "ann")
    with pytest.raises(LeaseLostError):
        ann.locks.check(SESSION)

    run(bob.locks.release(SESSION, "bob"))
    assert acquired(ann, "ann")
    run(ann.append("again"))


def test_a_renewal_keeps_the_lock_and_notices_a_takeover(
    ann: MiniStore, bob: MiniStore, clock: ManualRuntime
) -> None:
    acquired(ann, "ann")
    clock.pass_ms(TTL_MS - 1)
    run(ann.locks.renew(SESSION))
    clock.pass_ms(TTL_MS - 1)
    assert not acquired(bob, "bob")
    clock.pass_ms(1)
    assert acquired(bob, "bob")

    with pytest.raises(LeaseLostError):
        run(ann.locks.renew(SESSION))
    with pytest.raises(LeaseLostError):
        ann.locks.check(SESSION)


def test_a_refresh_that_finds_a_takeover_is_refused_and_remembers_it(
    ann: MiniStore, bob: MiniStore, clock: ManualRuntime, files: FaultyFiles
) -> None:
    acquired(ann, "ann")
    clock.pass_ms(TTL_MS)
    files.before_write.append(bob.locks.acquire(SESSION, "bob"))

    result = run(ann.locks.acquire(SESSION, "ann"))

    assert result.reason == "locked by bob"
    with pytest.raises(LeaseLostError):
        ann.locks.check(SESSION)


def test_nothing_held_cannot_be_renewed(ann: MiniStore) -> None:
    with pytest.raises(LeaseLostError):
        run(ann.locks.renew(SESSION))


def test_a_lease_is_renewed_three_times_in_its_life(ann: MiniStore) -> None:
    assert ann.locks.renew_every_s(SESSION) == pytest.approx(TTL_MS / 3000)

    run(ann.locks.acquire(SESSION, "ann", ttl_ms=600))

    assert ann.locks.renew_every_s(SESSION) == pytest.approx(0.2)


def test_only_the_holder_may_release(ann: MiniStore, bob: MiniStore) -> None:
    acquired(ann, "ann")

    for store, owner in [(bob, "bob"), (bob, "ann"), (ann, "anna")]:
        with pytest.raises(NotLockOwnerError):
            run(store.locks.release(SESSION, owner))

    assert run(ann.locks.is_locked(SESSION))
    run(ann.append("still mine"))


def test_a_restarted_worker_takes_its_lock_over_at_once_and_stops_its_old_self(
    ann: MiniStore, bob: MiniStore, files: FaultyFiles
) -> None:
    acquired(ann, "worker")

    assert acquired(bob, "worker")

    assert fences(files) == 1
    with pytest.raises(LeaseLostError):
        run(ann.append("from before the restart"))


def test_locks_survive_the_store_object_that_took_them(
    files: FaultyFiles, clock: ManualRuntime
) -> None:
    acquired(MiniStore(files, clock), "gone")
    after = MiniStore(files, clock)

    result = run(after.locks.acquire(SESSION, "bob"))

    assert result.reason == "locked by gone"
    assert after.locks.held(SESSION) is None


def test_a_plain_append_of_another_does_not_end_a_lease(ann: MiniStore, bob: MiniStore) -> None:
    acquired(ann, "ann")
    run(ann.append("one"))
    run(bob.append("plain"))

    run(ann.append("two"))


@pytest.mark.parametrize("owner", ["", "x" * 1025, "\ud800", None, 7])
def test_an_owner_is_some_text(ann: MiniStore, files: FaultyFiles, owner: str) -> None:
    with pytest.raises(InvalidIdError):
        run(ann.locks.acquire(SESSION, owner))

    assert not run(files.exists(LOCK))


@pytest.mark.parametrize("ttl_ms", [0, -1, 1.5, True, 2**60])
def test_a_ttl_is_a_positive_number_of_milliseconds(ann: MiniStore, ttl_ms: int) -> None:
    with pytest.raises(ConfigError):
        run(ann.locks.wait(SESSION, "ann", ttl_ms=ttl_ms))


def test_the_longest_owner_can_be_read_back(ann: MiniStore, bob: MiniStore) -> None:
    assert acquired(ann, "\x01" * 1024)
    assert not acquired(bob, "bob")


def test_sessions_that_are_not_held_take_no_room(ann: MiniStore, bob: MiniStore) -> None:
    acquired(ann, "ann")
    acquired(bob, "bob")
    with contextlib.suppress(NotLockOwnerError):
        run(bob.locks.release(SESSION, "bob"))
    run(ann.locks.release(SESSION, "ann"))

    assert ann.locks._desks._desks == {}
    assert bob.locks._desks._desks == {}


def test_a_clock_before_1970_does_not_make_the_lock_unreadable(
    ann: MiniStore, bob: MiniStore, clock: ManualRuntime
) -> None:
    clock.wall_ms = -5000

    acquired(ann, "ann")

    assert not acquired(bob, "bob")
