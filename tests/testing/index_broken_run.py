"""The suite on every broken index: run by `test_testing_index.py`.

In a process of its own, and never collected by its name: its failures are what is wanted.
"""

import pytest
from index_broken import BROKEN, Case, Files

from session_store.files import FileSystem
from session_store.testing import SessionIndexSuite


def suite_of(name: str, case: Case) -> type[SessionIndexSuite]:
    class Tested(SessionIndexSuite):
        verbs = case.verbs
        index_in_files = False

        @pytest.fixture
        def files(self) -> FileSystem:
            return Files(case.kind)

    Tested.__name__ = Tested.__qualname__ = f"Test{name}"
    return Tested


for _name, _case in BROKEN.items():
    globals()[f"Test{_name}"] = suite_of(_name, _case)
