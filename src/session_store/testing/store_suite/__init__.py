"""`StoreSuite`: what users may rely on, whatever the engine, as tests to inherit.

Without it an engine could keep every sentence about files and still lose a dialogue: two things
that are right by themselves can be wrong together.
"""

from . import asserts as asserts  # first: see there
from .below import below
from .suite import StoreSuite

__all__ = ["StoreSuite", "below"]
