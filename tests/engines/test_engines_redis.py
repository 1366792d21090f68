"""Redis as teams meet it: versions, memory that ends, keys of others, writes that are lost."""

import asyncio
import ssl
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from secrets import token_hex
from typing import Any

import pytest
import redis as client_library
import trustme
from servers import Proxy, ValkeyServer

from session_store import SessionStore
from session_store.engines.redis import erase, place_in
from session_store.engines.redis.client import VERSION
from session_store.engines.redis.table import RedisTable
from session_store.errors import ConfigError, StorageFullError, UnavailableError
from session_store.index.table import Row
from session_store.sync import SessionStore as BlockingStore


@pytest.fixture
def url(redis_url: str) -> Iterator[str]:
    url = place_in(redis_url, token_hex(6))
    yield url
    asyncio.run(erase(url))


@pytest.fixture
def prefix(url: str) -> str:
    return url.rpartition("prefix=")[2]


@pytest.fixture
def bare(redis_url: str) -> Iterator[Any]:
    with client_library.Redis.from_url(redis_url) as client:
        yield client


@pytest.fixture
def tls_url(url: str, tmp_path: Path) -> Iterator[str]:
    """The same server, spoken to through TLS; its authority is in `authority.pem`."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "authority.pem")
    settings = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(settings)
    with Proxy(url, tls=settings) as proxy:
        yield proxy.url.replace("redis:", "rediss:", 1)


def test_it_is_spoken_to_through_tls(tls_url: str, url: str, tmp_path: Path) -> None:
    with BlockingStore.open(f"{tls_url}&ssl_ca_certs={tmp_path}/authority.pem") as store:
        said = store.session("k").append("user", "hello")

    with BlockingStore.open(url) as store:
        assert store.session("k").messages() == [said]


def test_a_server_whose_certificate_nobody_vouches_for_is_refused(tls_url: str) -> None:
    password = tls_url.partition(":")[2].partition("@")[0].strip("/:")

    with (
        pytest.raises(UnavailableError, match="certificate verify failed") as told,
        BlockingStore.open(tls_url, io_timeout_ms=5_000),
    ):
        pass

    assert password
    assert password not in str(told.value)


def test_a_server_that_speaks_no_tls_is_told_apart(url: str) -> None:
    with (
        pytest.raises(UnavailableError),
        BlockingStore.open(url.replace("redis:", "rediss:", 1), io_timeout_ms=5_000),
    ):
        pass


async def test_a_store_that_is_newer_is_refused(url: str, prefix: str, bare: Any) -> None:
    async with SessionStore.open(url) as store:
        await store.resolve("k")
    bare.set(f"{prefix}:version", VERSION + 1)

    with pytest.raises(ConfigError, match="pip install -U session-store"):
        async with SessionStore.open(url):
            pass
    bare.set(f"{prefix}:version", VERSION)


async def test_a_server_that_throws_keys_away_is_refused(own_server: Callable[..., Any]) -> None:
    server = own_server(ValkeyServer, **{"maxmemory": "100mb", "maxmemory-policy": "allkeys-lru"})

    with pytest.raises(ConfigError, match="noeviction"):
        async with SessionStore.open(server.url):
            pass


async def test_a_memory_that_is_full_is_told_and_nothing_is_half_there(
    own_server: Callable[..., Any],
) -> None:
    server = own_server(ValkeyServer, **{"maxmemory": "12mb", "maxmemory-policy": "noeviction"})
    store = SessionStore.open(server.url)
    chat = await store.session("k")
    count = 0

    async def fill() -> None:
        nonlocal count
        for _ in range(2_000):
            await chat.append("user", "x" * 20_000)
            count += 1

    with pytest.raises(StorageFullError):
        await fill()
    found = await chat.messages()
    report = await store.check()
    with pytest.raises(StorageFullError):
        await store.close()  # with counts that were noted

    assert count > 10
    assert len(found) == count
    assert report.findings == []


async def test_a_server_that_does_not_sync_always_does_not_call_itself_durable(
    own_server: Callable[..., Any],
) -> None:
    server = own_server(ValkeyServer, appendfsync="everysec")
    async with SessionStore.open(server.url) as store:
        await store.resolve("k")

        assert store._files.traits.durable is False


async def test_a_log_that_a_failover_made_shorter_is_read_and_gone_on_with(
    url: str, prefix: str, bare: Any
) -> None:
    async with SessionStore.open(url) as store:
        chat = await store.session("k")
        for number in range(4):
            await chat.append("user", str(number))
        await store.flush()
        top = f"{{{prefix}:{chat.id}}}"
        before = {key: bare.dump(key) for key in bare.scan_iter(match=f"{top}:*")}
        await chat.append("user", "acknowledged, and lost by the failover")
        await store.flush()
        for key, value in before.items():
            if not key.endswith((b":session", b":keys")):
                bare.restore(key, 0, value, replace=True)

        await chat.append("user", "after")
        found = [one.content for one in await chat.messages()]
        report = await store.check()

    assert found == ["0", "1", "2", "3", "after"]
    assert {one.severity for one in report.findings} <= {"info", "warning"}


async def test_keys_of_others_are_left_alone(url: str, prefix: str, bare: Any) -> None:
    bare.set(f"{prefix}-else", "mine")
    async with SessionStore.open(url) as store:
        chat = await store.session("k")
        await chat.append("user", "a")
        await store.delete_session(chat.id)
    await erase(url)

    assert bare.get(f"{prefix}-else") == b"mine"
    assert not list(bare.scan_iter(match=f"{prefix}:*"))
    assert not list(bare.scan_iter(match=f"{{{prefix}:*"))
    bare.delete(f"{prefix}-else")


async def test_a_delete_that_was_cut_off_is_finished_by_who_finds_it(
    url: str, prefix: str, bare: Any
) -> None:
    async with SessionStore.open(url) as store:
        chat = await store.session("k")
        await chat.append("user", "a")
        place, table = store._files, store._index._table  # type: ignore[attr-defined]
        assert place is not None
        # The first step of `delete`, and nothing after it.
        names = table._names
        from session_store.engines.redis import scripts

        await table._client.run("", scripts.END, names.top(chat.id), chat.id, names.channel)

        assert await store.has_session(chat.id) is False
        assert await store.get_session_id("k") is None
        assert (await store.list_sessions()).sessions == []
        again = await store.resolve("k")
        assert again != chat.id


@pytest.mark.parametrize("query", ["prefix=", "prefix={a}", "prefix=a b", f"prefix={'x' * 65}"])
def test_a_bad_prefix_is_refused_before_anything_is_asked(query: str) -> None:
    with pytest.raises(ConfigError):
        BlockingStore.open(f"redis://:s3cr3t@127.0.0.1:1/0?{query}")


@pytest.mark.parametrize("sort", ["created", "updated"])
async def test_a_listing_goes_on_where_the_sessions_of_a_page_end_meanwhile(
    url: str, monkeypatch: pytest.MonkeyPatch, sort: str
) -> None:
    async with SessionStore.open(url) as store, SessionStore.open(url) as other:
        ids = [await store.resolve(f"k{number}") for number in range(9)]
        doomed = ids[-3:]  # the newest: they are looked at first
        rows = RedisTable.rows

        async def late(table: RedisTable, session_ids: Sequence[str]) -> list[Row]:
            while doomed and set(doomed) <= set(session_ids):
                await other.delete_session(doomed.pop())
            return await rows(table, session_ids)

        monkeypatch.setattr(RedisTable, "rows", late)
        page = await store.list_sessions(sort=sort, limit=2)

    assert {one.session_id for one in page.sessions} <= set(ids[:6])
    assert len(page.sessions) == 2


async def test_a_subscription_whose_link_falls_silent_is_begun_anew(url: str) -> None:
    with Proxy(url) as proxy:
        async with (
            SessionStore.open(proxy.url, io_timeout_ms=300) as here,
            SessionStore.open(url) as there,
        ):
            session = await here.resolve("k")
            await there.append(session, {"role": "user", "content": "before"})
            heard = here.subscribe(session)
            assert (await anext(heard)).content == "before"
            waiting = asyncio.ensure_future(anext(heard))
            await asyncio.sleep(0.1)

            proxy.count_anew()
            proxy.stall("replies")
            async with asyncio.timeout(20):
                while not proxy.connections:
                    await asyncio.sleep(0.02)
            proxy.heal()
            await there.append(session, {"role": "user", "content": "behind"})

            assert (await asyncio.wait_for(waiting, 20)).content == "behind"
            await heard.aclose()
