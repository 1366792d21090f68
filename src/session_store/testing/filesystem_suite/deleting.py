"""Files and folders that go, and what has to stay."""

from typing import Final

import pytest

from session_store.errors import ConflictError, NotFoundError

from .base import Suite
from .folder import Folder

# One more than a page of `list`, or a request to some servers, takes.
MANY: Final = 1001


class DeleteTests(Suite):
    """`delete` and `delete_tree`: what goes, and what has to stay."""

    def test_delete_removes_the_file(self, folder: Folder) -> None:
        """After `delete` the file is neither found nor listed, and may be made again."""
        folder.append("a/file", b"1")

        folder.delete("a/file")

        assert folder.exists("a/file") is False
        assert folder.names("a") == []
        with pytest.raises(NotFoundError):
            folder.read("a/file")
        assert folder.append("a/file", b"22", if_size=0) == 2

    def test_delete_of_nothing_is_silent(self, folder: Folder) -> None:
        """What is not there is deleted already, also with a version, also its folder."""
        version = folder.write("file", b"1").version
        folder.delete("file")

        folder.delete("file")
        folder.delete("file", if_version=version)
        folder.delete("none/none")
        folder.delete("none", if_version="made up")

        assert folder.names() == []

    def test_delete_removes_only_the_version_asked_for(self, folder: Folder) -> None:
        """With a version only that one goes: `ConflictError`, `actual` the one found."""
        first = folder.write("file", b"1")
        second = folder.write("file", b"2")

        with pytest.raises(ConflictError) as caught:
            folder.delete("file", if_version=first.version)
        assert (caught.value.expected, caught.value.actual) == (first.version, second.version)
        assert folder.read("file") == b"2"

        folder.append("file", b"3")
        with pytest.raises(ConflictError):
            folder.delete("file", if_version=second.version)
        assert folder.read("file") == b"23"

        folder.delete("file", if_version=folder.stat("file").version)
        assert folder.exists("file") is False

    def test_delete_touches_nothing_else(self, folder: Folder) -> None:
        """`delete` leaves names that begin alike, and does nothing to a folder."""
        folder.fill(["file", "file2", "file.txt", "folder/file"])

        folder.delete("file")
        folder.delete("folder")

        assert folder.tree() == {
            "file2": b"1",
            "file.txt": b"1",
            "folder/": None,
            "folder/file": b"1",
        }

    def test_delete_tree_removes_all_that_is_in_it(self, folder: Folder) -> None:
        """After `delete_tree` the folder is gone with all files and folders, however deep."""
        folder.fill(["a/f", "a/.hidden", "a/b/f", "a/b/c/f", "a/" + "d/" * 20 + "f"])
        folder.mkdir("a/empty")

        folder.delete_tree("a")

        assert folder.names() == []
        assert folder.names("a/b") == []
        for name in ("a/f", "a/.hidden", "a/b/f", "a/b/c/f"):
            assert folder.exists(name) is False

    def test_delete_tree_removes_many_files(self, folder: Folder) -> None:
        """`delete_tree` removes more than a thousand files too."""
        folder.fill(f"a/{number}" for number in range(MANY))

        folder.delete_tree("a")

        assert folder.names() == []
        assert folder.names("a") == []

    def test_delete_tree_leaves_the_neighbours(self, folder: Folder) -> None:
        """`delete_tree` leaves names that begin alike, the folder above, and files."""
        folder.fill(["x/a/f", "x/ab", "x/a.b/f", "x/a-/f", "x/a0", "x/A/f", "x/b/a/f"])

        folder.delete_tree("x/a")
        folder.delete_tree("x/ab")

        assert sorted(folder.names("x")) == ["A/", "a-/", "a.b/", "a0", "ab", "b/"]
        for name in ("x/ab", "x/a.b/f", "x/a-/f", "x/a0", "x/A/f", "x/b/a/f"):
            assert folder.read(name) == b"1"

    def test_delete_tree_of_nothing_is_silent(self, folder: Folder) -> None:
        """A folder that is not there is removed already, also below a folder that is not."""
        folder.delete_tree("none")
        folder.delete_tree("none/none")

        assert folder.names() == []

    def test_delete_tree_leaves_room_for_new_files(self, folder: Folder) -> None:
        """Where a folder was removed new files are made, and none of the old come back."""
        for number in range(3):
            folder.fill([f"a/old{number}", f"a/b/old{number}"])
            folder.delete_tree("a")
            folder.append("a/b/new", b"%d" % number)

            assert folder.tree() == {"a/": None, "a/b/": None, "a/b/new": b"%d" % number}
