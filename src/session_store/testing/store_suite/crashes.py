"""What is left after a power cut: all that was answered with `durability="fsync"`."""

from collections.abc import Callable
from typing import Final

import pytest

from session_store.errors import SessionNotFoundError
from session_store.sync import SessionStore

from .base import Suite
from .ground import Ground
from .patience import first
from .reading import ids

PowerCut = Callable[[], SessionStore]

# What may become of bytes that were never to last: any part of them can be lost.
DAMAGED: Final = {"bad_lock", "misplaced_line", "missing_parent", "wrong_count"}


class CrashTests(Suite):
    """Power cuts."""

    def test_crash_keeps_what_was_appended(self, ground: Ground, power_cut: PowerCut) -> None:
        """Every message that was answered is there after a power cut, in its order."""
        store = ground.open(durability="fsync")
        sessions = {key: store.resolve(key) for key in ("a", "b", "c")}
        said = {
            key: [store.append(session, {"type": "user", "content": f"{n}"}) for n in range(5)]
            for key, session in sessions.items()
        }

        after = power_cut()

        for key, session in sessions.items():
            assert after.get_session_id(key) == session
            assert after.get_messages(session) == said[key]

    def test_crash_keeps_whole_batches(self, ground: Ground, power_cut: PowerCut) -> None:
        """A batch that was answered is there as a whole after a power cut."""
        chat = ground.open(durability="fsync").session("chat")
        first = chat.append_many([{"type": "user", "content": "x" * 3000}] * 5)
        second = chat.append_many([{"type": "user"}] * 2)

        after = power_cut().session("chat")

        assert after.messages() == [*first, *second]

    def test_crash_keeps_deletes(self, ground: Ground, power_cut: PowerCut) -> None:
        """A session that was deleted does not come back with a power cut."""
        store = ground.open(durability="fsync")
        chat = store.session("chat")
        chat.append("user", "a")
        kept = store.session("kept").append("user", "b")
        chat.delete()

        after = power_cut()

        assert after.get_all_keys() == ["kept"]
        with pytest.raises(SessionNotFoundError):
            after.append(chat.id, {"type": "user"})
        assert after.session("kept").messages() == [kept]

    def test_crash_keeps_branches_and_resets(self, ground: Ground, power_cut: PowerCut) -> None:
        """Branches, switches and resets that were answered are there after a power cut."""
        store = ground.open(durability="fsync")
        chat, other = store.session("chat"), store.session("other")
        for name in "abc":
            chat.append({"id": name, "type": "user"})
            other.append({"id": name, "type": "user"})
        chat.create_branch("one", "a")
        chat.create_branch("two", "b")
        chat.delete_branch("two")
        chat.switch_to_branch("one")
        other.reset()

        after = power_cut()

        assert after.get_head(chat.id) == "a"
        assert [branch.name for branch in after.get_branches(chat.id)] == ["one"]
        assert after.get_messages(other.id) == []

    def test_crash_keeps_keys_and_metadata(self, ground: Ground, power_cut: PowerCut) -> None:
        """Keys and fields that were set are there after a power cut."""
        store = ground.open(durability="fsync")
        chat = store.session("chat")
        store.add_key("second", chat.id)
        store.remove_key("chat")
        chat.update_metadata(user_id="u", metadata={"a": 1})

        after = power_cut()

        found = after.get_metadata(chat.id)
        assert after.get_all_keys() == ["second"]
        assert found is not None
        assert (found.user_id, found.metadata) == ("u", {"a": 1})

    def test_crash_leaves_a_store_that_goes_on(self, ground: Ground, power_cut: PowerCut) -> None:
        """After a power cut in the midst of things every call works, on whatever is left."""
        session = ground.open(durability="fsync").resolve("chat")
        chat = ground.open().session("chat")
        for number in range(20):
            chat.append("user", f"{number}")
            chat.append_many([{"type": "user", "content": f"{number}+"}] * 3)
        said = chat.messages()
        chat.store.acquire_lock(chat.id, "me")

        after = power_cut().session("chat")

        ground.tolerated |= DAMAGED
        assert after.id == session
        left = after.messages()
        assert [message.id for message in said if message.id in ids(left)] == ids(left)
        new = after.append("user", "next")
        assert after.messages() == [*left, new]
        after.store.force_release(session)
        with after.lock():
            after.create_branch("one")
        after.reset()
        assert after.messages() == []

    def test_crash_keeps_what_a_subscriber_saw(self, ground: Ground, power_cut: PowerCut) -> None:
        """What `subscribe(durable=True)` has shown is there after a power cut."""
        chat = ground.open().session("chat")
        said = [chat.append("user", f"{number}") for number in range(5)]
        seen = first(chat.subscribe(durable=True), 5)

        after = power_cut()

        ground.tolerated |= DAMAGED
        assert seen == said
        assert after.session("chat").messages()[:5] == seen
