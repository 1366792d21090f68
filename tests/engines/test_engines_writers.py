"""Writers in processes of their own, on every engine, and what may befall them and their server."""

import asyncio
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from secrets import token_hex
from typing import Any

import asyncpg
import pytest
from servers import PostgresServer, Proxy, SeaweedServer, ValkeyCluster, ValkeyServer
from writers_kit import Writers, under_load

from session_store.engines import objects, postgres, redis

SERVED = {
    "postgres_url": postgres,
    "redis_url": redis,
    "redis_cluster_url": redis,
    "s3_url": objects,
}
PAUSE_SECONDS = 1.5
"""Longer than the writers wait for an answer."""

Own = Callable[..., Any]


@pytest.fixture(params=SERVED)
def url(request: pytest.FixtureRequest) -> Iterator[str]:
    """A place of its own on a server of this run."""
    engine: Any = SERVED[request.param]
    url = engine.place_in(request.getfixturevalue(request.param), token_hex(6))
    yield url
    asyncio.run(engine.erase(url))


def replace_one(writers: Writers) -> None:
    writers.kill()
    writers.start()


def test_nothing_is_lost_when_writers_are_killed(url: str, tmp_path: Path) -> None:
    assert under_load(url, tmp_path, replace_one, times=6, between=12) == []


def test_nothing_is_lost_in_a_local_database_when_writers_are_killed(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/sessions.db"

    assert under_load(url, tmp_path, replace_one, times=6, between=12) == []


@pytest.mark.parametrize(
    ("kind", "times"),
    [(PostgresServer, 4), (ValkeyServer, 4), (ValkeyCluster, 1), (SeaweedServer, 2)],
)
def test_nothing_is_lost_when_the_server_is_killed(
    own_server: Own, kind: Any, times: int, tmp_path: Path
) -> None:
    server = own_server(kind)

    assert under_load(server.url, tmp_path, lambda _: server.restart(), times=times) == []


@pytest.mark.parametrize("kind", [PostgresServer, ValkeyServer, SeaweedServer])
def test_nothing_is_lost_when_the_server_stands_still_and_goes_on(
    own_server: Own, kind: Any, tmp_path: Path
) -> None:
    server = own_server(kind)

    def stand_still(_: Writers) -> None:
        server.pause()
        time.sleep(PAUSE_SECONDS)
        server.resume()

    assert under_load(server.url, tmp_path, stand_still, times=2) == []


def disturbing(*proxies: Proxy) -> Callable[[Writers], None]:
    def disturb(_: Writers) -> None:
        for proxy in proxies:
            proxy.reset()
            proxy.stall("replies")
        time.sleep(PAUSE_SECONDS)
        for proxy in proxies:
            proxy.heal()

    return disturb


@pytest.mark.parametrize("kind", [PostgresServer, ValkeyServer, SeaweedServer])
def test_nothing_is_lost_on_links_that_break_and_fall_silent(
    own_server: Own, kind: Any, tmp_path: Path
) -> None:
    with Proxy(own_server(kind).url) as proxy:
        assert under_load(proxy.url, tmp_path, disturbing(proxy), times=2) == []


def test_nothing_is_lost_when_all_links_to_a_cluster_break(own_server: Own, tmp_path: Path) -> None:
    cluster = own_server(ValkeyCluster)
    with ExitStack() as open_ones:
        proxies = [open_ones.enter_context(Proxy(node.url)) for node in cluster.nodes]
        cluster.announce([proxy.port for proxy in proxies])
        url = proxies[0].url.replace("redis:", "redis+cluster:")

        found = under_load(url, tmp_path, disturbing(*proxies), times=2)

    assert all(proxy.connections for proxy in proxies)
    assert found == []


def test_without_waiting_for_its_log_postgres_loses_what_it_acknowledged(
    own_server: Own, tmp_path: Path
) -> None:
    """The control: if this finds nothing, neither would the others."""
    server = own_server(PostgresServer, synchronous_commit="off", wal_writer_delay="10s")
    url = f"{server.url}?synchronous_commit=off"

    async def checkpoint() -> None:
        connection = await asyncpg.connect(server.url)
        await connection.execute("CHECKPOINT")
        await connection.close()

    def kill(writers: Writers) -> None:
        # What the store needs to be one is there for good.
        asyncio.run(checkpoint())
        writers.await_appends(30)
        server.restart()

    found = under_load(url, tmp_path, kill, times=1)

    assert [one for one in found if "acknowledged" in one and "lost" in one]


def test_without_its_log_valkey_loses_what_it_acknowledged(own_server: Own, tmp_path: Path) -> None:
    server = own_server(ValkeyServer, appendonly="no")

    with Writers(server.url, tmp_path) as writers:
        writers.start(2)
        writers.await_appends(30)
        writers.stop()
        server.restart()

        assert [one for one in writers.judge() if "is gone, and nobody deleted it" in one]
