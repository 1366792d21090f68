"""Hostile content, and bad input: kept exactly, or refused before anything is written."""

from collections.abc import Callable
from typing import Any, Final

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from session_store.errors import (
    InvalidIdError,
    InvalidMessageError,
    SessionNotFoundError,
)
from session_store.sync import Session

from .base import Suite
from .ground import Ground

CONTENTS: Final = (
    "",
    "\n",
    "\r\n\u2028\u2029\x85",
    '"},{"id":"x"}\n{"id":"y","type":"user"}\n',
    '","crc":"00000000"}',
    "\0\x01\x1f\x7f",
    "\ufeff{",
    "\u202e\u2066bidi\u2069",
    "e\u0301 is not é",
    "👩‍👩‍👧‍👦" * 100,
    "\U0010ffff\uffff\ufffd",
    "[" * 10_000,
    "../../etc/passwd",
    "'; DROP TABLE messages; --",
    "<script>alert(1)</script>",
)


def nested(levels: int) -> Any:
    """Return a list in a list, as many as `levels`."""
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


BAD: Final[dict[str, Any]] = {
    "no type": {"content": "a"},
    "no mapping": "user",
    "an unknown field": {"type": "user", "text": "a"},
    "content of a wrong type": {"type": "user", "content": 5},
    "a block of a wrong type": {"type": "user", "content": ["a"]},
    "metadata of a wrong type": {"type": "user", "metadata": []},
    "a call without a name": {"type": "tool_call", "tool_calls": [{"id": "a"}]},
    "NaN": {"type": "user", "metadata": {"a": float("nan")}},
    "infinity": {"type": "user", "metadata": {"a": [float("-inf")]}},
    "half a character": {"type": "user", "content": "\ud800"},
    "half a character in a name": {"type": "user", "metadata": {"\udfff": 1}},
    "a number too large": {"type": "user", "metadata": {"a": 2**63}},
    "a number too small": {"type": "user", "metadata": {"a": -(2**63)}},
    "a name that is no text": {"type": "user", "metadata": {1: "a"}},
    "bytes": {"type": "user", "metadata": {"a": b"x"}},
    "a set": {"type": "user", "metadata": {"a": {1}}},
    "a tuple": {"type": "user", "metadata": {"a": (1,)}},
    "too deep": {"type": "user", "metadata": {"a": nested(65)}},
    "an id that is no text": {"id": 5, "type": "user"},
    "an id too long": {"id": "i" * 1025, "type": "user"},
    "a time that is none": {"type": "user", "timestamp": "now"},
    "a control record": {"type": "custom", "control": {"kind": "fence", "epoch": 2**60}},
}

# Where one is asked for, none of these is a session.
BAD_SESSIONS: Final = ("", ".", "..", "a/b", "../chat", "/", "a\0b", "\ud800", "s" * 256)

JSON: Final = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"])),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


class HostileTests(Suite):
    """Hostile content and bad input."""

    def test_hostile_text_is_kept(self, chat: Session, other: Session) -> None:
        """Any text is kept to the letter, wherever it stands."""
        said = [
            chat.append(
                {
                    "type": "user",
                    "content": text,
                    "metadata": {"in": text, "as a name": {f"{text}": [text]}},
                }
            )
            for text in CONTENTS
        ]
        batch = chat.append_many([{"type": "user", "content": text} for text in CONTENTS])

        assert other.messages() == [*said, *batch]
        assert [message.content for message in said] == list(CONTENTS)
        assert [message.metadata["in"] for message in said if message.metadata] == list(CONTENTS)

    def test_hostile_ids_are_kept(self, chat: Session, other: Session) -> None:
        """Any text of 1 to 1,024 characters is the id of a message, and none are mixed up."""
        ids = [text[:1000] for text in CONTENTS if text]

        for name in ids:
            chat.append({"id": name, "type": "user"})

        assert [said.id for said in other.messages()] == ids
        assert [said.id for said in other.history()] == ids
        assert [said.parent_id for said in other.messages()] == [None, *ids[:-1]]

    def test_hostile_values_are_kept(self, ground: Ground) -> None:
        """Every value that JSON can say comes back equal, and of the same type."""
        store, fresh = ground.open(), ground.open()
        chat = store.session("chat")

        @settings(
            max_examples=60,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=[HealthCheck.too_slow],
        )
        @given(JSON)
        def keeps(value: Any) -> None:
            said = chat.append({"type": "user", "metadata": {"value": value}})
            read = fresh.get_message(chat.id, said.id)
            assert read is not None
            assert read.metadata is not None
            assert repr(read.metadata["value"]) == repr(value)

        keeps()

    @pytest.mark.parametrize("message", BAD.values(), ids=BAD)
    def test_hostile_message_is_refused(self, chat: Session, message: Any, ground: Ground) -> None:
        """What no store could keep as it is is refused, alone or in a batch, and not there."""
        before = ground.raw.tree()

        with pytest.raises((InvalidMessageError, InvalidIdError)):
            chat.store.append(chat.id, message)
        with pytest.raises((InvalidMessageError, InvalidIdError)):
            chat.append_many([{"type": "user", "content": "fine"}, message])

        assert ground.raw.tree() == before
        assert chat.messages() == []

    @pytest.mark.parametrize("session", BAD_SESSIONS, ids=lambda name: ascii(name)[:12])
    def test_hostile_session_is_refused(self, chat: Session, session: str, ground: Ground) -> None:
        """What is no session is refused before anything is touched."""
        chat.append("user", "a")
        before = ground.raw.tree()
        store = chat.store
        calls: list[Callable[[], Any]] = [
            lambda: store.append(session, {"type": "user"}),
            lambda: store.get_messages(session),
            lambda: store.create_branch(session, "a"),
            lambda: store.acquire_lock(session, "me"),
            lambda: store.force_release(session),
            lambda: store.reset_session(session),
            lambda: store.delete_session(session),
            lambda: store.update_metadata(session, {"user_id": "u"}),
        ]

        for call in calls:
            with pytest.raises((SessionNotFoundError, InvalidIdError)):
                call()

        assert ground.raw.tree() == before
