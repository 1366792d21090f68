"""Servers: one of each kind a run, for tests that leave it alone, and own ones to be killed."""

import asyncio
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
from servers import AnyServer, PostgresServer, SeaweedServer, ValkeyCluster, ValkeyServer, shared
from servers.seaweed import ENVIRONMENT

from session_store.files.urls import room_of

ON_A_CLUSTER = ("append", "delete", "list", "lock", "page", "race", "writers")


@pytest.fixture(scope="session")
def servers_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder that all workers of this run know."""
    folder = tmp_path_factory.getbasetemp()
    return (folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder) / "servers"


@pytest.fixture(scope="session")
def postgres_url(servers_folder: Path) -> Iterator[str]:
    yield from _url(PostgresServer, servers_folder)


@pytest.fixture(scope="session")
def redis_url(servers_folder: Path) -> Iterator[str]:
    yield from _url(ValkeyServer, servers_folder)


@pytest.fixture(scope="session")
def redis_cluster_url(servers_folder: Path) -> Iterator[str]:
    yield from _url(ValkeyCluster, servers_folder)


@pytest.fixture(scope="session")
def s3_url(servers_folder: Path) -> Iterator[str]:
    with pytest.MonkeyPatch.context() as patch:
        if SeaweedServer.variable not in os.environ:
            for name, value in ENVIRONMENT.items():
                patch.setenv(name, value)
        yield from _url(SeaweedServer, servers_folder)


@pytest.fixture
def own_server(
    tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch
) -> Iterator[Callable[..., Any]]:
    """Start servers of this test alone, by class and settings; they end with it."""
    with ExitStack() as ended:

        def start(kind: type[AnyServer], **settings: str) -> AnyServer:
            if kind.variable in os.environ:
                pytest.skip(f"{kind.variable} names a server that is not ours to kill")
            _need(kind)
            if kind is SeaweedServer:
                for name, value in ENVIRONMENT.items():
                    monkeypatch.setenv(name, value)
            server = kind(tmp_path_factory.mktemp("own"), **settings)
            ended.callback(server.stop)
            server.start()
            return server

        yield start


def _need(kind: type[AnyServer]) -> None:
    """Skip where it cannot be started; not before a change lands, which needs all of them."""
    if kind.missing():
        (pytest.fail if "CI" in os.environ else pytest.skip)(kind.missing())


def _url(kind: type[AnyServer], folder: Path) -> Iterator[str]:
    given = os.environ.get(kind.variable)
    if given is not None:
        yield given
    else:
        _need(kind)
        with shared(folder / kind.__name__, kind) as url:
            yield url


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave to `make campaign` what says little new, and takes most of the time.

    On an engine whose client is async the blocking face drives the async one, so the suite of
    stores is made on the first; and to a store a cluster differs from one server in what concerns
    several keys, and in its races.
    """
    if os.environ.get("SESSION_STORE_TEST_ALL"):
        return
    later = [item for item in items if _says_little_new(item.nodeid)]
    config.hook.pytest_deselected(items=later)
    items[:] = [item for item in items if not _says_little_new(item.nodeid)]


def _says_little_new(name: str) -> bool:
    if "OnACluster::" in name:
        return not any(f"::test_{verb}" in name for verb in ON_A_CLUSTER)
    return "_suites.py::TestStore" in name and "_sqlite_" not in name and "[async" in name


@pytest.fixture
def places(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Callable[[str], str]]:
    """Each call gives a place of its own for a store, in `folder` or on the engine of that name."""
    made: list[tuple[Any, str]] = []

    def place(kind: str) -> str:
        name = token_hex(6)
        if kind == "folder":
            return str(tmp_path / name)
        if kind == "sqlite":
            return f"sqlite:///{tmp_path}/{name}.db"
        server = request.getfixturevalue(f"{kind}_url")
        room = room_of(server)
        assert room is not None
        made.append((room, room.place_in(server, name)))
        return str(made[-1][1])

    yield place
    for room, url in made:
        asyncio.run(room.erase(url))
