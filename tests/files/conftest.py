"""What the tests of this room share: a root on disk, and children that fail loudly."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

import session_store
from session_store.files import RealFileSystem
from session_store.runtime import run

SOURCE = Path(session_store.__file__).parent.parent


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "root"


@pytest.fixture
def files(root: Path) -> Iterator[RealFileSystem]:
    files = RealFileSystem(root)
    yield files
    run(files.close())


@pytest.fixture
def open_below() -> Callable[[Path], list[str]]:
    """What this process has open below a folder, once for each descriptor."""

    def look(folder: Path) -> list[str]:
        found = []
        for fd in os.listdir("/proc/self/fd"):
            with suppress(OSError):
                name = os.readlink(f"/proc/self/fd/{fd}")
                if name.startswith(f"{folder}"):
                    found.append(name)
        return found

    return look


@pytest.fixture
def spawn() -> Iterator[Callable[..., "subprocess.Popen[str]"]]:
    """Start a Python process with a script and arguments; stopped when the test ends."""
    children: list[subprocess.Popen[str]] = []

    def start(script: str, *arguments: object) -> "subprocess.Popen[str]":
        child = subprocess.Popen(
            [sys.executable, "-c", script, *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(SOURCE)},
        )
        children.append(child)
        return child

    yield start
    for child in children:
        child.kill()
        child.communicate()
