"""The end of a file system object, and of nothing else."""

from collections.abc import Callable

import pytest

from session_store.errors import ClosedError

from .base import Suite
from .folder import Folder


class CloseTests(Suite):
    """`close`: the end of one object, and of nothing else."""

    def test_close_ends_every_verb(self, folder: Folder, closable: Folder) -> None:
        """After `close`, which may be repeated, each verb raises `ClosedError`."""
        closable.append("file", b"1")
        closable.sync("file")
        calls: list[Callable[[], object]] = [
            lambda: closable.stat("file"),
            lambda: closable.exists("file"),
            lambda: closable.read("file"),
            lambda: closable.write("file", b"2"),
            lambda: closable.append("file", b"2"),
            lambda: closable.append("new", b"2"),
            lambda: closable.delete("file"),
            lambda: closable.delete_tree(""),
            lambda: closable.page(""),
            lambda: closable.mkdir("new"),
            lambda: closable.sync("file"),
        ]

        closable.close()
        closable.close()

        for call in calls:
            with pytest.raises(ClosedError):
                call()
        if folder.files is not closable.files:
            assert folder.tree() == {"file": b"1"}

    def test_close_leaves_the_files_and_other_handles(self, folder: Folder, other: Folder) -> None:
        """`close` of one handle takes nothing from the files, nor from another handle."""
        version = other.write("a/file", b"1").version
        other.append("a/log", b"12")
        folder.append("a/log", b"3")

        other.close()

        assert folder.append("a/log", b"4", if_size=3) == 4
        folder.sync("a/log")
        folder.write("a/file", b"2", if_version=version)
        assert folder.tree() == {"a/": None, "a/file": b"2", "a/log": b"1234"}
