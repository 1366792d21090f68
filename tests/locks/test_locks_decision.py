import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from session_store.locks.decision import (
    MAX_LOCK_BYTES,
    Decision,
    LockFile,
    Silence,
    decide,
    decode,
    encode,
    is_live,
    lock_file,
    needs_fence,
)
from session_store.locks.lease import NOT_YET, Lease

counts = st.integers(0, 2**60)
names = st.sampled_from(["ann", "bob"])
nonces = st.sampled_from(["t1-a", "t1-b", "t2-a"])
locks = st.builds(
    LockFile,
    owner=names,
    nonce=nonces,
    epoch=counts,
    renewals=counts,
    acquired_at=counts,
    renewed_at=counts,
    ttl=counts,
    fenced=st.booleans(),
    released=st.booleans(),
)


def a_lease(nonce: str = "t1-a", owner: str = "ann", since: int = 0) -> Lease:
    lease = Lease(nonce=nonce, owner=owner, ttl_ms=1000, now_ms=5)
    lease.since = since
    return lease


leases = st.builds(a_lease, nonce=st.sampled_from(["t1-a", "t1-b"]), owner=names)


@given(locks)
def test_a_lock_file_reads_back_as_it_was_written(lock: LockFile) -> None:
    assert decode(encode(lock)) == lock


@given(st.binary())
def test_any_bytes_can_be_met_in_a_lock_file(data: bytes) -> None:
    assert decode(data) is None or isinstance(decode(data), LockFile)


def test_the_names_on_disk_are_those_of_the_format() -> None:
    lock = lock_file(a_lease(), now_ms=9, released=True)

    fields = msgspec.json.decode(encode(lock))

    assert fields == {
        "owner": "ann",
        "nonce": "t1-a",
        "epoch": 0,
        "renewals": 0,
        "acquiredAt": 5,
        "renewedAt": 9,
        "ttl": 1000,
        "fenced": False,
        "released": True,
    }


whole = encode(lock_file(a_lease(), now_ms=9, released=False))


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\0" * 200,
        whole[:-20],
        b"[]",
        b"null",
        b"{}",
        b"\xff" + whole,
        whole.replace(b'"epoch":0', b'"epoch":"0"'),
        whole.replace(b'"epoch":0', b'"epoch":-1'),
        whole.replace(b'"epoch":0', b'"epoch":1e400'),
        whole.replace(b'"released":false', b'"released":null'),
        whole.replace(b'"ttl":1000', b'"ttl":0.5'),
        whole.replace(b'"owner":"ann"', b'"owner":"\xff"'),
        b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
        whole + b" " * MAX_LOCK_BYTES,
    ],
)
def test_damage_makes_a_lock_file_unreadable_and_nothing_worse(data: bytes) -> None:
    assert decode(data) is None


def test_fields_of_a_newer_version_do_not_make_it_unreadable() -> None:
    data = whole.replace(b'{"owner"', b'{"host":"h1","owner"')

    assert decode(data) == decode(whole) is not None


@given(locks, counts)
def test_a_lock_is_live_until_its_ttl_is_over_or_it_is_released(lock: LockFile, now: int) -> None:
    expected = not lock.released and now < lock.renewed_at + lock.ttl

    assert is_live(lock, now) is expected
    assert not is_live(None, now)


@given(st.none() | locks, names, st.none() | leases, st.booleans())
def test_what_is_free_is_never_waited_for(
    lock: LockFile | None, owner: str, held: Lease | None, silent: bool
) -> None:
    decision = decide(lock, owner=owner, token="t1-", held=held, silent=silent)

    if lock is None or lock.released or silent:
        assert decision is not Decision.WAIT


@given(locks, names, st.none() | leases)
def test_a_live_lock_of_another_is_waited_for(
    lock: LockFile, owner: str, held: Lease | None
) -> None:
    decision = decide(lock, owner=owner, token="t1-", held=held, silent=False)

    believed_elsewhere = lock.nonce.startswith("t2-")
    believed_here = held is not None and held.nonce == lock.nonce and held.owner != owner
    if not lock.released and lock.owner != owner and (believed_elsewhere or believed_here):
        assert decision is Decision.WAIT


@given(st.none() | locks, names, st.none() | leases, st.booleans())
def test_only_the_owner_of_the_very_lease_refreshes_it(
    lock: LockFile | None, owner: str, held: Lease | None, silent: bool
) -> None:
    decision = decide(lock, owner=owner, token="t1-", held=held, silent=silent)

    is_own = held is not None and held.owner == owner
    is_there = held is not None and (lock is None or lock.nonce == held.nonce)
    assert (decision is Decision.REFRESH) == (is_own and is_there)


@given(locks, st.booleans())
def test_a_restarted_worker_takes_over_at_once(lock: LockFile, silent: bool) -> None:
    decision = decide(lock, owner=lock.owner, token="t3-", held=None, silent=silent)

    assert decision is Decision.TAKE


@given(names)
def test_what_a_failed_call_of_this_store_left_behind_is_taken_at_once(owner: str) -> None:
    left = lock_file(a_lease(nonce="t1-b"), now_ms=0, released=False)

    decision = decide(left, owner=owner, token="t1-", held=None, silent=False)

    assert decision is Decision.TAKE


@given(locks, counts)
def test_only_a_holder_that_released_a_covered_lease_saves_the_fence(
    lock: LockFile, size: int
) -> None:
    needed = needs_fence(lock, absent=False, log_size=size)

    assert needed == (not (lock.released and lock.fenced))


def test_an_unreadable_lock_file_needs_a_fence_and_an_absent_one_unless_the_log_is_empty() -> None:
    assert needs_fence(None, absent=False, log_size=0)
    assert needs_fence(None, absent=True, log_size=1)
    assert not needs_fence(None, absent=True, log_size=0)


def test_silence_is_full_after_a_whole_ttl_without_a_renewal() -> None:
    lock = lock_file(a_lease(), now_ms=0, released=False)
    silence = Silence()

    assert not silence.is_full(lock, 50.0)
    assert not silence.is_full(lock, 50.999)
    assert silence.is_full(lock, 51.0)


def test_every_sign_of_life_ends_the_silence() -> None:
    first, renewed, other = a_lease(), a_lease(), a_lease(nonce="t2-a")
    renewed.renewals = 1
    silence = Silence()

    for at, lease in enumerate([first, renewed, other, first]):
        lock = lock_file(lease, now_ms=0, released=False)
        assert not silence.is_full(lock, 50.0 + at * 2)


@given(st.lists(st.tuples(st.integers(0, 9), st.sampled_from("ab"))), st.integers(0, 9))
def test_a_lease_is_lost_by_a_foreign_fence_at_or_after_its_own_place(
    fences: list[tuple[int, str]], since: int
) -> None:
    late, early = a_lease("a", since=NOT_YET), a_lease("a", since=since)

    for offset, nonce in fences:
        late.saw_fence(offset, nonce)
        early.saw_fence(offset, nonce)
    assert not late.lost
    late.since = since

    expected = any(offset >= since and nonce == "b" for offset, nonce in fences)
    assert early.lost is late.lost is expected


def test_a_revoked_lease_stays_lost() -> None:
    lease = a_lease()

    lease.revoke()

    assert lease.lost
    assert "lost" in repr(lease)
