"""The store: the engine, its async face, and the handle on one session."""

from .aio import SessionStore
from .checking import CheckReport
from .session import Session

__all__ = ["CheckReport", "Session", "SessionStore"]
