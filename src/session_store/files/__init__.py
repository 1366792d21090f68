"""The seam: files that many writers can share, and the engines that need no server."""

from .durability import Durability
from .filesystem import (
    ABSENT,
    ANY,
    Bindable,
    FileStats,
    FileSystem,
    IfVersion,
    Page,
    Precondition,
    Traits,
    Watch,
)
from .local import RealFileSystem
from .memory import InMemoryFileSystem

__all__ = [
    "ABSENT",
    "ANY",
    "Bindable",
    "Durability",
    "FileStats",
    "FileSystem",
    "IfVersion",
    "InMemoryFileSystem",
    "Page",
    "Precondition",
    "RealFileSystem",
    "Traits",
    "Watch",
]
