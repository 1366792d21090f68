"""The end of a session, of an index, and sessions that were lost."""

from typing import Any

import pytest

from session_store.errors import ClosedError, InvalidIdError, NotFoundError
from session_store.files.filesystem import ABSENT

from .base import LOG, Index, Suite, about, new_id


class EndTests(Suite):
    """Deleting, closing, rebuilding."""

    def test_delete_ends_a_session_for_everyone(self, index: Index, other: Index) -> None:
        """After a delete nobody finds the session, by its id, its keys or in a list."""
        made, stays = index.make("a", user_id="u"), index.make("c")
        index.add_key("b", made)

        assert index.delete(made) is True
        assert other.delete(made) is False

        assert (other.has(made), other.is_deleted(made)) == (False, True)
        assert (other.resolve_key("a"), other.resolve_key("b")) == (None, None)
        assert other.metadata(made) is None
        assert other.keys_of(made) == []
        assert (other.all_ids(), other.all_keys()) == ([stays], ["c"])
        for sort in ("created", "updated"):
            listed = other.page(sort=sort, where={"user_id": "u"}).sessions
            assert listed == []
            assert len(other.page(sort=sort).sessions) == 1

    def test_delete_of_nothing_says_so(self, index: Index) -> None:
        """Deleting what is not there returns False, and leaves no trace."""
        ghost = new_id()

        assert index.delete(ghost) is False
        assert index.is_deleted(ghost) is False

    def test_delete_frees_the_keys_and_not_the_id(self, index: Index, other: Index) -> None:
        """A key can name another session afterwards; the id of the old one is refused."""
        made = index.make("k")
        index.delete(made)

        with pytest.raises(InvalidIdError):
            other.register(made, "k", about(made))
        again = other.make("k")

        assert again != made
        assert index.resolve_key("k") == again

    def test_delete_guards_the_folder_if_that_is_promised(self, index: Index, other: Index) -> None:
        """With `guards_files` the folder is gone at once, and refuses every write from then on."""
        made = index.make("k")
        path = f"{made}/{LOG}"
        if not index.index.guards_files:
            pytest.skip("guards_files is false")
        size = index.file("append", path, b"one\n", if_size=0)
        other.file("write", f"{made}/deep/er", b"x")

        index.delete(made)

        assert other.file("exists", path) is False
        calls: list[tuple[str, bytes, dict[str, Any]]] = [
            ("append", b"two\n", {"if_size": size}),
            ("append", b"two\n", {"if_size": 0}),
            ("append", b"two\n", {}),
            ("write", b"two\n", {}),
            ("write", b"two\n", {"if_version": ABSENT}),
        ]
        for verb, data, condition in calls:
            for name in (path, f"{made}/deep/er", f"{made}/new"):
                for one in (index, other):
                    with pytest.raises(NotFoundError):
                        one.file(verb, name, data, **condition)
        assert index.file("list", made).names == []

    def test_close_ends_every_call(self, index: Index, other: Index) -> None:
        """After `close` every call raises `ClosedError`; closing again does nothing."""
        other.load()
        other.close()
        other.close()

        for name, values in (
            ("load", ()),
            ("resolve_key", ("k",)),
            ("has", ("s",)),
            ("all_ids", ()),
            ("register", (new_id(), "k", about("s"))),
            ("delete", ("s",)),
            ("page", ()),
        ):
            with pytest.raises(ClosedError):
                getattr(other, name)(*values)

    def test_rebuild_takes_in_folders_that_were_lost(self, index: Index, other: Index) -> None:
        """A folder with messages that no session is known of becomes one, under its key."""
        known = index.make("known")
        index.file("append", f"{known}/{LOG}", b"known\n")
        for name, key in (("lost-1", b"k"), ("lost-2", b"known")):
            index.file("append", f"{name}/{LOG}", key + b"\n")
        index.file("append", "empty/other", b"x")

        index.rebuild()

        assert other.resolve_key("k") == "lost-1"
        assert other.resolve_key("known") == known, "a key on record stays"
        assert (other.has("lost-2"), other.has("empty")) == (True, False)
        found = {one.session_id for one in index.findings() if one.code == "session_found"}
        assert found == {"lost-1", "lost-2"}

    def test_rebuild_brings_nothing_back(self, index: Index) -> None:
        """What was deleted stays so."""
        made = index.make("k")
        index.file("append", f"{made}/{LOG}", b"k\n")
        index.delete(made)

        index.rebuild()

        assert index.has(made) is False
        assert index.resolve_key("k") is None
