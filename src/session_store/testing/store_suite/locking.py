"""Locks: one owner a session, and nobody writes who has lost it."""

from collections.abc import Callable
from typing import Any, Final

import pytest

from session_store.errors import (
    LeaseLostError,
    LockTimeoutError,
    NotLockOwnerError,
)
from session_store.model.records import LockResult
from session_store.sync import Session, SessionStore

from .base import Suite
from .ground import Ground

# Not how long a takeover may take: after so many tries we say that there is none.
MOST_TRIES: Final = 1_000_000

# Each takes the lock from "old", which never released it.
Taking = Callable[[SessionStore, str], Any]


def by_expiry(store: SessionStore, session: str) -> LockResult:
    """Become the owner as soon as the lease of another has expired."""
    for _ in range(MOST_TRIES):
        result = store.acquire_lock(session, "new")
        if result.acquired:
            return result
    raise AssertionError("a lease of one millisecond does not expire")


def by_waiting(store: SessionStore, session: str) -> LockResult:
    """Wait until another has given no sign of life for as long as its lease lasts."""
    return store.acquire_lock(session, "new", wait=True)


def by_name(store: SessionStore, session: str) -> LockResult:
    """Come back as the same owner, in another store."""
    return store.acquire_lock(session, "old")


def by_force(store: SessionStore, session: str) -> LockResult:
    """Take the lock from whoever holds it."""
    store.force_release(session)
    return store.acquire_lock(session, "new")


def by_force_and_release(store: SessionStore, session: str) -> None:
    """Take the lock from whoever holds it, and give it back."""
    by_force(store, session)
    store.release_lock(session, "new")


TAKINGS: Final = (by_expiry, by_waiting, by_name, by_force, by_force_and_release)


def called(taking: Taking) -> str:
    """Return the name of a way to take a lock."""
    return taking.__name__


class LockTests(Suite):
    """Locks."""

    def test_lock_has_one_owner(self, chat: Session, other: Session) -> None:
        """While one owner holds the lock nobody else gets it, in this store or another."""
        first = chat.store.acquire_lock(chat.id, "me")

        answers = [
            session.store.acquire_lock(chat.id, "you") for session in (chat, other, chat, other)
        ]

        assert first.acquired
        assert first.lock is not None
        assert first.lock.owner_id == "me"
        for answer in answers:
            assert not answer.acquired
            assert answer.reason
            assert answer.lock is not None
            assert (answer.lock.owner_id, answer.lock.epoch) == ("me", first.lock.epoch)
        assert other.store.get_lock(chat.id) == answers[-1].lock
        assert chat.store.is_locked(chat.id) is other.store.is_locked(chat.id) is True

    def test_lock_is_free_after_its_release(self, chat: Session, other: Session) -> None:
        """A lock that was released is free at once, for everyone."""
        assert other.store.is_locked(chat.id) is False
        assert other.store.get_lock(chat.id) is None
        chat.store.acquire_lock(chat.id, "me")

        chat.store.release_lock(chat.id, "me")

        assert chat.store.is_locked(chat.id) is other.store.is_locked(chat.id) is False
        assert other.store.get_lock(chat.id) is None
        assert other.store.acquire_lock(chat.id, "you").acquired

    def test_lock_is_refreshed_by_its_owner(self, chat: Session) -> None:
        """The same owner acquires its lock again, and then it lasts no shorter."""
        first = chat.store.acquire_lock(chat.id, "me")

        again = chat.store.acquire_lock(chat.id, "me")

        assert again.acquired
        assert first.lock is not None
        assert again.lock is not None
        assert again.lock.expires_at >= first.lock.expires_at
        assert again.lock.epoch == first.lock.epoch
        chat.store.release_lock(chat.id, "me")

    def test_lock_of_another_is_not_released(self, chat: Session, other: Session) -> None:
        """Releasing a lock that one does not hold is `NotLockOwnerError`, and changes nothing."""
        with pytest.raises(NotLockOwnerError):
            chat.store.release_lock(chat.id, "me")
        chat.store.acquire_lock(chat.id, "me")
        held = other.store.get_lock(chat.id)

        for store, owner in ((chat.store, "you"), (other.store, "you"), (other.store, "me")):
            with pytest.raises(NotLockOwnerError):
                store.release_lock(chat.id, owner)

        assert held is not None
        assert other.store.get_lock(chat.id) == held

    def test_lock_is_held_for_a_block(self, chat: Session, other: Session) -> None:
        """`lock` holds the lock of a session for a block, and releases it, also on an error."""
        with chat.lock("me"):
            assert other.store.is_locked(chat.id)
            chat.append("user", "under the lock")
        assert not other.store.is_locked(chat.id)

        with pytest.raises(ZeroDivisionError), other.lock():
            raise ZeroDivisionError
        assert not other.store.is_locked(chat.id)

    def test_lock_that_stays_taken_times_out(self, chat: Session, other: Session) -> None:
        """Who waits no longer than `timeout_ms` is told who held it, and has nothing."""
        chat.store.acquire_lock(chat.id, "me")

        result = other.store.acquire_lock(chat.id, "you", wait=True, timeout_ms=5)
        with pytest.raises(LockTimeoutError) as caught, other.lock("you", timeout_ms=5):
            pass

        assert not result.acquired
        assert caught.value.owner == "me"
        with pytest.raises(NotLockOwnerError):
            other.store.release_lock(chat.id, "you")

    def test_lock_lets_others_write(self, chat: Session, other: Session) -> None:
        """Who does not take locks may append beside the holder, and the holder goes on."""
        with chat.lock("me"):
            first = chat.append("user", "1")
            between = other.append("user", "2")
            last = chat.append("user", "3")

        assert between.parent_id == first.id
        assert last.parent_id == between.id
        assert chat.messages() == other.messages() == [first, between, last]

    @pytest.mark.parametrize("taking", TAKINGS, ids=called)
    def test_lock_that_was_taken_refuses_the_old_owner(self, ground: Ground, taking: Any) -> None:
        """Who has lost the lock is refused by `LeaseLostError`, and nothing of it is written."""
        old = ground.open(lock_timeout_ms=1).session("chat")
        new = ground.open().session("chat")
        old.append("user", "before")
        old.create_branch("branch")
        assert old.store.acquire_lock(old.id, "old").acquired
        before = new.messages()

        taking(new.store, new.id)
        said = new.append("user", "of the new owner")

        for call in (
            lambda: old.append("user", "late"),
            lambda: old.append_many([{"type": "user"}, {"type": "user"}]),
            old.reset,
            lambda: old.create_branch("late"),
            lambda: old.switch_to_branch("branch"),
            lambda: old.delete_branch("branch"),
            lambda: old.update_metadata(user_id="late"),
            old.delete,
        ):
            with pytest.raises(LeaseLostError):
                call()
        assert new.messages() == old.messages() == [*before, said]
        assert [branch.name for branch in new.branches()] == ["branch"]
        self._loses_nothing_more(old, new)

    def _loses_nothing_more(self, old: Session, new: Session) -> None:
        with pytest.raises(LeaseLostError):
            old.store.release_lock(old.id, "old")
        # Forgotten with that: from now on it is one like all others.
        if new.store.get_lock(new.id) is None:
            assert old.store.acquire_lock(old.id, "old").acquired
            old.store.release_lock(old.id, "old")
        assert old.append("user", "again").id == new.messages()[-1].id

    @pytest.mark.parametrize("taking", TAKINGS, ids=called)
    def test_lock_that_was_taken_refuses_a_blind_write(self, ground: Ground, taking: Any) -> None:
        """The old owner is refused also if nobody has written since, and if it looked first."""
        for looks in (False, True):
            key = f"chat {looks}"
            old = ground.open(lock_timeout_ms=1).session(key)
            new = ground.open().session(key)
            assert old.store.acquire_lock(old.id, "old").acquired

            taking(new.store, new.id)
            if looks:
                assert old.messages() == []

            with pytest.raises(LeaseLostError):
                old.append("user", "late")
            assert new.messages() == []

    def test_lock_that_was_taken_is_told_at_the_end(self, ground: Ground) -> None:
        """`lock` raises `LeaseLostError` at the end of a block whose lock was taken meanwhile."""
        old = ground.open().session("chat")
        new = ground.open().session("chat")

        with pytest.raises(LeaseLostError), old.lock("old"):
            new.store.force_release(new.id)

        assert new.store.acquire_lock(new.id, "new").acquired

    def test_lock_of_a_closed_store_is_free(self, chat: Session, other: Session) -> None:
        """A store that is closed gives back what it holds."""
        chat.store.acquire_lock(chat.id, "me")

        chat.store.close()

        assert other.store.acquire_lock(chat.id, "you").acquired
