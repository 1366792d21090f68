"""The conformance suite of `SessionIndexManager`: what every index has to keep."""

from .suite import SessionIndexSuite

__all__ = ["SessionIndexSuite"]
