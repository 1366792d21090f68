"""Whatever is done in whatever order: the real files do what the reference does."""

import shutil
import tempfile
from collections.abc import Coroutine
from typing import Any

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from session_store.errors import ConflictError, SessionStoreError
from session_store.files import ABSENT, ANY, FileSystem, InMemoryFileSystem, RealFileSystem
from session_store.files.filesystem import IfVersion
from session_store.runtime import run

COMPONENTS = ("a", "b", "a.b", "é")
PATHS = st.lists(st.sampled_from(COMPONENTS), min_size=1, max_size=3).map("/".join)
DATA = st.sampled_from([b"", b"1", b"22", b"333\n", b"4" * 5000])


class FilesAgree(RuleBasedStateMachine):
    """Two real objects take turns on one folder; the reference sees the same calls."""

    def __init__(self) -> None:
        super().__init__()
        self.folder = tempfile.mkdtemp()
        self.real: list[FileSystem] = [RealFileSystem(f"{self.folder}/root") for _ in range(2)]
        self.model: FileSystem = InMemoryFileSystem()
        self.turn = 0

    def teardown(self) -> None:
        for files in self.real:
            run(files.close())
        shutil.rmtree(self.folder)

    def files(self) -> FileSystem:
        self.turn += 1
        return self.real[self.turn % 2]

    def same(self, real: Coroutine[Any, Any, Any], model: Coroutine[Any, Any, Any]) -> Any:
        """Both answer the same, or raise the same error."""
        found, expected = outcome(real), outcome(model)
        assert found == expected
        return found

    def version(self, files: FileSystem, path: str, which: str) -> IfVersion:
        if which == "any":
            return ANY
        if which == "absent":
            return ABSENT
        if which == "wrong":
            return "wrong"
        return run(files.stat(path)).version if run(files.exists(path)) else "none"

    @rule(path=PATHS, data=DATA, which=st.sampled_from(["any", "absent", "right", "wrong"]))
    def write(self, path: str, data: bytes, which: str) -> None:
        files = self.files()
        self.same(
            sized(files, path, data, self.version(files, path, which)),
            sized(self.model, path, data, self.version(self.model, path, which)),
        )

    @rule(path=PATHS, data=DATA, offset=st.sampled_from([None, 0, 0, 0, 1, -1]))
    def append(self, path: str, data: bytes, offset: int | None) -> None:
        size = run(self.model.stat(path)).size if run(self.model.exists(path)) else 0
        if_size = None if offset is None else max(0, size + offset)
        self.same(
            self.files().append(path, data, if_size=if_size),
            self.model.append(path, data, if_size=if_size),
        )

    @rule(path=PATHS, which=st.sampled_from(["any", "absent", "right", "wrong"]))
    def delete(self, path: str, which: str) -> None:
        files = self.files()
        self.same(
            files.delete(path, if_version=self.version(files, path, which)),
            self.model.delete(path, if_version=self.version(self.model, path, which)),
        )

    @rule(path=PATHS)
    def delete_tree(self, path: str) -> None:
        self.same(self.files().delete_tree(path), self.model.delete_tree(path))

    @rule(path=PATHS)
    def mkdir(self, path: str) -> None:
        self.same(self.files().mkdir(path), self.model.mkdir(path))

    @rule(path=PATHS)
    def sync(self, path: str) -> None:
        self.same(self.files().sync(path), self.model.sync(path))

    @rule(path=PATHS, start=st.integers(0, 6), end=st.none() | st.integers(0, 6))
    def read(self, path: str, start: int, end: int | None) -> None:
        self.same(self.files().read(path, start, end), self.model.read(path, start, end))

    @rule(path=PATHS | st.just(""), limit=st.integers(1, 3))
    def list(self, path: str, limit: int) -> None:
        files = self.files()
        assert sorted(everything(files, path, limit)) == sorted(everything(self.model, path, limit))

    @invariant()
    def the_trees_are_equal(self) -> None:
        for files in self.real:
            assert tree(files) == tree(self.model)


async def sized(files: FileSystem, path: str, data: bytes, if_version: IfVersion) -> int:
    return (await files.write(path, data, if_version=if_version, durable=False)).size


def outcome(call: Coroutine[Any, Any, Any]) -> Any:
    try:
        return run(call)
    except ConflictError as error:
        # Versions are each engine's own; sizes are not.
        actual = error.actual if isinstance(error.actual, int) else error.actual is None
        return type(error), actual
    except SessionStoreError as error:
        return type(error)


def everything(files: FileSystem, path: str, limit: int) -> "list[str]":
    names: list[str] = []
    after: str | None = ""
    while after is not None:
        page = run(files.list(path, after=after, limit=limit))
        names += page.names
        after = page.after
    return names


def tree(files: FileSystem, folder: str = "") -> dict[str, bytes | None]:
    found: dict[str, bytes | None] = {}
    for name in run(files.list(folder)).names:
        path = f"{folder}/{name}" if folder else name
        if name.endswith("/"):
            found[path] = None
            found |= tree(files, path[:-1])
        else:
            found[path] = run(files.read(path))
            assert run(files.stat(path)).size == len(found[path] or b"")
    return found


TestFilesAgree = FilesAgree.TestCase
TestFilesAgree.settings = settings(
    max_examples=60,
    stateful_step_count=30,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
)
