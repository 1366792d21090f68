"""The suite of indexes, on the journal over several file systems."""

from engine_fixtures import OnMemory, OnRealFiles, OnSharedAndSuspending, OnSuspendingFiles

from session_store.testing import SessionIndexSuite


class TestInMemory(OnMemory, SessionIndexSuite):
    pass


class TestReal(OnRealFiles, SessionIndexSuite):
    pass


class TestSharedAndSuspending(OnSharedAndSuspending, SessionIndexSuite):
    pass


class TestSuspendingFiles(OnSuspendingFiles, SessionIndexSuite):
    pass
