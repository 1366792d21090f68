"""The proxy of the fault tests does to real clients what a network does."""

import asyncio
import socket
from collections.abc import Iterator
from itertools import count
from secrets import token_hex
from typing import Any

import asyncpg
import obstore
import pytest
import redis
from obstore.exceptions import GenericError
from redis.backoff import NoBackoff
from redis.connection import parse_url
from redis.retry import Retry
from servers import SeaweedServer, ValkeyServer
from servers.base import wait_until
from servers.proxy import Proxy, Way


@pytest.fixture
def proxy(redis_url: str) -> Iterator[Proxy]:
    with Proxy(redis_url) as proxy:
        yield proxy


def honest(url: str, **options: Any) -> Any:
    """Return a client that never sends a command twice."""
    return redis.Redis.from_url(url, retry=Retry(NoBackoff(), 0), **options)


@pytest.fixture
def client(proxy: Proxy) -> Iterator[Any]:
    with honest(proxy.url) as client:
        client.ping()
        yield client


@pytest.fixture
def direct(redis_url: str) -> Iterator[Any]:
    with honest(redis_url) as client:
        yield client


@pytest.fixture
def key(direct: Any) -> Iterator[str]:
    key = f"proxy:{token_hex(6)}"
    yield key
    direct.delete(key)


def test_what_nothing_was_asked_of_passes_whole_and_is_counted(
    proxy: Proxy, client: Any, key: str
) -> None:
    large = b"x" * 300_000

    client.set(key, large)
    proxy.count_anew()

    assert client.get(key) == large
    assert (proxy.turns, proxy.connections) == (1, 0)
    assert 0 < proxy.bytes_passed - len(large) < 200


def test_a_client_that_retries_by_default_appends_twice_when_the_reply_is_dropped(
    proxy: Proxy, direct: Any, key: str
) -> None:
    with redis.Redis(**parse_url(proxy.url)) as retrying:
        retrying.ping()
        proxy.drop_reply(to=b"APPEND")

        retrying.append(key, "0123456789")

    assert proxy.struck
    assert direct.get(key) == b"01234567890123456789"


def test_a_client_that_does_not_retry_appends_once_when_the_reply_is_dropped(
    proxy: Proxy, client: Any, direct: Any, key: str
) -> None:
    proxy.drop_reply(to=b"APPEND")

    with pytest.raises(redis.ConnectionError):
        client.append(key, "0123456789")

    assert direct.get(key) == b"0123456789"


def cut_everywhere(proxy: Proxy, way: Way, client: Any, *command: str) -> list[bool]:
    """Return, for each number of bytes that passed, whether the client was answered."""
    answered = []
    for number in count():
        client.ping()  # what a new connection says of itself is not cut
        proxy.cut(way, after=number)
        try:
            client.execute_command(*command)
            answered.append(True)
        except redis.ConnectionError:
            answered.append(False)
        if not proxy.struck:
            break
    return answered


def test_a_request_that_is_cut_anywhere_is_not_done(
    proxy: Proxy, client: Any, direct: Any, key: str
) -> None:
    length = len(b"*3\r\n$6\r\nAPPEND\r\n$18\r\n%s\r\n$3\r\n+++\r\n" % key.encode())

    answered = cut_everywhere(proxy, "requests", client, "APPEND", key, "+++")

    assert answered == [False] * length + [True]
    assert direct.get(key) == b"+++"


def test_a_request_whose_reply_is_cut_anywhere_is_done(
    proxy: Proxy, client: Any, direct: Any, key: str
) -> None:
    answered = cut_everywhere(proxy, "replies", client, "APPEND", key, "+")

    assert answered == [False, False, False, False, True]
    assert direct.get(key) == b"+++++"


def test_a_stalled_link_says_nothing_and_goes_on_with_what_has_waited(
    proxy: Proxy, direct: Any, key: str
) -> None:
    with honest(proxy.url, socket_timeout=0.5) as client:
        client.ping()
        proxy.stall()

        with pytest.raises(redis.TimeoutError):
            client.append(key, "late")
        before = direct.get(key)
        proxy.heal()

    assert before is None
    assert wait_until(lambda: direct.get(key) == b"late", 5)


def test_a_link_that_is_stalled_one_way_brings_the_request_and_no_reply(
    proxy: Proxy, direct: Any, key: str
) -> None:
    with honest(proxy.url, socket_timeout=0.5) as client:
        client.ping()
        proxy.stall("replies")

        with pytest.raises(redis.TimeoutError):
            client.append(key, "there")

    assert direct.get(key) == b"there"


def test_a_slow_link_brings_everything_but_not_in_time(proxy: Proxy, direct: Any, key: str) -> None:
    text = token_hex(600)
    with honest(proxy.url, socket_timeout=0.5) as client:
        client.ping()
        proxy.slow(0.6)

        with pytest.raises(redis.TimeoutError):
            client.set(key, text)

    assert wait_until(lambda: direct.get(key) == text.encode(), 5)


def test_a_reset_breaks_what_is_connected_and_not_what_comes_after(
    proxy: Proxy, client: Any
) -> None:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as broken:
        broken.sendall(b"PING\r\n")
        assert broken.recv(100)

        proxy.reset()

        with pytest.raises(ConnectionResetError):
            broken.recv(100)
    assert client.ping()


def test_a_server_that_is_gone_is_found_again_through_the_same_proxy(own_server: Any) -> None:
    server = own_server(ValkeyServer)
    with Proxy(server.url) as proxy, honest(proxy.url) as client:
        client.set("a", "7")

        server.kill()
        with pytest.raises(redis.ConnectionError):
            client.get("a")
        server.start()

        assert client.get("a") == b"7"


def test_postgres_has_done_what_it_could_not_answer(postgres_url: str) -> None:
    table = f"proxy_{token_hex(6)}"

    async def lose() -> list[Any]:
        connection = await asyncpg.connect(proxy.url, timeout=5)
        await connection.execute(f"CREATE TABLE {table} (word text)")
        proxy.drop_reply(to=b"a word")
        with pytest.raises(asyncpg.ConnectionDoesNotExistError):
            await connection.execute(f"INSERT INTO {table} VALUES ($1)", "a word")
        connection = await asyncpg.connect(proxy.url, timeout=5)
        words = await connection.fetch(f"SELECT word FROM {table}")
        await connection.execute(f"DROP TABLE {table}")
        await connection.close()
        return [row["word"] for row in words]

    with Proxy(postgres_url) as proxy:
        assert asyncio.run(lose()) == ["a word"]


def test_an_object_store_has_done_what_it_could_not_answer(own_server: Any) -> None:
    server = own_server(SeaweedServer)
    with Proxy(server.url) as proxy:
        store = server.store(proxy.port)
        proxy.drop_reply(to=b"a body")

        with pytest.raises(GenericError):
            obstore.put(store, "lost", b"a body", mode="create")

    assert bytes(obstore.get(server.store(), "lost").bytes()) == b"a body"


@pytest.mark.parametrize(
    ("url", "path"),
    [
        ("postgresql://me:12@127.0.0.1:{}/db?schema=a", "/db?schema=a"),
        ("redis+cluster://:se%40cret@localhost:{}/0", "/0"),
        ("s3://bucket/prefix?endpoint=http://127.0.0.1:{}&region=r", "&region=r"),
        ("s3://bucket?endpoint=http://127.0.0.1:{}", ""),
    ],
)
def test_a_url_leads_through_the_proxy_and_says_nothing_else(url: str, path: str) -> None:
    with Proxy(url.format(6_379)) as proxy:
        before = url.partition("{}")[0].replace("localhost", "127.0.0.1")
        assert proxy.url == f"{before}{proxy.port}{path}"
