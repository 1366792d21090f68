"""`FileSystemSuite`: what an engine has to keep, as tests that its author inherits.

Without it every engine would be trusted because its own author had tested it, and "of several
racing callers exactly one wins" would mean what each author took it for.
"""

from . import asserts as asserts  # first: see there
from .suite import FileSystemSuite

__all__ = ["FileSystemSuite"]
