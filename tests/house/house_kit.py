"""Where things are in this checkout, for the tests of the code base itself."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
SRC = ROOT / "src" / "session_store"

_LEFT_BEHIND = {"build", "demo-sessions", "dist", "htmlcov"}


def sources() -> list[Path]:
    """Return the Python files of the package."""
    return sorted(SRC.rglob("*.py"))


@cache
def parsed(path: Path) -> ast.Module:
    """Return the syntax tree of the file at `path`."""
    return ast.parse(path.read_text("utf-8"), str(path))


def shown(path: Path) -> str:
    """Return `path` as a colleague would write it."""
    return path.relative_to(ROOT).as_posix()


@cache
def own_files() -> list[Path]:
    """Return the files of this checkout that are ours: tracked, or about to be."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        answer = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        # An unpacked archive, or no git on this machine.
        return sorted(_walked(ROOT))
    names = answer.stdout.decode("utf-8", "surrogateescape").split("\0")
    return sorted(ROOT / name for name in names if name and (ROOT / name).is_file())


def _walked(folder: Path) -> Iterator[Path]:
    for path in folder.iterdir():
        if path.is_dir():
            hidden = path.name.startswith(".") and path.name != ".ci"
            if not hidden and path.name not in _LEFT_BEHIND | {"__pycache__"}:
                yield from _walked(path)
        elif not path.name.startswith(".coverage"):
            yield path


def text_of(path: Path) -> str | None:
    """Return the text of the file at `path`, or None if it is no text."""
    try:
        return path.read_text("utf-8")
    except UnicodeDecodeError:
        return None


def run_python(code: str) -> subprocess.CompletedProcess[str]:
    """Run `code` in a fresh interpreter."""
    return subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
