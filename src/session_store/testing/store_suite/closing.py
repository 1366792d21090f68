"""The life of a store: opened, checked, closed, opened again."""

from typing import Any

import pytest

from session_store.errors import ClosedError
from session_store.sync import Session, SessionStore

from .base import Suite
from .ground import Ground


class CloseTests(Suite):
    """Closing and opening again."""

    def test_close_keeps_everything(self, chat: Session, ground: Ground) -> None:
        """What was done is there when the store is opened again, on either face."""
        said = [chat.append("user", "a"), *chat.append_many([{"type": "user"}] * 3)]
        chat.create_branch("one", said[0])
        chat.switch_to_branch("one")
        chat.store.add_key("second", chat.id)
        chat.update_metadata(user_id="u")
        chat.store.close()

        faces: list[Any] = ["async", ground.face]
        for face in faces:
            fresh = ground.open(face).session("second")
            assert fresh.id == chat.id
            assert fresh.messages() == said
            assert fresh.head() == said[0].id
            assert [branch.name for branch in fresh.branches()] == ["one"]
            metadata = fresh.metadata()
            assert metadata is not None
            assert (metadata.user_id, metadata.message_count) == ("u", 4)

    def test_close_keeps_what_was_flushed(self, chat: Session, ground: Ground) -> None:
        """`flush` writes down what was noted, and everything goes on."""
        chat.append("user", "a")

        chat.store.flush()
        chat.store.flush(snapshot=True)
        chat.append("user", "b")

        assert len(ground.open().get_messages(chat.id)) == 2

    def test_close_ends_every_call(self, chat: Session) -> None:
        """A closed store raises `ClosedError`, and may be closed again."""
        chat.append("user", "a")
        store: SessionStore = chat.store

        store.close()
        store.close()

        for call in (
            store.init,
            lambda: store.resolve("chat"),
            lambda: chat.append("user", "late"),
            chat.messages,
            lambda: chat.history(limit=1),
            lambda: next(chat.subscribe()),
            chat.branches,
            chat.metadata,
            store.list_sessions,
            lambda: store.acquire_lock(chat.id, "me"),
            lambda: store.delete_session(chat.id),
            store.check,
            store.flush,
        ):
            with pytest.raises(ClosedError):
                call()

    def test_close_of_one_store_harms_no_other(self, chat: Session, other: Session) -> None:
        """Another store on the same files goes on."""
        chat.append("user", "a")
        other.append("user", "b")

        chat.store.close()

        assert other.append("user", "c").parent_id == other.messages()[1].id
        assert len(other.messages()) == 3

    def test_close_writes_nothing_that_was_not_done(self, chat: Session, ground: Ground) -> None:
        """Opening, reading and closing a store changes no message and loses none."""
        said = chat.append("user", "a")
        for _ in range(3):
            fresh = ground.open()
            assert fresh.get_messages(chat.id) == [said]
            fresh.close()

        assert chat.messages() == [said]

    def test_check_of_a_healthy_store_is_clean(
        self, chat: Session, other: Session, ground: Ground
    ) -> None:
        """`check` counts what is there, finds nothing, and changes nothing."""
        for number in range(5):
            (chat, other)[number % 2].append("user", "a")
        chat.append_many([{"type": "user"}] * 2)
        chat.store.resolve("empty")

        for store in (chat.store, other.store):
            report = store.check()
            assert report.ok
            assert ground.findings(store) == {}
            assert (report.sessions, report.messages) == (2, 7)
