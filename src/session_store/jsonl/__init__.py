"""Lines and records: what a log says, however it was cut off or damaged."""

from .file import Block, JSONLFile
from .lines import close_line, damage, parse_object, split_lines
from .scanner import Damage, Entry, LineRecord, Replaced, Retracted, Scanner

__all__ = [
    "Block",
    "Damage",
    "Entry",
    "JSONLFile",
    "LineRecord",
    "Replaced",
    "Retracted",
    "Scanner",
    "close_line",
    "damage",
    "parse_object",
    "split_lines",
]
