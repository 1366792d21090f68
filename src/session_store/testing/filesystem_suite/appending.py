"""Bytes at the end of a file, and the size as its precondition."""

import pytest

from session_store.errors import ConflictError

from .base import Suite
from .folder import Folder, check_bytes
from .reading import large


class AppendTests(Suite):
    """`append`: bytes at the end of a file, and its size as the precondition."""

    def test_append_returns_the_new_size(self, folder: Folder) -> None:
        """`append` adds at the end and returns the new size, which is the next `if_size`."""
        sizes = [folder.append("a/file", b"123")]
        sizes.append(folder.append("a/file", b"45", if_size=sizes[-1]))
        sizes.append(folder.append("a/file", b"", if_size=sizes[-1]))
        sizes.append(folder.append("a/file", b"6", if_size=sizes[-1]))

        assert sizes == [3, 5, 5, 6]
        assert folder.read("a/file") == b"123456"
        assert folder.stat("a/file").size == 6

    def test_append_takes_absent_for_empty(self, folder: Folder) -> None:
        """An absent file counts as empty, with `if_size=0` too; its folders are made."""
        assert folder.append("a/b/one", b"1", if_size=0) == 1
        assert folder.append("c/two", b"22") == 2

        assert folder.read("a/b/one") == b"1"
        assert folder.read("c/two") == b"22"
        assert sorted(folder.names()) == ["a/", "c/"]

    def test_append_of_nothing_makes_an_empty_file(self, folder: Folder) -> None:
        """`append` of `b""` returns the size there was, and makes a file that was absent."""
        assert folder.append("file", b"") == 0
        assert folder.append("file", b"", if_size=0) == 0

        assert folder.stat("file").size == 0
        assert folder.names() == ["file"]

    def test_append_at_another_size_conflicts(self, folder: Folder) -> None:
        """At another size than `if_size`: `ConflictError`, `actual` the size, no change."""
        folder.append("file", b"123")

        for wrong in (0, 1, 2, 4, 10**12):
            with pytest.raises(ConflictError) as caught:
                folder.append("file", b"4", if_size=wrong)
            assert (caught.value.expected, caught.value.actual) == (wrong, 3)
            assert caught.value.path == folder.path("file")

        assert folder.read("file") == b"123"
        assert folder.append("file", b"4", if_size=3) == 4

    def test_append_at_a_size_of_no_file_makes_nothing(self, folder: Folder) -> None:
        """With an `if_size` of no file: `ConflictError`, `actual` 0, and nothing is made."""
        with pytest.raises(ConflictError) as caught:
            folder.append("a/file", b"1", if_size=7)

        assert caught.value.actual == 0
        assert folder.names() == []

    def test_append_keeps_every_piece_in_order(self, folder: Folder) -> None:
        """Many appends stand one after the other, each whole."""
        pieces = [b"%d:" % number + b"x" * (number % 7) + b"\n" for number in range(200)]

        sizes = [folder.append("log", piece) for piece in pieces]

        assert sizes == [len(b"".join(pieces[: number + 1])) for number in range(200)]
        assert folder.read("log") == b"".join(pieces)

    def test_append_takes_large_data(self, folder: Folder) -> None:
        """`append` takes more than 8 MiB at once, after little and before little."""
        data = large()
        folder.append("log", b"<")

        assert folder.append("log", data, if_size=1) == len(data) + 1
        assert folder.append("log", b">", if_size=len(data) + 1) == len(data) + 2

        check_bytes(folder.read("log"), b"<" + data + b">")

    def test_append_goes_to_the_file_that_is_there(self, folder: Folder) -> None:
        """`append` goes to the file there is now, after `write`, `delete`, `delete_tree`."""
        folder.append("a/file", b"old")
        folder.write("a/file", b"new.")
        assert folder.append("a/file", b"+", if_size=4) == 5
        assert folder.read("a/file") == b"new.+"

        folder.delete("a/file")
        assert folder.append("a/file", b"again", if_size=0) == 5

        folder.delete_tree("a")
        with pytest.raises(ConflictError):
            folder.append("a/file", b"+", if_size=5)
        assert folder.append("a/file", b"last", if_size=0) == 4
        assert folder.read("a/file") == b"last"
