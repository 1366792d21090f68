"""Which key names which session, and what is known of each, shared by many processes."""

from .journal import JournalIndex
from .manager import SessionIndexManager, SessionPage

__all__ = ["JournalIndex", "SessionIndexManager", "SessionPage"]
