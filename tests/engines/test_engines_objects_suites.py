"""A bucket keeps what every engine keeps: both suites, with its own index and as files alone."""

from secrets import token_hex

import pytest

from session_store.engines.objects import place_in
from session_store.testing import FileSystemSuite, StoreSuite


class OnObjects:
    @pytest.fixture
    def url(self, s3_url: str) -> str:
        return place_in(s3_url, f"suite-{token_hex(4)}")


class TestFiles(OnObjects, FileSystemSuite):
    pass


class TestStore(OnObjects, StoreSuite):
    index_in_files = False
