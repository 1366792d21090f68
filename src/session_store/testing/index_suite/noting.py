"""What is known of a session: set, merged, noted."""

from typing import Any

import pytest

from session_store.errors import SessionNotFoundError
from session_store.model.records import LogMark

from .base import Index, Suite, new_id


class NoteTests(Suite):
    """Metadata and counts."""

    def test_metadata_is_what_was_registered(self, index: Index, other: Index) -> None:
        """What was given to `register` is known elsewhere, field by field."""
        fields: dict[str, Any] = {
            "user_id": "u\0ü",
            "token_estimate": 7,
            "model_overrides": {"a": [1, None, {"b": 0.5}]},
            "metadata": {"": "\0", "deep": {"er": [True, "🗝️"]}},
        }
        made = index.make("k", 1_234.5, **fields)

        found = other.metadata(made)

        assert (found.session_id, found.created_at) == (made, 1_234.5)
        assert {name: getattr(found, name) for name in fields} == fields

    def test_metadata_of_nothing_is_none(self, index: Index) -> None:
        """Of a session that is not there nothing is known, and nothing can be set."""
        assert index.metadata(new_id()) is None
        with pytest.raises(SessionNotFoundError):
            index.update(new_id(), {"userId": "u"})

    def test_metadata_is_merged_field_by_field(self, index: Index, other: Index) -> None:
        """A change touches the fields it names; None takes one away; the answer is what is then."""
        made = index.make("k", user_id="a", token_estimate=1)

        index.update(made, {"metadata": {"x": 1}})
        after = other.update(made, {"userId": "b", "tokenEstimate": None})

        assert (after.user_id, after.token_estimate, after.metadata) == ("b", None, {"x": 1})
        assert index.metadata(made) == after

    def test_metadata_takes_the_larger_count(self, index: Index, other: Index) -> None:
        """Of what is noted of a log the larger size and the later time win, whoever comes last."""
        made = index.make("k")
        more = LogMark(size=200, messages=2, last_id="b")

        index.note_append(made, 9_000, more)
        index.flush()
        other.note_append(made, 5_000, LogMark(size=100, messages=1, last_id="a"))
        other.flush()

        found = index.metadata(made)
        assert (found.log, found.message_count, found.updated_at) == (more, 2, 9_000)

    def test_metadata_takes_a_count_that_was_made_anew(self, index: Index, other: Index) -> None:
        """A recount stands, though something larger was noted before."""
        made = index.make("k")
        index.note_append(made, 9_000, LogMark(size=200, messages=2, last_id="b"))
        index.flush()
        fewer = LogMark(size=100, messages=1, last_id="a")

        other.note_count(made, fewer)
        other.flush()

        assert index.metadata(made).log == fewer
        assert index.metadata(made).message_count == 1

    def test_metadata_is_not_made_by_a_note(self, index: Index) -> None:
        """Noting something of a session that is not there makes none, and is no error."""
        ghost = new_id()

        index.note_append(ghost, 1, LogMark(size=1, messages=1, last_id="a"))
        index.note_count(ghost, LogMark(size=1, messages=1, last_id="a"))
        index.flush()

        assert index.has(ghost) is False

    def test_metadata_survives_closing(self, index: Index, other: Index) -> None:
        """What was noted is written down by `close` at the latest."""
        made = index.make("k")
        mark = LogMark(size=10, messages=1, last_id="a")
        other.load()
        other.note_append(made, 7_000, mark)

        other.close()

        index.refresh()
        assert index.metadata(made).log == mark
