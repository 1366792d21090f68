"""Redis keeps what every engine keeps: the suites of files, index and store."""

import asyncio
from collections.abc import Iterator
from secrets import token_hex

import pytest

from session_store.engines.redis import erase, place_in
from session_store.testing import FileSystemSuite, SessionIndexSuite, StoreSuite


class OnServer:
    @pytest.fixture
    def url(self, redis_url: str) -> Iterator[str]:
        url = place_in(redis_url, token_hex(6))
        yield url
        asyncio.run(erase(url))


class OnCluster:
    @pytest.fixture
    def url(self, redis_cluster_url: str) -> Iterator[str]:
        url = place_in(redis_cluster_url, token_hex(6))
        yield url
        asyncio.run(erase(url))


class TestFiles(OnServer, FileSystemSuite):
    pass


class TestStore(OnServer, StoreSuite):
    index_in_files = False


class TestFilesOnACluster(OnCluster, FileSystemSuite):
    pass


class TestStoreOnACluster(OnCluster, StoreSuite):
    index_in_files = False


class TestIndex(OnServer, SessionIndexSuite):
    index_in_files = False


class TestIndexOnACluster(OnCluster, SessionIndexSuite):
    index_in_files = False
