"""A folder of the test's own, so that all tests can share one root or one server."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, Final, NamedTuple, TypeVar

from session_store.errors import UnavailableError
from session_store.files.filesystem import ANY, FileStats, FileSystem, IfVersion, Page
from session_store.runtime import run

T = TypeVar("T")

MOST_PAGES: Final = 10_000
SHOWN_BYTES: Final = 20


class Folder:
    """A file system seen from one folder, each verb an ordinary call.

    What says of itself that it blocks is driven in one step, and fails if it suspends; what
    does not is driven by the event loop of the test's class.
    """

    def __init__(self, files: FileSystem, name: str, runner: asyncio.Runner) -> None:
        self.files = files
        self.name = name
        self._runner = runner

    def on(self, files: FileSystem) -> "Folder":
        """Return the same folder, seen through another file system."""
        return Folder(files, self.name, self._runner)

    def path(self, name: str = "") -> str:
        """Return the path of `name` from the root of the file system."""
        return "/".join(part for part in (self.name, name) if part)

    def do(self, call: Coroutine[Any, Any, T]) -> T:
        """Return what `call` returns."""
        return run(call) if self.files.traits.blocking else self._runner.run(call)

    def stat(self, name: str) -> FileStats:
        """See `FileSystem.stat`."""
        return self.do(self.files.stat(self.path(name)))

    def exists(self, name: str) -> bool:
        """See `FileSystem.exists`."""
        return self.do(self.files.exists(self.path(name)))

    def read(self, name: str, start: int = 0, end: int | None = None) -> bytes:
        """See `FileSystem.read`."""
        return self.do(self.files.read(self.path(name), start, end))

    def write(
        self, name: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        """See `FileSystem.write`."""
        call = self.files.write(self.path(name), data, if_version=if_version, durable=durable)
        return self.do(call)

    def append(self, name: str, data: bytes, *, if_size: int | None = None) -> int:
        """See `FileSystem.append`."""
        return self.do(self.files.append(self.path(name), data, if_size=if_size))

    def delete(self, name: str, *, if_version: IfVersion = ANY) -> None:
        """See `FileSystem.delete`."""
        self.do(self.files.delete(self.path(name), if_version=if_version))

    def delete_tree(self, name: str) -> None:
        """See `FileSystem.delete_tree`."""
        self.do(self.files.delete_tree(self.path(name)))

    def page(self, name: str = "", *, after: str = "", limit: int = 1000) -> Page:
        """See `FileSystem.list`."""
        return self.do(self.files.list(self.path(name), after=after, limit=limit))

    def mkdir(self, name: str) -> None:
        """See `FileSystem.mkdir`."""
        self.do(self.files.mkdir(self.path(name)))

    def sync(self, name: str) -> None:
        """See `FileSystem.sync`."""
        self.do(self.files.sync(self.path(name)))

    def close(self) -> None:
        """See `FileSystem.close`."""
        self.do(self.files.close())

    def names(self, name: str = "", *, limit: int = 1000) -> list[str]:
        """Return the names of all pages, as they come."""
        found: list[str] = []
        after = ""
        for _ in range(MOST_PAGES):
            page = self.page(name, after=after, limit=limit)
            assert len(page.names) <= limit, f"a page of more than {limit} names"
            found += page.names
            if page.after is None:
                return found
            after = page.after
        raise AssertionError(f"the pages of {name!r} never end")

    def tree(self, name: str = "") -> dict[str, bytes | None]:
        """Return the content of every file here and below, and None for every folder."""
        found: dict[str, bytes | None] = {}
        for entry in self.names(name):
            path = f"{name}/{entry}" if name else entry
            if entry.endswith("/"):
                found[path] = None
                found |= self.tree(path[:-1])
            else:
                found[path] = self.read(path)
        return found

    def fill(self, names: Iterable[str]) -> None:
        """Make small files, which nobody needs to find after a power cut."""
        for name in names:
            self.write(name, b"1", durable=False)


def check_bytes(found: bytes, expected: bytes) -> None:
    """Fail unless both are the same, and say where they differ instead of showing all of them.

    For what may be long: of megabytes in an `assert` pytest works out the whole difference
    where it is told that it runs in CI, and that takes it minutes.
    """
    __tracebackhide__ = True  # what pytest shows is the test
    if found == expected:
        return
    pairs = enumerate(zip(found, expected, strict=False))
    alike = min(len(found), len(expected))
    place = next((place for place, (one, other) in pairs if one != other), alike)
    there = slice(place, place + SHOWN_BYTES)
    raise AssertionError(
        f"{len(found):,} bytes instead of {len(expected):,}, "
        f"from byte {place:,} on {found[there]!r} instead of {expected[there]!r}"
    )


class Shape(NamedTuple):
    """What an engine may decide by itself: both ways keep the contract."""

    # Whether a folder can be seen in which there is nothing.
    empty_folders: bool
    # Whether one name cannot be a file and a folder at the same time.
    exclusive: bool


def shape_of(folder: Folder) -> Shape:
    """Return how an engine treats folders; leaves files behind in `folder`."""
    folder.mkdir("shape/empty")
    empty_folders = folder.names("shape") == ["empty/"]
    folder.write("shape/file", b"1")
    try:
        folder.write("shape/file/below", b"2")
    except UnavailableError:
        return Shape(empty_folders, exclusive=True)
    return Shape(empty_folders, exclusive=False)
