"""What is known of a file without reading it."""

import pytest

from session_store.errors import ConflictError, NotFoundError

from .base import Suite
from .folder import Folder


class StatTests(Suite):
    """`stat` and `exists`: what is known of a file without reading it."""

    def test_stat_tells_size_and_time(self, folder: Folder) -> None:
        """`stat` tells the size in bytes, and the time of the last change in ms since 1970."""
        folder.append("a/file", b"12345")

        stats = folder.stat("a/file")

        assert stats.size == 5
        assert isinstance(stats.mtime_ms, int)
        assert 10**12 < stats.mtime_ms < 10**13

    def test_stat_follows_every_change(self, folder: Folder) -> None:
        """`stat` tells the size after the last change, whoever looked before."""
        sizes = []

        for data in (b"1", b"22", b""):
            folder.write("file", data)
            sizes.append(folder.stat("file").size)
            folder.append("file", b"+++")
            sizes.append(folder.stat("file").size)

        assert sizes == [1, 4, 2, 5, 0, 3]

    def test_stat_of_no_file_is_not_found(self, folder: Folder) -> None:
        """Nothing, a folder, a name below a file: `NotFoundError`, and its `path`."""
        folder.append("a/file", b"1")

        for name in ("none", "none/none", "a", "a/none", "a/file/none"):
            with pytest.raises(NotFoundError) as caught:
                folder.stat(name)
            assert caught.value.path == folder.path(name)

    def test_stat_version_changes_with_the_content(self, folder: Folder) -> None:
        """`version` is another after each change of the content, also to the same size."""
        versions = []

        for number in range(20):
            versions.append(folder.write("file", b"%04d" % number, durable=False).version)
            folder.append("file", b"+")
            versions.append(folder.stat("file").version)

        assert all(isinstance(version, str) for version in versions)
        assert len(set(versions)) == len(versions)

    def test_stat_version_of_a_file_made_again_is_another(self, folder: Folder) -> None:
        """`version` is another for a file that was deleted and made with other content."""
        versions = []

        for number in range(10):
            versions.append(folder.write("a/file", b"%04d" % number, durable=False).version)
            if number % 2:
                folder.delete("a/file")
            else:
                folder.delete_tree("a")

        assert len(set(versions)) == len(versions)

    def test_stat_stays_while_nothing_changes(self, folder: Folder) -> None:
        """Reading, syncing, listing and refused calls change nothing of what `stat` tells."""
        folder.append("file", b"123")
        before = folder.stat("file")

        folder.read("file")
        folder.sync("file")
        folder.names()
        with pytest.raises(ConflictError):
            folder.append("file", b"4", if_size=1)
        with pytest.raises(ConflictError):
            folder.write("file", b"4", if_version="made up")

        assert folder.stat("file") == before

    def test_exists_tells_files_from_all_else(self, folder: Folder) -> None:
        """`exists` is true for a file, and false for nothing, a folder, and below a file."""
        folder.append("a/file", b"")
        folder.mkdir("folder")

        assert folder.exists("a/file") is True
        for name in ("none", "none/none", "a", "folder", "a/none", "a/file/none"):
            assert folder.exists(name) is False

    def test_exists_follows_every_change(self, folder: Folder) -> None:
        """`exists` is true from the first byte until the file or its folder is deleted."""
        seen = []

        for number in range(4):
            seen.append(folder.exists("a/file"))
            if number % 2:
                folder.write("a/file", b"1")
            else:
                folder.append("a/file", b"1")
            seen.append(folder.exists("a/file"))
            if number // 2:
                folder.delete("a/file")
            else:
                folder.delete_tree("a")

        assert seen == [False, True] * 4
