"""The suite on every broken store: run by `test_testing_store_broken.py`.

In a process of its own, and never collected by its name: its failures are what is wanted.
"""

from collections.abc import Callable, Iterator

import pytest
from filesystem_simulated import Simulated
from store_broken import BROKEN, Case

from session_store.files import FileSystem
from session_store.testing import StoreSuite
from session_store.testing.store_suite import patience


def suite_of(name: str, case: Case) -> type[StoreSuite]:
    class Tested(StoreSuite):
        verbs = case.verbs

        @pytest.fixture(autouse=True)
        def sabotage(self) -> Iterator[None]:
            with pytest.MonkeyPatch.context() as patch:
                case.sabotage(patch)
                yield

        @pytest.fixture
        def files(self, sabotage: None) -> FileSystem:
            return case.files()

        @pytest.fixture
        def crash(self, files: FileSystem) -> Callable[[], FileSystem] | None:
            return files.after_power_cut if isinstance(files, Simulated) else None

    Tested.__name__ = Tested.__qualname__ = f"Test{name}"
    return Tested


# Those that never answer shall not cost more than they must.
patience.PATIENCE_SECONDS = 3  # type: ignore[misc]

for _name, _case in BROKEN.items():
    globals()[f"Test{_name}"] = suite_of(_name, _case)
