"""What may reach a terminal, and how: everything a dialogue holds is a stranger's text.

Pure. A message may hold escape sequences that rewrite the screen, and marks that turn the
reading direction; here they become visible text before anything is printed.
"""

import math
import re
from datetime import UTC, datetime
from typing import Any, Final

import msgspec

from session_store.errors import MissingExtraError

try:
    from rich.cells import cell_len, set_cell_size
except ImportError as error:
    raise MissingExtraError("cli") from error

# C0 (TAB and LF apart), DEL, C1, marks and overrides of the writing direction, line and
# paragraph separators, the byte order mark, interlinear marks, halves of characters.
_BREAKS: Final = "\t\n"
_HAZARDS: Final = (
    "\x00-\x08\x0b-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff"
)
_IN_TEXT: Final = re.compile(f"[{_HAZARDS}]")
_IN_LINE: Final = re.compile(f"[{_HAZARDS}{_BREAKS}]")
_NAMED: Final = {"\t": "\\t", "\n": "\\n", "\r": "\\r"}

_KILO: Final = 1000
_UNITS: Final = ("kB", "MB", "GB", "TB")

# More code points than this for one cell are a text made to cost time.
_POINTS_PER_CELL: Final = 16


def visible(text: str) -> str:
    """Return `text` on one line, with every control character spelled out in hexadecimals."""
    return _IN_LINE.sub(_spell, text)


def visible_text(text: str) -> str:
    """Return `text` with every control character spelled out but TAB and LF."""
    return _IN_TEXT.sub(_spell, text)


def _spell(match: re.Match[str]) -> str:
    character = match[0]
    code = ord(character)
    return _NAMED.get(character) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def json_text(encoded: bytes) -> str:
    """Return JSON as text that says the same and holds no control character but LF."""
    # They stand inside of strings only, where an escape means the same.
    text = encoded.decode("utf-8", "replace")
    return _IN_TEXT.sub(lambda match: f"\\u{ord(match[0]):04x}", text)


def json_line(value: Any) -> str:
    """Return `value` as JSON on one line."""
    return json_text(msgspec.json.encode(value))


def json_document(value: Any) -> str:
    """Return `value` as JSON that a person can read as well."""
    return json_text(msgspec.json.format(msgspec.json.encode(value), indent=2))


def width_of(text: str) -> int:
    """Return how many cells of a terminal `text` takes."""
    return cell_len(text)


def shorten(text: str, cells: int) -> str:
    """Return `text`, or as much of it as fits into `cells` with an ellipsis behind it."""
    if cells <= 0:
        return ""
    start = text[: cells * _POINTS_PER_CELL]
    if len(start) == len(text) and cell_len(text) <= cells:
        return text
    return set_cell_size(start, min(cells - 1, cell_len(start))).rstrip() + "…"


def padded(text: str, cells: int) -> str:
    """Return `text` with spaces up to `cells`."""
    return text + " " * (cells - cell_len(text))


def when(ms: object) -> str:
    """Return a time in milliseconds as local time, or as it is if it is none."""
    time = _time(ms)
    return visible(str(ms)) if time is None else time.astimezone().strftime("%Y-%m-%d %H:%M:%S")


def ago(ms: object, now_ms: int) -> str:
    """Return how long before `now_ms` that was, in the largest unit; nothing if it is no time."""
    if _time(ms) is None or not isinstance(ms, int | float):
        return ""
    seconds = (now_ms - ms) / 1000
    if seconds < -1:
        return "in the future"
    for unit, length in (("d", 86_400), ("h", 3_600), ("min", 60)):
        if seconds >= length:
            return f"{int(seconds // length)} {unit} ago"
    return "now"


def _time(ms: object) -> datetime | None:
    if isinstance(ms, bool) or not isinstance(ms, int | float) or not math.isfinite(ms):
        return None
    try:
        return datetime.fromtimestamp(ms / 1000, UTC)
    except (OverflowError, ValueError, OSError):
        return None


def size(count: int) -> str:
    """Return a number of bytes in the unit that suits it."""
    if count < _KILO:
        return f"{count} B"
    amount, unit = count / _KILO, 0
    while amount >= _KILO and unit < len(_UNITS) - 1:
        amount, unit = amount / _KILO, unit + 1
    return f"{amount:,.1f} {_UNITS[unit]}"


def counted(count: int, noun: str) -> str:
    """Return `1 message` or `2,400 messages`."""
    return f"{count:,} {noun}" if count == 1 else f"{count:,} {noun}s"
