"""A bucket keeps what every engine keeps: the suites of files, index and store."""

import asyncio
from collections.abc import Iterator
from secrets import token_hex

import pytest

from session_store.engines.objects import erase, place_in
from session_store.testing import FileSystemSuite, SessionIndexSuite, StoreSuite


class OnObjects:
    @pytest.fixture
    def url(self, s3_url: str) -> Iterator[str]:
        url = place_in(s3_url, token_hex(6))
        yield url
        asyncio.run(erase(url))


class TestFiles(OnObjects, FileSystemSuite):
    pass


class TestStore(OnObjects, StoreSuite):
    index_in_files = False


class TestIndex(OnObjects, SessionIndexSuite):
    index_in_files = False
