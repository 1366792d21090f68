"""Leases: who may change a session, across threads, processes and hosts."""

from .lease import Lease
from .manager import Fences, LockManager

__all__ = ["Fences", "Lease", "LockManager"]
