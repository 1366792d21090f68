"""Keys, and the sessions that they name."""

import pytest

from session_store.errors import InvalidIdError, SessionNotFoundError

from .base import Index, Suite, about, new_id

HOSTILE = [
    "a",
    " ",
    "a b",
    "a/b/../c",
    "{a}",
    "}{",
    "%s%00",
    "'; DROP TABLE session; --",
    '"\\',
    "\0",
    "a\0b",
    "\n\t",
    "ключ",
    "鍵" * 300,
    "🗝️",
    "x" * 1_024,
    "*?[a-z]",
]


class KeyTests(Suite):
    """Registering, resolving, moving."""

    def test_key_names_the_session_that_was_registered(self, index: Index, other: Index) -> None:
        """A key resolves to its session, here and elsewhere, as soon as `register` answers."""
        made = index.make("k")

        assert index.resolve_key("k") == made
        assert other.resolve_key("k") == made

    def test_key_without_a_session_names_nothing(self, index: Index) -> None:
        """A key that nobody has registered resolves to None, and nothing is made."""
        assert index.resolve_key("nobody") is None
        assert index.all_keys() == []
        assert index.all_ids() == []

    def test_key_is_registered_once(self, index: Index, other: Index) -> None:
        """Registering a key again gives the session it names, and makes no other."""
        made = index.make("k")

        again = other.make("k")

        assert again == made
        assert index.all_ids() == [made]

    def test_key_may_be_missing(self, index: Index) -> None:
        """A session can be registered without a key."""
        made = index.make()

        assert index.has(made)
        assert index.keys_of(made) == []

    @pytest.mark.parametrize("key", HOSTILE, ids=range(len(HOSTILE)))
    def test_key_may_be_any_text(self, index: Index, other: Index, key: str) -> None:
        """A key is compared by its characters, whatever they mean elsewhere."""
        made = index.make(key)

        assert other.resolve_key(key) == made
        assert other.keys_of(made) == [key]
        assert other.all_keys() == [key]
        assert other.resolve_key(f"{key}!") is None

    def test_key_can_be_added_moved_and_removed(self, index: Index, other: Index) -> None:
        """A key names one session at a time; what names none is told apart."""
        one, two = index.make("a"), index.make("b")

        index.add_key("c", one)
        assert other.keys_of(one) == ["a", "c"]
        other.add_key("c", two)
        assert (index.keys_of(one), index.keys_of(two)) == (["a"], ["b", "c"])
        assert index.remove_key("c") is True
        assert other.remove_key("c") is False
        assert other.resolve_key("c") is None
        assert sorted(other.all_keys()) == ["a", "b"]

    def test_key_cannot_be_added_to_nothing(self, index: Index) -> None:
        """Adding a key to a session that is not there raises `SessionNotFoundError`."""
        with pytest.raises(SessionNotFoundError):
            index.add_key("k", new_id())

        assert index.resolve_key("k") is None

    def test_key_of_a_session_that_is_there_can_be_registered_with_another(
        self, index: Index
    ) -> None:
        """Registering a session again with a new key adds the key and changes nothing else."""
        made = index.make("a", user_id="u")

        again = index.register(made, "b", about(made, 5_000))

        assert again == made
        assert index.keys_of(made) == ["a", "b"]
        assert index.metadata(made).user_id == "u"

    @pytest.mark.parametrize("name", ["", ".", "..", "a/b", "a\0", "\ud800", "x" * 300])
    def test_key_is_given_no_session_of_an_unsafe_id(self, index: Index, name: str) -> None:
        """An id that can be no folder is refused with `InvalidIdError`, and known nowhere."""
        with pytest.raises(InvalidIdError):
            index.register(name, "k", about("s"))

        assert index.resolve_key("k") is None
        assert index.has(name) is False
        assert index.metadata(name) is None
