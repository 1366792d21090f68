"""SQLite keeps what every engine keeps: the suites of files, index and store."""

from pathlib import Path

import pytest

from session_store.testing import FileSystemSuite, SessionIndexSuite, StoreSuite


class OnSQLite:
    @pytest.fixture
    def url(self, tmp_path: Path) -> str:
        return f"sqlite:///{tmp_path}/store.db"


class TestFiles(OnSQLite, FileSystemSuite):
    pass


class TestStore(OnSQLite, StoreSuite):
    index_in_files = False


class TestIndex(OnSQLite, SessionIndexSuite):
    index_in_files = False
