"""What is left after a power cut."""

from collections.abc import Callable
from functools import partial

from session_store.errors import FileSystemError, NotFoundError

from . import works
from .base import Suite
from .folder import Folder
from .racing import CALLERS, in_tasks, in_threads

PowerCut = Callable[[], Folder]


class CrashTests(Suite):
    """Power cuts."""

    def test_sync_survives_a_power_cut(self, folder: Folder, power_cut: PowerCut) -> None:
        """What was appended before `sync` returned is there after a power cut, in any folder."""
        for name in ("log", "a/log", "a/b/c/log"):
            folder.append(name, b"one\n")
            folder.append(name, b"two\n")
            folder.sync(name)

        after = power_cut()

        for name in ("log", "a/log", "a/b/c/log"):
            assert after.read(name) == b"one\ntwo\n"

    def test_sync_of_each_growth_survives_a_power_cut(
        self, folder: Folder, power_cut: PowerCut
    ) -> None:
        """Every `sync` holds what came since the one before it; what came after may be gone."""
        for number in range(10):
            folder.append("a/log", b"%d" % number)
            folder.sync("a/log")
        folder.append("a/log", b"maybe")

        after = power_cut()

        assert after.read("a/log", 0, 10) == b"0123456789"
        assert after.stat("a/log").size <= 15
        assert after.append("a/log", b"on", if_size=after.stat("a/log").size) <= 17

    def test_sync_of_a_written_file_survives_a_power_cut(
        self, folder: Folder, power_cut: PowerCut
    ) -> None:
        """`sync` also holds what was written with `durable=False`, or made again."""
        folder.write("a/file", b"written", durable=False)
        folder.sync("a/file")
        folder.append("b/log", b"old and longer")
        folder.sync("b/log")
        folder.delete_tree("b")
        folder.append("b/log", b"new")
        folder.sync("b/log")

        after = power_cut()

        assert after.read("a/file") == b"written"
        assert after.read("b/log") == b"new"

    def test_sync_of_many_at_once_survives_a_power_cut(
        self, folder: Folder, power_cut: PowerCut
    ) -> None:
        """Callers that share one `sync` find the bytes of each of them after a power cut."""
        path = folder.path("a/log")
        callers = [
            partial(works.append_synced, path=path, mark=mark, count=5) for mark in range(CALLERS)
        ]
        handles = [folder.files] * CALLERS
        if folder.files.traits.blocking:
            done = in_threads(handles, callers)
        else:
            done = folder.do(in_tasks(handles, callers))

        after = power_cut()

        works.check_appended(after.read("a/log"), done, count=5)

    def test_write_survives_a_power_cut(self, folder: Folder, power_cut: PowerCut) -> None:
        """What `write` returned is there after a power cut, with its name and its folders."""
        first = folder.write("a/b/file", b"1" * 5000)
        folder.write("a/b/file", b"2" * 3000, if_version=first.version)
        folder.write("file", b"3")
        folder.write("file", b"")

        after = power_cut()

        assert after.read("a/b/file") == b"2" * 3000
        assert after.read("file") == b""

    def test_write_that_need_not_last_leaves_old_or_new(
        self, folder: Folder, power_cut: PowerCut
    ) -> None:
        """After `durable=False` a power cut leaves the old file, the new, or a damaged one."""
        folder.write("file", b"old" * 2000)
        folder.write("file", b"new" * 3000, durable=False)
        folder.write("a/made", b"made" * 1000, durable=False)

        after = power_cut()

        _check_left(after, "file", old=b"old" * 2000, new=b"new" * 3000)
        _check_left(after, "a/made", old=None, new=b"made" * 1000)
        after.write("file", b"newest")
        assert after.read("file") == b"newest"

    def test_crash_leaves_a_file_system_that_goes_on(
        self, folder: Folder, power_cut: PowerCut
    ) -> None:
        """After a power cut every verb works as before, on whatever is left."""
        folder.append("a/log", b"1")
        folder.sync("a/log")
        folder.append("a/log", b"2")
        folder.append("b/log", b"3")

        after = power_cut()

        size = after.stat("a/log").size
        assert after.append("a/log", b"+", if_size=size) == size + 1
        after.sync("a/log")
        after.write("b/file", b"4", if_version=after.write("b/file", b"3").version)
        after.delete("a/log")
        after.delete_tree("b")
        assert after.exists("b/file") is False


def _check_left(folder: Folder, name: str, *, old: bytes | None, new: bytes) -> None:
    """Fail unless the file is the old one, the new one, or the new one damaged."""
    try:
        content = folder.read(name)
    except NotFoundError:
        assert old is None, "the old file is gone, and the new one is not there"
        return
    except FileSystemError:
        return
    if content != old:
        # Cut off, or NULs where the rest should be: that can be told from a file.
        assert len(content) <= len(new)
        pairs = zip(content, new, strict=False)
        assert all(byte in {0, expected} for byte, expected in pairs), "neither old nor new"
