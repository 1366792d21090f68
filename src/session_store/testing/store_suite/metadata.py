"""What is known of a session without reading it, and what may be set."""

from typing import Any

import pytest

from session_store.errors import InvalidMessageError
from session_store.sync import Session

from .base import Suite
from .ground import Ground


class MetadataTests(Suite):
    """Metadata."""

    def test_metadata_counts_exactly(self, chat: Session, other: Session) -> None:
        """`message_count` holds what any store was answered for, at once."""
        for number in range(1, 8):
            (chat, other)[number % 2].append("user", "a")
            seen = [session.metadata() for session in (chat, other)]

            assert [found.message_count for found in seen if found] == [number, number]
        chat.append_many([{"type": "user"}] * 5)
        chat.create_branch("a")
        chat.switch_to_branch("a")

        found = other.store.get_metadata_by_key("chat")
        assert found is not None
        assert found.message_count == 12

    def test_metadata_tells_when(self, chat: Session) -> None:
        """`created_at` stays, and `updated_at` never goes back when something is appended."""
        before = chat.metadata()
        assert before is not None
        chat.append("user", "a")
        after = chat.metadata()

        assert after is not None
        assert after.created_at == before.created_at <= before.updated_at <= after.updated_at
        assert after.session_id == chat.id

    def test_metadata_can_be_set(self, chat: Session, other: Session) -> None:
        """`update_metadata` replaces the given fields, keeps the others, and None takes away."""
        chat.update_metadata(user_id="u1", metadata={"a": 1, "b": {"c": [True]}})
        other.update_metadata(token_estimate=5, model_overrides={"model": "m"})
        changed = chat.store.update_metadata(chat.id, {"userId": "u2", "metadata": {"a": 2}})

        assert changed == other.metadata()
        assert (changed.user_id, changed.token_estimate) == ("u2", 5)
        assert (changed.metadata, changed.model_overrides) == ({"a": 2}, {"model": "m"})

        other.update_metadata(user_id=None, model_overrides=None)

        found = chat.metadata()
        assert found is not None
        assert (found.user_id, found.model_overrides) == (None, None)
        assert found.token_estimate == 5

    @pytest.mark.parametrize(
        "changes",
        [
            {"message_count": 5},
            {"session_id": "x"},
            {"nonsense": 1},
            {"user_id": 5},
            {"token_estimate": True},
            {"metadata": []},
            {"metadata": {"a": float("nan")}},
            {"metadata": {"a": {1}}},
            {"metadata": {"a": "\ud800"}},
            {"user_id": "fine", "metadata": {1: 2}},
        ],
        ids=str,
    )
    def test_metadata_that_is_none_is_refused(self, chat: Session, changes: Any) -> None:
        """What is no field of yours, or no value of it, is refused, and nothing is changed."""
        before = chat.metadata()

        with pytest.raises(InvalidMessageError):
            chat.store.update_metadata(chat.id, changes)

        assert chat.metadata() == before

    def test_metadata_outlives_the_store(self, chat: Session, ground: Ground) -> None:
        """What was set and counted is there when the store is opened again."""
        chat.update_metadata(user_id="u", metadata={"a": None})
        chat.append_many([{"type": "user"}] * 3)
        before = chat.metadata()
        chat.store.close()

        after = ground.open().get_metadata(chat.id)

        assert after is not None
        assert before is not None
        assert (after.user_id, after.metadata, after.message_count) == ("u", {"a": None}, 3)
        assert after.created_at == before.created_at
