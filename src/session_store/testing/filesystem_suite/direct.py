"""The plain calls of `Direct`, which is optional: each does all of it, or nothing."""

from contextlib import suppress

import pytest

from session_store.errors import NotFoundError
from session_store.files.filesystem import Direct, is_direct

from .base import Suite
from .folder import Folder


class DirectTests(Suite):
    """`Direct`, which is optional: plain calls that do all of it, or nothing."""

    def test_direct_append_adds_at_its_size_or_does_nothing(self, folder: Folder) -> None:
        """`append_now` adds the bytes at that size and says so, or adds none and says no."""
        direct = _direct(folder)
        expected = b""
        for data in (b"one\n", b"two\n", b"three\n"):
            folder.append("a/log", b"-")
            expected += b"-"

            done = direct.append_now(folder.path("a/log"), data, len(expected))

            expected += data if done else b""
            assert isinstance(done, bool)
            assert folder.read("a/log") == expected

    def test_direct_append_does_nothing_at_another_size(self, folder: Folder) -> None:
        """`append_now` at any other size than the file has adds nothing and says no."""
        direct = _direct(folder)
        folder.append("a/log", b"1234")

        for size in (0, 3, 5, 8):
            assert not direct.append_now(folder.path("a/log"), b"x", size)

        assert folder.read("a/log") == b"1234"

    def test_direct_append_does_nothing_where_the_file_is_gone(self, folder: Folder) -> None:
        """`append_now` to a file that was deleted does nothing, whatever size it had."""
        direct = _direct(folder)
        folder.append("a/log", b"1234")
        folder.delete("a/log")
        folder.append("b/log", b"1234")
        folder.delete_tree("b")

        for name in ("a/log", "b/log"):
            assert not direct.append_now(folder.path(name), b"x", 4)
            assert not folder.exists(name)

    def test_direct_append_finds_out_what_others_did(self, folder: Folder, other: Folder) -> None:
        """`append_now` to a file that others added to, or deleted, does nothing."""
        direct = _direct(folder)
        path = folder.path("log")
        folder.append("log", b"1234")
        other.append("log", b"5")

        assert not direct.append_now(path, b"x", 4)
        assert folder.read("log") == b"12345"

        other.delete("log")

        assert not direct.append_now(path, b"x", 5)
        assert not folder.exists("log")

    def test_direct_append_goes_into_the_file_that_is_there(
        self, folder: Folder, other: Folder
    ) -> None:
        """`append_now` where a file of that size took the place of another adds to the new one."""
        direct = _direct(folder)
        folder.append("log", b"1234")
        other.write("log", b"5678")

        done = direct.append_now(folder.path("log"), b"9", 4)

        assert folder.read("log") == other.read("log") == (b"56789" if done else b"5678")

    def test_direct_size_and_bytes_are_those_of_the_file(self, folder: Folder) -> None:
        """`size_now` is the size or None, and `read_now` gives the bytes up to it."""
        direct = _direct(folder)
        path = folder.path("log")
        folder.append("log", b"0")
        for whole in (b"01234", b"012341234"):
            folder.append("log", b"1234")
            size = direct.size_now(path)

            assert size in {None, len(whole)}
            if size is not None:
                assert direct.read_now(path, 0, size) == whole
                assert direct.read_now(path, 1, 3) == whole[1:3]
                assert direct.read_now(path, size - 1, size + 5) == whole[-1:]

    def test_direct_look_says_yes_to_no_other_size(self, folder: Folder) -> None:
        """`is_now` says yes only to the size that the file has at that moment."""
        direct = _direct(folder)
        path = folder.path("log")
        folder.append("log", b"1234")
        assert not any(direct.is_now(path, size) for size in (0, 3, 5))
        assert not direct.is_now(folder.path("none"), 0)

        folder.append("log", b"5")

        assert not direct.is_now(path, 4)

        folder.delete("log")

        assert not direct.is_now(path, 5)

    def test_direct_sync_does_what_sync_does_or_nothing(self, folder: Folder) -> None:
        """`sync_now` says whether it did it; for no file it does nothing or raises as `sync`."""
        direct = _direct(folder)
        folder.append("log", b"1")

        assert isinstance(direct.sync_now(folder.path("log")), bool)
        with suppress(NotFoundError):
            assert not direct.sync_now(folder.path("none"))

        folder.sync("log")
        assert folder.append("log", b"2", if_size=1) == 2


def _direct(folder: Folder) -> Direct:
    if not is_direct(folder.files):
        pytest.skip("it is not Direct")
    return folder.files
