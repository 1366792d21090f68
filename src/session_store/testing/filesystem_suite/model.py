"""Whatever is done in whatever order: an engine answers as the reference does.

Hypothesis makes up the calls, and shrinks them to the few that show a difference.
"""

from collections.abc import Callable, Coroutine
from itertools import count
from typing import Any, Final

from hypothesis import HealthCheck, Phase, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule, run_state_machine_as_test

from session_store.errors import ConflictError, SessionStoreError, UnavailableError
from session_store.files.filesystem import ABSENT, ANY, FileSystem, IfVersion
from session_store.files.memory import InMemoryFileSystem
from session_store.runtime import run

from .base import Suite
from .folder import Folder, Shape, check_bytes, shape_of

EXAMPLES: Final = 60
STEPS: Final = 25
# Without the one that explains: it costs more than it tells.
PHASES: Final = (Phase.reuse, Phase.generate, Phase.shrink)

# Few and alike, so that one name is soon that of a file and of a folder.
PATHS: Final = st.sampled_from(("a", "a-", "é", "a/b", "a/b-", "a/b/c", "a-/b"))
DATA: Final = st.sampled_from([b"", b"1", b"22", b"333\n", b"4" * 5000])
WHICH: Final = st.sampled_from(["any", "absent", "right", "old", "made up"])


class ModelTests(Suite):
    """Any calls in any order."""

    def test_model_and_engine_answer_alike(self, folder: Folder, reopen: Any) -> None:
        """After any calls through one handle or two an engine answers as the reference does."""
        handles = [folder.files] if reopen is None else [folder.files, reopen()]
        shape = shape_of(folder)
        numbers = count()
        runner = self._runner

        class ThisEngineAgrees(Agreement):
            def __init__(self) -> None:
                name = f"{folder.name}/model{next(numbers)}"
                super().__init__([Folder(files, name, runner) for files in handles], shape)

        run_state_machine_as_test(
            ThisEngineAgrees,
            settings=settings(
                max_examples=EXAMPLES,
                stateful_step_count=STEPS,
                deadline=None,
                phases=PHASES,
                suppress_health_check=[HealthCheck.too_slow],
            ),
        )
        for files in handles[1:]:
            folder.on(files).close()


class Agreement(RuleBasedStateMachine):
    """The handles of one engine take turns; the reference sees the same calls."""

    def __init__(self, handles: list[Folder], shape: Shape) -> None:
        super().__init__()
        self._handles = handles
        self._shape = shape
        self._model = InMemoryFileSystem()
        self._turn = 0
        # What the versions of a path were, here and there, and what they stood for.
        self._seen: dict[str, list[tuple[bytes, str, str]]] = {}
        self._touched = ""

    def teardown(self) -> None:
        """Remove what this example made."""
        self._handles[0].delete_tree("")

    @rule(path=PATHS, data=DATA, which=WHICH)
    def write(self, path: str, data: bytes, which: str) -> None:
        """`write`, under any precondition."""
        here, there = self._versions(path, which)
        self._same(
            path,
            lambda files, name: files.write(name, data, if_version=here, durable=False),
            self._model.write(path, data, if_version=there),
        )
        self._remember(path)

    @rule(path=PATHS, data=DATA, offset=st.sampled_from([None, 0, 0, 0, 1, -1]))
    def append(self, path: str, data: bytes, offset: int | None) -> None:
        """`append`, at the right size, at a wrong one, or wherever the end is."""
        size = run(self._model.stat(path)).size if run(self._model.exists(path)) else 0
        if_size = None if offset is None else max(0, size + offset)
        self._same(
            path,
            lambda files, name: files.append(name, data, if_size=if_size),
            self._model.append(path, data, if_size=if_size),
        )
        self._remember(path)

    @rule(path=PATHS, which=WHICH)
    def delete(self, path: str, which: str) -> None:
        """`delete`, under any precondition."""
        here, there = self._versions(path, which)
        self._same(
            path,
            lambda files, name: files.delete(name, if_version=here),
            self._model.delete(path, if_version=there),
        )

    @rule(path=PATHS)
    def delete_tree(self, path: str) -> None:
        """`delete_tree`."""
        self._same(path, lambda files, name: files.delete_tree(name), self._model.delete_tree(path))

    @rule(path=PATHS)
    def mkdir(self, path: str) -> None:
        """`mkdir`, where folders exist."""
        if self._shape.empty_folders:
            self._same(path, lambda files, name: files.mkdir(name), self._model.mkdir(path))

    @rule(path=PATHS)
    def sync(self, path: str) -> None:
        """`sync`."""
        self._same(path, lambda files, name: files.sync(name), self._model.sync(path))

    @rule(path=PATHS, start=st.integers(0, 6), end=st.none() | st.integers(0, 6))
    def read(self, path: str, start: int, end: int | None) -> None:
        """`read`, of any range."""
        self._same(
            path,
            lambda files, name: files.read(name, start, end),
            self._model.read(path, start, end),
        )

    @rule(path=PATHS | st.just(""), limit=st.integers(1, 3))
    def list(self, path: str, limit: int) -> None:
        """`list`, page by page."""
        expected = run(self._model.list(path)).names
        assert sorted(self._handle().names(path, limit=limit)) == sorted(expected)

    @rule()
    def compare_everything(self) -> None:
        """Compare all that is there, through every handle."""
        expected = _tree(self._model)
        for folder in self._handles:
            found = folder.tree()
            assert found.keys() == expected.keys()
            for path, data in expected.items():
                _check_same(found[path], data)

    @invariant()
    def what_was_touched_is_the_same(self) -> None:
        """Compare the file, and the names beside it."""
        if self._touched:
            folder = self._handle()
            above = self._touched.rpartition("/")[0]
            assert sorted(folder.names(above)) == sorted(run(self._model.list(above)).names)
            exists = run(self._model.exists(self._touched))
            assert folder.exists(self._touched) == exists
            if exists:
                check_bytes(folder.read(self._touched), run(self._model.read(self._touched)))

    def _handle(self) -> Folder:
        self._turn += 1
        return self._handles[self._turn % len(self._handles)]

    def _same(
        self,
        path: str,
        call: Callable[[FileSystem, str], Coroutine[Any, Any, Any]],
        model: Coroutine[Any, Any, Any],
    ) -> None:
        """Both answer the same, or raise the same error."""
        expected = _outcome(run, model)
        if expected is UnavailableError and not self._shape.exclusive:
            # A file and a folder of one name: here they may live side by side.
            return
        folder = self._handle()
        _check_same(_outcome(folder.do, call(folder.files, folder.path(path))), expected)
        self._touched = path
        if not self._shape.empty_folders:
            _prune(self._model)

    def _versions(self, path: str, which: str) -> tuple[IfVersion, IfVersion]:
        """Return what to ask of the engine, and the same of the reference."""
        if which == "any":
            return ANY, ANY
        if which == "absent":
            return ABSENT, ABSENT
        exists = run(self._model.exists(path))
        content = run(self._model.read(path)) if exists else None
        version = run(self._model.stat(path)).version if exists else None
        for before, here, there in reversed(self._seen.get(path, [])):
            if which == "right" and there == version:
                return here, there
            # An old version may be good again where the old content is: not so here.
            if which == "old" and before != content:
                return here, there
        return "made up", "made up"

    def _remember(self, path: str) -> None:
        if run(self._model.exists(path)):
            content = run(self._model.read(path))
            version = run(self._model.stat(path)).version
            self._seen.setdefault(path, []).append(
                (content, self._handle().stat(path).version, version)
            )


def _outcome(drive: Callable[[Any], Any], call: Coroutine[Any, Any, Any]) -> Any:
    """Return what can be compared: versions, times and cursors are each engine's own."""
    try:
        answer = drive(call)
    except ConflictError as error:
        actual = error.actual if isinstance(error.actual, int) else error.actual is None
        return type(error), actual
    except SessionStoreError as error:
        return type(error)
    return getattr(answer, "size", answer)


def _check_same(found: Any, expected: Any) -> None:
    if isinstance(found, bytes) and isinstance(expected, bytes):
        check_bytes(found, expected)
    else:
        assert found == expected


def _tree(model: InMemoryFileSystem, name: str = "") -> dict[str, bytes | None]:
    found: dict[str, bytes | None] = {}
    for entry in run(model.list(name)).names:
        path = f"{name}/{entry}" if name else entry
        if entry.endswith("/"):
            found[path] = None
            found |= _tree(model, path[:-1])
        else:
            found[path] = run(model.read(path))
    return found


def _prune(model: InMemoryFileSystem) -> None:
    """Take the folders away in which there are no files, as where folders do not exist."""
    tree = _tree(model)
    for path in [path for path in tree if path.endswith("/")]:
        if not any(name.startswith(path) and data is not None for name, data in tree.items()):
            run(model.delete_tree(path[:-1]))
