"""Imports go downwards: the floors of the house, kept by reading every import statement."""

import ast
import sys
from collections.abc import Iterator
from pathlib import PurePosixPath

import pytest
from house_kit import SRC, parsed, run_python, sources

# From the ground up. Rooms on one floor do not know each other. `faces` is the front door:
# the package itself and its blocking twin.
FLOORS: list[set[str]] = [
    {"errors"},
    {"model", "runtime"},
    {"event_loop", "files", "formats"},
    {"jsonl", "locks"},
    {"index"},
    {"engines", "store"},
    {"faces"},
    {"analytics", "compaction", "copying", "events", "replication", "search"},
    {"server"},
    {"cli", "importers", "integrations"},
]
FLOOR_OF = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
ROOMS = set(FLOOR_OF) | {"sync", "testing"}
FACES = {"__init__", "sync"}

BASE_ROOMS = {"errors", "event_loop", "faces", "files", "formats", "index", "jsonl", "locks"} | {
    "model",
    "runtime",
    "store",
}
BASE_PACKAGES = {"msgspec", "uuid_utils"}


def room_of(path: PurePosixPath) -> str:
    """Return the room of a file, its path taken from the package."""
    name = path.parts[0].removesuffix(".py")
    return "faces" if len(path.parts) == 1 and name in FACES else name


def violations(path: PurePosixPath, tree: ast.Module) -> Iterator[str]:
    """Yield what is wrong with the imports of a file, its path taken from the package."""
    room = room_of(path)
    if room not in FLOOR_OF and room != "testing":
        yield f"room {room!r} has no floor yet: give it one in this test and in the docs"
        return
    top = set(_top_level(tree))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    for node in imports:
        if isinstance(node, ast.ImportFrom) and node.level:
            reasons = _relative(path, node)
        else:
            reasons = _absolute(path, node, at_top=node in top)
        yield from (f"line {node.lineno}: {reason}" for reason in reasons)


def _relative(path: PurePosixPath, node: ast.ImportFrom) -> Iterator[str]:
    if node.level > 1:
        yield "`..` is never written"
    elif len(path.parts) == 1:
        yield "outside of a room there is no own room: write the full name"


def _absolute(
    path: PurePosixPath, node: ast.Import | ast.ImportFrom, *, at_top: bool
) -> Iterator[str]:
    room = room_of(path)
    for name in _names(node):
        package = name.partition(".")[0]
        if package == "session_store":
            yield from _crossing(path, name)
        elif package not in sys.stdlib_module_names | BASE_PACKAGES:
            if room in BASE_ROOMS:
                yield f"{package} is no dependency of {room}"
            elif not at_top:
                yield f"{package} belongs at the top of the file"


def _crossing(path: PurePosixPath, name: str) -> Iterator[str]:
    room = room_of(path)
    other = (name.split(".") + ["sync"])[1]
    other = "faces" if other == "sync" else other
    if other == room:
        # `testing` is beside the house, and what it has folders for are rooms of their own.
        beside = room == "testing" and not name.startswith(
            ".".join(["session_store", *path.parts[:-1]])
        )
        if room != "faces" and not (beside and len(path.parts) > 2):
            yield f"{name} is our own room: write it with a dot"
    elif other == "testing":
        yield "nobody imports testing"
    elif room != "testing" and FLOOR_OF.get(other, len(FLOORS)) >= FLOOR_OF[room]:
        yield f"{room} does not know {other}"


def _names(node: ast.Import | ast.ImportFrom) -> Iterator[str]:
    names = [alias.name for alias in node.names]
    if isinstance(node, ast.Import):
        yield from names
    elif node.module == "session_store":
        # A room, or a name that the front door offers.
        yield from (f"session_store.{name}" for name in names if name in ROOMS)
        yield from ("session_store" for name in names if name not in ROOMS)
    elif node.module:
        yield node.module


def _top_level(tree: ast.Module) -> Iterator[ast.stmt]:
    """Yield the statements at the top, also those guarded by a `try` or an `if`."""
    for node in tree.body:
        yield node
        if isinstance(node, ast.Try | ast.If):
            yield from node.body


def test_imports_go_downwards_only() -> None:
    found = [
        f"{path.relative_to(SRC)}, {violation}"
        for path in sources()
        for violation in violations(PurePosixPath(path.relative_to(SRC)), parsed(path))
    ]

    assert not found, "\n" + "\n".join(found)


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("model/tree.py", "from session_store.files.filesystem import FileSystem"),
        ("model/tree.py", "from session_store.runtime import Runtime"),
        ("jsonl/file.py", "def late():\n    from session_store.locks import lease"),
        ("locks/lease.py", "import session_store.jsonl.lines"),
        ("store/engine.py", "from session_store.cli import main"),
        ("store/engine.py", "from session_store.engines.sqlite import SQLite"),
        ("store/engine.py", "from session_store import SessionStore"),
        ("store/engine.py", "from session_store.sync import SessionStore"),
        ("store/engine.py", "from session_store.store.writer import Writer"),
        ("store/engine.py", "from session_store import store"),
        ("store/engine.py", "from ..errors import ConflictError"),
        ("store/engine.py", "import orjson"),
        ("store/engine.py", "from session_store.attic.things import thing"),
        ("cli/app.py", "from session_store.testing import conformance"),
        ("testing/simulation/world.py", "from session_store.testing.simulation import disk"),
        ("testing/faults.py", "from session_store.testing.history import check"),
        ("cli/app.py", "def late():\n    import typer"),
        ("sync.py", "from .store.engine import Engine"),
        ("__init__.py", "from session_store.cli import main"),
        ("__init__.py", "from .sync import SessionStore"),
        ("attic/things.py", "import os"),
    ],
)
def test_an_import_that_breaks_a_rule_is_found(path: str, code: str) -> None:
    assert list(violations(PurePosixPath(path), ast.parse(code)))


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("model/tree.py", "import msgspec\nfrom session_store.errors import ConfigError"),
        ("store/engine.py", "from .writer import Writer\nfrom session_store.locks import lease"),
        ("engines/sqlite.py", "try:\n    import apsw\nexcept ImportError:\n    raise"),
        ("cli/app.py", "import typer\nfrom session_store import SessionStore, model"),
        ("__init__.py", "from session_store.store.aio import SessionStore"),
        ("testing/simulation/world.py", "from session_store.testing.history import check"),
        ("testing/conformance.py", "import pytest\nfrom session_store.files import filesystem"),
    ],
)
def test_an_import_that_keeps_the_rules_is_left_alone(path: str, code: str) -> None:
    assert not list(violations(PurePosixPath(path), ast.parse(code)))


def test_importing_the_package_loads_nothing_optional() -> None:
    # What the two packages themselves load is theirs.
    code = (
        "import sys, msgspec, uuid_utils; before = set(sys.modules)\n"
        "import session_store, session_store.sync, session_store.formats\n"
        "print(*{name.partition('.')[0] for name in set(sys.modules) - before})"
    )

    done = run_python(code)

    assert done.returncode == 0, done.stderr
    loaded = set(done.stdout.split()) - sys.stdlib_module_names
    assert "session_store" in loaded
    assert loaded <= {"session_store"} | BASE_PACKAGES


def test_importing_the_package_opens_no_room_above_the_faces() -> None:
    code = (
        "import sys, session_store, session_store.sync\n"
        "print(*{name.split('.')[1] for name in sys.modules if name.startswith('session_store.')})"
    )

    done = run_python(code)

    assert done.returncode == 0, done.stderr
    above = set().union(*FLOORS[FLOOR_OF["faces"] + 1 :]) | {"testing"}
    assert not above & set(done.stdout.split())


def test_the_blocking_face_does_not_wait_for_asyncio() -> None:
    code = (
        "import sys, session_store.sync; from session_store import ConflictError, Message\n"
        "print('asyncio' in sys.modules)"
    )

    done = run_python(code)

    assert done.returncode == 0, done.stderr
    assert done.stdout.strip() == "False"


def test_a_name_is_found_where_it_is_and_a_wrong_one_is_not() -> None:
    code = (
        "import session_store\n"
        "print(set(session_store.__all__) <= set(dir(session_store)))\n"
        "print(session_store.ConflictError.__module__)\n"
        "print('session_store.store.aio' in __import__('sys').modules)\n"
        "print(hasattr(session_store, 'import_module'), hasattr(session_store, 'Sesion'))"
    )

    done = run_python(code)

    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["True", "session_store.errors", "False", "False", "False"]
