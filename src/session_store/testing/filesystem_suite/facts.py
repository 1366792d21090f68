"""What an engine says of itself, and the protocols beside the seam."""

from functools import partial

import pytest

from session_store.errors import ClosedError
from session_store.event_loop import AsyncRuntime
from session_store.files.filesystem import Bindable, FileSystem, Watch

from . import works
from .base import Suite
from .folder import Folder
from .watching import answer_of


class FactTests(Suite):
    """`traits`, and what is optional: `Bindable` and `Watch`."""

    def test_traits_are_facts(self, folder: Folder) -> None:
        """`traits` has a scope of process, host or network, and never changes."""
        before = folder.files.traits

        folder.append("file", b"1")

        assert folder.files.traits == before
        assert before.scope in {"process", "host", "network"}
        assert isinstance(before.durable, bool)
        assert isinstance(before.blocking, bool)

    def test_traits_are_the_same_for_every_handle(self, folder: Folder, other: Folder) -> None:
        """Two handles on the same files have the same `traits`."""
        assert other.files.traits == folder.files.traits

    def test_bind_returns_the_same_files(self, folder: Folder) -> None:
        """`bind` returns the same files, in the same scope and as durable, and does not block."""
        bound = folder.on(_bound(folder.files))
        facts = folder.files.traits

        assert bound.append("a/log", b"1") == 1
        assert folder.append("a/log", b"2", if_size=1) == 2
        bound.sync("a/log")
        version = folder.write("a/file", b"1").version
        bound.write("a/file", b"2", if_version=version)

        assert bound.tree() == folder.tree() == {"a/": None, "a/file": b"2", "a/log": b"12"}
        assert bound.files.traits.blocking is False
        assert (bound.files.traits.scope, bound.files.traits.durable) == (
            facts.scope,
            facts.durable,
        )

    @pytest.mark.parametrize("which", ["the bound one", "the first one"])
    def test_bind_closing_either_closes_both(self, closable: Folder, which: str) -> None:
        """Closing what `bind` returned closes what it was called on, and the other way round."""
        bound = closable.on(_bound(closable.files))
        closable.append("file", b"1")
        first, second = (bound, closable) if which == "the bound one" else (closable, bound)

        first.close()

        with pytest.raises(ClosedError):
            second.read("file")
        second.close()

    def test_watch_tells_at_once_of_a_change_that_was(self, folder: Folder) -> None:
        """`changed` returns at once if the file has not the size that the caller knows."""
        _needs_watch(folder.files)
        folder.append("log", b"123")

        for size in (0, 2, 5):
            answer_of(folder, partial(works.changed, path=folder.path("log"), size=size))

    def test_watch_tells_of_a_change_that_comes(self, folder: Folder) -> None:
        """`changed` returns when the file is appended to, while it waits or just before."""
        _needs_watch(folder.files)
        folder.append("log", b"123")
        watch = partial(works.changed, path=folder.path("log"), size=3)

        answer_of(folder, watch, meanwhile=partial(works.add, path=folder.path("log"), data=b"4"))

        assert folder.read("log") == b"1234"

    def test_watch_waits_no_longer_than_it_was_told(self, folder: Folder) -> None:
        """`changed` returns after `timeout` seconds if nothing changes, also without a file."""
        _needs_watch(folder.files)
        folder.append("log", b"123")

        for name, size in (("log", 3), ("none", 0)):
            path = folder.path(name)
            answer_of(folder, partial(works.changed, path=path, size=size, seconds=0.01))


def _bound(files: FileSystem) -> FileSystem:
    if not isinstance(files, Bindable):
        pytest.skip("it is not Bindable")
    return files.bind(AsyncRuntime())


def _needs_watch(files: FileSystem) -> None:
    if not isinstance(files, Watch):
        pytest.skip("it has no Watch")
