"""Whole files, put in place at once, under a precondition."""

import pytest

from session_store.errors import ConflictError, UnavailableError
from session_store.files.filesystem import ABSENT

from .base import Suite
from .folder import Folder, check_bytes
from .reading import large


class WriteTests(Suite):
    """`write`: whole files, put in place at once, under a precondition."""

    def test_write_replaces_the_whole(self, folder: Folder) -> None:
        """`write` leaves exactly `data`, whether there was more, less or nothing before."""
        for data in (b"a long text", b"short", b"", b"a much longer text than before"):
            folder.write("file", data)

            assert folder.read("file") == data

    def test_write_returns_the_stats(self, folder: Folder) -> None:
        """`write` returns the size and the version that `stat` tells afterwards."""
        for data in (b"123", b"1", b""):
            written = folder.write("file", data)

            found = folder.stat("file")
            assert (written.size, written.version) == (len(data), found.version)
            assert found.size == len(data)

    def test_write_makes_missing_folders(self, folder: Folder) -> None:
        """`write` makes the folders above the file, and they are listed."""
        folder.write("a/b/c", b"1")

        assert folder.names() == ["a/"]
        assert folder.names("a") == ["b/"]
        assert folder.names("a/b") == ["c"]

    def test_write_takes_large_data(self, folder: Folder) -> None:
        """`write` takes more than 8 MiB, and replaces it by little."""
        data = large()

        assert folder.write("file", data).size == len(data)
        check_bytes(folder.read("file"), data)

        assert folder.write("file", b"1").size == 1
        assert folder.read("file") == b"1"

    def test_write_that_need_not_last_is_seen_at_once(self, folder: Folder) -> None:
        """`write` with `durable=False` differs only in what a power cut may take."""
        stats = folder.write("a/file", b"1", durable=False)

        assert folder.read("a/file") == b"1"
        assert folder.names("a") == ["file"]
        assert folder.write("a/file", b"2", if_version=stats.version, durable=False).size == 1
        assert folder.read("a/file") == b"2"

    def test_write_leaves_nothing_else(self, folder: Folder) -> None:
        """`write`, successful or refused, leaves no other name behind."""
        version = folder.write("a/file", b"1").version
        folder.write("a/file", b"2", if_version=version)
        for precondition in (ABSENT, version):
            with pytest.raises(ConflictError):
                folder.write("a/file", b"3", if_version=precondition)

        assert folder.tree() == {"a/": None, "a/file": b"2"}

    def test_write_absent_only_creates(self, folder: Folder) -> None:
        """With `ABSENT` a file that is there stays: `ConflictError`, `actual` its version."""
        created = folder.write("file", b"first", if_version=ABSENT)
        appended = folder.append("log", b"first")

        with pytest.raises(ConflictError) as caught:
            folder.write("file", b"second", if_version=ABSENT)
        with pytest.raises(ConflictError):
            folder.write("log", b"second", if_version=ABSENT)

        assert caught.value.expected is ABSENT
        assert caught.value.actual == created.version
        assert caught.value.path == folder.path("file")
        assert folder.read("file") == b"first"
        assert folder.stat("log").size == appended

    def test_write_absent_creates_what_was_deleted(self, folder: Folder) -> None:
        """With `ABSENT` a file that was deleted, or its folder, is made again."""
        for number, remove in enumerate((folder.delete, folder.delete_tree)):
            folder.write("a/file", b"old")
            remove("a/file" if remove == folder.delete else "a")

            folder.write("a/file", b"%d" % number, if_version=ABSENT)

            assert folder.read("a/file") == b"%d" % number

    def test_write_replaces_only_the_version_asked_for(self, folder: Folder) -> None:
        """With a version only that one is replaced: `ConflictError`, `actual` the newer one."""
        first = folder.write("file", b"1")
        second = folder.write("file", b"2", if_version=first.version)

        with pytest.raises(ConflictError) as caught:
            folder.write("file", b"3", if_version=first.version)

        assert (caught.value.expected, caught.value.actual) == (first.version, second.version)
        assert caught.value.path == folder.path("file")
        assert folder.read("file") == b"2"
        assert folder.stat("file").version == second.version

    def test_write_by_the_version_before_an_append_conflicts(self, folder: Folder) -> None:
        """An append makes a new version: no write replaces bytes its author has not seen."""
        before = folder.write("file", b"1")
        folder.append("file", b"2")

        with pytest.raises(ConflictError) as caught:
            folder.write("file", b"3", if_version=before.version)

        assert caught.value.actual == folder.stat("file").version
        assert folder.read("file") == b"12"
        folder.write("file", b"4", if_version=folder.stat("file").version)
        assert folder.read("file") == b"4"

    def test_write_by_a_version_of_no_file_conflicts(self, folder: Folder) -> None:
        """With a version of no file: `ConflictError`, `actual` None, and nothing is made."""
        gone = folder.write("file", b"1").version
        folder.delete("file")

        for name, version in (("file", gone), ("a/file", gone), ("a/file", "made up")):
            with pytest.raises(ConflictError) as caught:
                folder.write(name, b"2", if_version=version)
            assert (caught.value.expected, caught.value.actual) == (version, None)

        assert folder.names() == []

    def test_write_never_silently_takes_the_place_of_a_folder(self, folder: Folder) -> None:
        """A folder's name, or one below a file: `UnavailableError`, or both are there."""
        folder.write("a/file", b"1")

        for name in ("a", "a/file/below"):
            for change in (folder.write, folder.append):
                try:
                    change(name, b"2")
                except UnavailableError:
                    continue
                assert folder.read(name) == b"2"
                folder.delete(name)
            assert folder.read("a/file") == b"1"

        assert folder.tree() == {"a/": None, "a/file": b"1"}
