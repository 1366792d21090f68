"""The terminal: whether there is one, how wide it is, its colours and progress bars."""

import os
import shutil
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Final, TextIO

from session_store.errors import MissingExtraError

from .tree import Piece

try:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeRemainingColumn
except ImportError as error:
    raise MissingExtraError("cli") from error

BAR_AFTER_S: Final = 0.3
"""What is done sooner needs no bar."""

_STYLES: Final = {
    "dim": "2",
    "bold": "1",
    "red": "31",
    "green": "32",
    "yellow": "33",
    "magenta": "35",
    "cyan": "36",
    "branch": "1;34",
    "head": "1;32",
}


class Screen:
    """Standard output and standard error as they are now.

    All text that is handed in must be safe already.
    """

    def __init__(self, *, color: bool = True, bars: bool = True) -> None:
        self._out = sys.stdout
        self._err = sys.stderr
        plain = not color or bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") == "dumb"
        self._colored = not plain and _is_terminal(self._out)
        self._err_colored = not plain and _is_terminal(self._err)
        self._bars = bars and _is_terminal(self._err)

    @property
    def terminal(self) -> bool:
        """Return whether somebody looks at the output."""
        return _is_terminal(self._out)

    @property
    def width(self) -> int:
        """Return how many cells a line has; 80 where nobody can tell."""
        return max(20, shutil.get_terminal_size((80, 24)).columns)

    def paint(self, text: str, style: str) -> str:
        """Return `text` in a colour, if there are colours."""
        return _paint(text, style) if self._colored else text

    def line(self, text: str = "") -> None:
        """Print a line."""
        self._out.write(f"{text}\n")

    def pieces(self, pieces: Iterable[Piece]) -> None:
        """Print a line made of pieces."""
        self.line("".join(self.paint(*piece) for piece in pieces).rstrip())

    def flush(self) -> None:
        """Let whoever reads see what was printed."""
        self._out.flush()

    def note(self, text: str, style: str = "plain") -> None:
        """Print a line for the person, beside the output."""
        self._err.write(f"{_paint(text, style) if self._err_colored else text}\n")
        self._err.flush()

    @contextmanager
    def progress(self, what: str, total: int) -> Iterator["Bar"]:
        """Show how far a long work is, on a terminal and only if it is long."""
        bar = Bar(what, total, self._err if self._bars else None, colored=self._err_colored)
        try:
            yield bar
        finally:
            bar.stop()


class Bar:
    """Says how much of `total` is done; it appears by itself, and goes when it is stopped."""

    def __init__(self, what: str, total: int, file: TextIO | None, *, colored: bool) -> None:
        self._what = what
        self._total = total
        self._done = 0
        self._file = file
        self._colored = colored
        self._since = time.monotonic()
        self._shown: tuple[Progress, TaskID] | None = None

    def advance(self, amount: int) -> None:
        """So much more is done."""
        self._done = min(self._total, self._done + amount)
        if self._file is None:
            return
        if self._shown is None:
            if time.monotonic() - self._since < BAR_AFTER_S:
                return
            self._shown = self._show(self._file)
        progress, task = self._shown
        progress.update(task, completed=self._done)

    def _show(self, file: TextIO) -> tuple[Progress, TaskID]:
        progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f} %"),
            TimeRemainingColumn(),
            console=Console(file=file, no_color=not self._colored),
            transient=True,
        )
        progress.start()
        return progress, progress.add_task(self._what, total=self._total)

    def stop(self) -> None:
        """Take the bar away."""
        if self._shown is not None:
            self._shown[0].stop()


def _is_terminal(file: TextIO) -> bool:
    return file.isatty()


def _paint(text: str, style: str) -> str:
    code = _STYLES.get(style)
    return f"\x1b[{code}m{text}\x1b[0m" if code and text else text
