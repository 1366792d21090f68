"""Lets pytest show both sides of an assertion that fails in the suite.

It rewrites test files only, and what it was told of before the first import; hence this
module is imported before any other of the suite.
"""

from typing import Final

import pytest

TOPICS: Final = (
    "appending",
    "cancelling",
    "closing",
    "crashes",
    "deleting",
    "facts",
    "handles",
    "listing",
    "model",
    "paths",
    "races",
    "reading",
    "stats",
    "syncing",
    "writing",
)

pytest.register_assert_rewrite(*(f"{__package__}.{topic}" for topic in TOPICS))
