"""The suite on every broken file system: run by `test_testing_filesystem_broken.py`.

In a process of its own, and never collected by its name: its failures are what is wanted.
"""

from collections.abc import Callable
from pathlib import Path

import pytest
from filesystem_broken import BROKEN, Case, opened, reopener
from filesystem_sound import Disk

from session_store.files import FileSystem
from session_store.runtime import run
from session_store.testing.filesystem_suite import FileSystemSuite, watching


def suite_of(name: str, case: Case) -> type[FileSystemSuite]:
    class Tested(FileSystemSuite):
        verbs = case.verbs

        @pytest.fixture
        def files(self, tmp_path: Path) -> FileSystem:
            return opened(case, str(tmp_path / "root"))

        @pytest.fixture
        def reopen(self, files: FileSystem, tmp_path: Path) -> Callable[[], FileSystem] | None:
            return reopener(case, files, str(tmp_path / "root"))

        @pytest.fixture
        def crash(self, files: FileSystem) -> Callable[[], FileSystem] | None:
            return (lambda: run(files.crash())) if isinstance(files, Disk) else None

    Tested.__name__ = Tested.__qualname__ = f"Test{name}"
    return Tested


# Those that are deaf shall not cost more than they must.
watching.PATIENCE_SECONDS = 0.5  # type: ignore[misc]

for _name, _case in BROKEN.items():
    globals()[f"Test{_name}"] = suite_of(_name, _case)
