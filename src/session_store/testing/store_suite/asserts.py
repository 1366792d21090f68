"""Lets pytest show both sides of an assertion that fails in the suite.

It rewrites test files only, and what it was told of before the first import; hence this
module is imported before any other of the suite.
"""

from typing import Final

import pytest

TOPICS: Final = (
    "appending",
    "branching",
    "closing",
    "crashes",
    "damage",
    "deleting",
    "ground",
    "hostile",
    "keys",
    "listing",
    "locking",
    "metadata",
    "model",
    "reading",
    "resetting",
    "subscribing",
    "writers",
)

pytest.register_assert_rewrite(*(f"{__package__}.{topic}" for topic in TOPICS))
