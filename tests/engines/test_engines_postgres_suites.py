"""PostgreSQL keeps what every engine keeps: the suites of files, index and store."""

import asyncio
from collections.abc import Iterator
from secrets import token_hex

import pytest

from session_store.engines.postgres import erase, place_in
from session_store.testing import FileSystemSuite, SessionIndexSuite, StoreSuite


class OnPostgres:
    @pytest.fixture
    def url(self, postgres_url: str) -> Iterator[str]:
        url = place_in(postgres_url, token_hex(6))
        yield url
        asyncio.run(erase(url))


class TestFiles(OnPostgres, FileSystemSuite):
    pass


class TestStore(OnPostgres, StoreSuite):
    index_in_files = False


class TestIndex(OnPostgres, SessionIndexSuite):
    index_in_files = False
