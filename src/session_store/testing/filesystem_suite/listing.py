"""The names in a folder, page by page, and the making of folders."""

import pytest

from session_store.errors import UnavailableError

from .base import Suite
from .deleting import MANY
from .folder import Folder, shape_of


class ListTests(Suite):
    """`list` and `mkdir`: the names in a folder, page by page."""

    def test_list_of_no_folder_has_no_names(self, folder: Folder) -> None:
        """Nothing, a file, and a name below a file have no names; nothing is raised."""
        folder.append("a/file", b"1")

        for name in ("none", "none/none", "a/file", "a/file/none"):
            page = folder.page(name)
            assert (page.names, page.after) == ([], None)

    def test_list_gives_what_is_in_the_folder(self, folder: Folder) -> None:
        """`list` gives the files and folders (with a final `/`) of this folder only."""
        folder.fill(["file", ".hidden", "a/f", "a/b/f", "c/d/e/f", "file2"])

        assert sorted(folder.names()) == [".hidden", "a/", "c/", "file", "file2"]
        assert sorted(folder.names("a")) == ["b/", "f"]
        assert folder.names("c") == ["d/"]

    def test_list_of_the_root_is_asked_for_by_nothing(self, folder: Folder) -> None:
        """`list("")` gives the names in the root."""
        folder.append("file", b"1")
        root = Folder(folder.files, "", self._runner)

        assert f"{folder.name}/" in root.names()

    @pytest.mark.parametrize("limit", [1, 2, 3, 19, 20, 21, 1000, 100_000])
    def test_list_gives_each_name_once(self, folder: Folder, limit: int) -> None:
        """Pages have at most `limit` names, each name once, and the last no cursor."""
        folder.fill(f"file{number}" for number in range(10))
        folder.fill(f"file{number}-folder/f" for number in range(6))
        folder.fill(["a/f", "a-", "a.b", "a0"])

        found = folder.names(limit=limit)

        files = {f"file{number}" for number in range(10)}
        folders = {f"file{number}-folder/" for number in range(6)}
        assert sorted(found) == sorted({"a/", "a-", "a.b", "a0"} | files | folders)

    def test_list_keeps_its_order(self, folder: Folder) -> None:
        """The order is the same for every page size, and however often one asks."""
        folder.fill(["b", "a", "C", "d/f", "é", "10", "9", "-", "_", "~"])

        orders = [folder.names(limit=limit) for limit in (1, 2, 3, 4, 1000, 1000)]

        assert all(order == orders[0] for order in orders)

    def test_list_gives_more_than_a_page_of_names(self, folder: Folder) -> None:
        """More names than the limit that nobody gave are given on further pages."""
        folder.fill(f"a/{number:04d}" for number in range(MANY))

        page = folder.page("a")

        assert len(page.names) <= 1000
        assert page.after is not None
        assert sorted(folder.names("a")) == [f"{number:04d}" for number in range(MANY)]
        for limit in (MANY - 1, MANY, MANY + 1):
            assert len(set(folder.names("a", limit=limit))) == MANY

    def test_list_gives_what_stays_while_others_come_and_go(self, folder: Folder) -> None:
        """While names come and go between the pages, those that stay come exactly once."""
        folder.fill(f"stays{number}" for number in range(10))
        folder.fill(f"goes{number}" for number in range(10))

        found: list[str] = []
        after = ""
        for number in range(40):
            page = folder.page(after=after, limit=3)
            found += page.names
            # Also the name that the cursor may stand for.
            for name in (f"goes{number}", *page.names):
                if name.startswith("goes"):
                    folder.delete(name)
            folder.fill([f"a-new{number}", f"new{number}", f"z-new{number}"])
            if page.after is None:
                break
            after = page.after

        assert sorted(name for name in found if name.startswith("stays")) == [
            f"stays{number}" for number in range(10)
        ]

    def test_list_gives_every_name_that_was_made_before(self, folder: Folder) -> None:
        """A name is listed once the call that made it has returned, until it is deleted."""
        for number in range(10):
            folder.append(f"a{number}/log", b"1")
            assert f"a{number}/" in folder.names()
            folder.write("file", b"1", durable=False)
            assert "file" in folder.names()
            folder.delete("file")
            assert "file" not in folder.names()

    def test_mkdir_makes_folders_or_nothing(self, folder: Folder) -> None:
        """`mkdir` makes the folder and those above it; nothing where folders do not exist."""
        folder.mkdir("a/b")

        if shape_of(folder).empty_folders:
            assert folder.names("a") == ["b/"]
        assert folder.names("a/b") == []
        assert folder.exists("a") is False
        assert folder.append("a/b/file", b"1", if_size=0) == 1

    def test_mkdir_may_be_repeated(self, folder: Folder) -> None:
        """`mkdir` of a folder that is there, or of the root (`""`), changes nothing."""
        folder.append("a/b/file", b"1")
        root = Folder(folder.files, "", self._runner)

        for _ in range(2):
            folder.mkdir("a/b")
            folder.mkdir("a")
            root.mkdir("")

        assert folder.tree() == {"a/": None, "a/b/": None, "a/b/file": b"1"}

    def test_mkdir_does_not_replace_a_file(self, folder: Folder) -> None:
        """`mkdir` at or below a file: `UnavailableError` where folders exist; it stays."""
        folder.append("file", b"1")
        shape = shape_of(folder)

        for name in ("file", "file/below"):
            if shape.empty_folders:
                with pytest.raises(UnavailableError):
                    folder.mkdir(name)
            else:
                folder.mkdir(name)
            assert folder.read("file") == b"1"
