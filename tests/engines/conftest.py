"""One server of each kind a run (and worker), started when the first test asks for it."""

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from servers import PostgresServer, SeaweedServer, ValkeyCluster, ValkeyServer
from servers.seaweed import KEY, SECRET


def _of_the_team(name: str) -> str | None:
    return os.environ.get(f"SESSION_STORE_TEST_{name}")


@pytest.fixture(scope="session")
def servers_folder() -> Iterator[Path]:
    # In memory where that is possible: what is tested is not the disk, and waiting for it takes
    # most of the time.
    memory = Path("/dev/shm")
    inside = memory if os.access(memory, os.W_OK) else None
    with TemporaryDirectory(prefix="session-store-", dir=inside, ignore_cleanup_errors=True) as at:
        yield Path(at)


@pytest.fixture(scope="session")
def postgres_url(servers_folder: Path) -> Iterator[str]:
    given = _of_the_team("POSTGRES")
    if given:
        yield given
        return
    server = PostgresServer(servers_folder / "postgres")
    server.start()
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def redis_url(servers_folder: Path) -> Iterator[str]:
    given = _of_the_team("REDIS")
    if given:
        yield given
        return
    server = ValkeyServer(servers_folder / "valkey")
    server.start()
    yield server.url
    server.stop()


@pytest.fixture(scope="session")
def redis_cluster_url(servers_folder: Path) -> Iterator[str]:
    given = _of_the_team("REDIS_CLUSTER")
    if given:
        yield given
        return
    cluster = ValkeyCluster(servers_folder / "cluster")
    cluster.start()
    yield cluster.url
    cluster.stop()


@pytest.fixture(scope="session")
def s3_url(servers_folder: Path) -> Iterator[str]:
    given = _of_the_team("S3")
    if given:
        yield given
        return
    server = SeaweedServer(servers_folder / "seaweed")
    server.start()
    # Also for the processes that tests start.
    os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"] = KEY, SECRET
    yield server.url
    del os.environ["AWS_ACCESS_KEY_ID"], os.environ["AWS_SECRET_ACCESS_KEY"]
    server.stop()
