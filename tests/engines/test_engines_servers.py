"""The servers that the tests stand on: they come back after a crash with what they had."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import obstore
import pytest
from servers import PostgresServer, SeaweedServer, Server, ValkeyCluster, ValkeyServer


def zombies() -> list[str]:
    found = []
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] == "Z":
            found.append(stat.parent.name)
    return found


@pytest.fixture
def kept(tmp_path: Path) -> Iterator[list[Server]]:
    kept: list[Server] = []
    yield kept
    for server in kept:
        server.stop()


def test_postgres_comes_back_with_what_was_committed(tmp_path: Path, kept: list[Server]) -> None:
    server = PostgresServer(tmp_path)
    kept.append(server)
    server.start()
    before = zombies()

    async def ask(query: str) -> object:
        connection = await asyncpg.connect(server.url)
        try:
            return await connection.fetchval(query)
        finally:
            await connection.close()

    asyncio.run(ask("CREATE TABLE t AS SELECT 7 AS n"))
    server.restart()

    assert asyncio.run(ask("SELECT n FROM t")) == 7
    assert set(zombies()) <= set(before)


def test_valkey_comes_back_with_what_was_answered(tmp_path: Path, kept: list[Server]) -> None:
    server = ValkeyServer(tmp_path)
    kept.append(server)
    server.start()

    with server.client() as client:
        client.set("a", "7")
    server.restart()

    with server.client() as client:
        assert client.get("a") == b"7"


def test_a_cluster_serves_every_slot(redis_cluster_url: str) -> None:
    from redis.cluster import RedisCluster

    client = RedisCluster.from_url(redis_cluster_url.replace("redis+cluster:", "redis:"))
    for number in range(50):
        client.set(f"key-{number}", number)

    assert [int(client.get(f"key-{number}") or -1) for number in range(50)] == list(range(50))
    client.close()


def test_a_cluster_is_whole_again_after_a_crash(tmp_path: Path) -> None:
    cluster = ValkeyCluster(tmp_path)
    try:
        cluster.start()

        cluster.nodes[1].restart()
        cluster.wait()
    finally:
        cluster.stop()


def test_seaweed_comes_back_with_what_was_answered(tmp_path: Path, kept: list[Server]) -> None:
    server = SeaweedServer(tmp_path)
    kept.append(server)
    server.start()

    obstore.put(server.store(), "a", b"7", mode="create")
    server.restart()

    assert bytes(obstore.get(server.store(), "a").bytes()) == b"7"
    server.stop()
    assert not [
        name
        for name in Path("/tmp").glob("seaweedfs-*")
        if str(server._ports["s3.port.grpc"]) in name.name
    ]
