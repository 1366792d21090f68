"""What `sync` says yes to."""

from functools import partial

import pytest

from session_store.errors import NotFoundError

from . import works
from .base import Suite
from .folder import Folder
from .racing import Race


class SyncTests(Suite):
    """`sync`: what it says yes to."""

    def test_sync_of_a_file_may_be_repeated(self, folder: Folder) -> None:
        """`sync` of a file returns, whether there is something new, nothing new, or no byte."""
        folder.append("a/log", b"1")
        folder.sync("a/log")
        folder.sync("a/log")
        folder.append("a/log", b"2")
        folder.sync("a/log")
        folder.write("a/file", b"3", durable=False)
        folder.sync("a/file")
        folder.append("empty", b"")
        folder.sync("empty")

        assert folder.read("a/log") == b"12"
        assert folder.append("a/log", b"3", if_size=2) == 3

    def test_sync_of_no_file_is_not_found(self, folder: Folder) -> None:
        """Nothing, a folder, and what was deleted cannot be made to last: `NotFoundError`."""
        folder.append("a/file", b"1")
        folder.append("gone", b"1")
        folder.sync("gone")
        folder.delete("gone")

        for name in ("none", "none/none", "a", "a/none", "a/file/none", "gone"):
            with pytest.raises(NotFoundError) as caught:
                folder.sync(name)
            assert caught.value.path == folder.path(name)

    def test_sync_follows_a_file_that_was_replaced(self, folder: Folder) -> None:
        """`sync` is about the file that is there now, also if it took the place of another."""
        folder.append("a/file", b"old")
        folder.sync("a/file")
        folder.write("a/file", b"new", durable=False)
        folder.sync("a/file")
        folder.delete_tree("a")
        folder.append("a/file", b"newest")
        folder.sync("a/file")

        assert folder.read("a/file") == b"newest"

    def test_sync_of_many_at_once_returns_for_all(self, folder: Folder, race: Race) -> None:
        """Callers that append and sync one file at once all return, and none waits for ever."""
        path = folder.path("a/log")

        done = race.each(lambda n: partial(works.append_synced, path=path, mark=n, count=10))

        assert len(done) == race.callers
        works.check_appended(folder.read("a/log"), done, count=10)
