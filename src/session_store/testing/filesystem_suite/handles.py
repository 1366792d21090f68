"""Two handles on the same files see each other."""

import pytest

from session_store.errors import ConflictError, NotFoundError

from .base import Suite
from .folder import Folder


class HandleTests(Suite):
    """Several handles on the same files."""

    def test_handles_see_each_others_changes(self, folder: Folder, other: Folder) -> None:
        """What one handle did the other sees from its next call on, by every verb."""
        folder.append("a/log", b"1")
        assert other.read("a/log") == b"1"
        assert other.append("a/log", b"2", if_size=1) == 2
        assert folder.stat("a/log") == other.stat("a/log")
        assert folder.append("a/log", b"3", if_size=2) == 3

        other.write("a/log", b"new")
        assert folder.read("a/log") == b"new"
        assert folder.append("a/log", b"+") == 4
        other.sync("a/log")

        other.delete("a/log")
        assert folder.exists("a/log") is False
        with pytest.raises(NotFoundError):
            folder.sync("a/log")
        assert folder.append("a/log", b"again", if_size=0) == 5

        other.delete_tree("a")
        assert folder.names() == []
        assert folder.append("a/log", b"!") == 1
        assert other.tree() == {"a/": None, "a/log": b"!"}

    def test_handles_share_versions(self, folder: Folder, other: Folder) -> None:
        """A version that one handle told is good for the other, and one it replaced is not."""
        first = folder.write("file", b"1")
        assert other.stat("file").version == first.version

        second = other.write("file", b"2", if_version=first.version)

        with pytest.raises(ConflictError) as caught:
            folder.write("file", b"3", if_version=first.version)
        assert caught.value.actual == second.version
        with pytest.raises(ConflictError):
            folder.delete("file", if_version=first.version)
        folder.delete("file", if_version=second.version)
        assert other.exists("file") is False

    def test_handles_appending_in_turn_meet_at_the_end(self, folder: Folder, other: Folder) -> None:
        """Two handles that append in turn write into one file, also after one replaced it."""
        size = 0
        for number in range(10):
            size = folder.append("log", b"a", if_size=size)
            size = other.append("log", b"b", if_size=size)
            if number == 5:
                other.write("log", b"-" * size)

        assert folder.read("log") == other.read("log") == b"-" * 12 + b"ab" * 4

    def test_handles_continue_each_others_pages(self, folder: Folder, other: Folder) -> None:
        """A cursor of `list` is good for another handle."""
        folder.fill(f"file{number}" for number in range(10))

        found: list[str] = []
        after = ""
        for handle in [folder, other] * 5:
            page = handle.page(after=after, limit=3)
            found += page.names
            if page.after is None:
                break
            after = page.after

        assert sorted(found) == sorted(f"file{number}" for number in range(10))
