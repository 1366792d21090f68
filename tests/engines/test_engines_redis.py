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
from faults_kit import judge, message, opened, persist
from servers import Proxy, ValkeyServer
from servers.valkey import PASSWORD

from session_store import Message, Session, SessionStore
from session_store.engines.redis import erase, place_in, scripts, table
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


async def test_deleting_makes_room_in_a_memory_that_is_full(own_server: Callable[..., Any]) -> None:
    server = own_server(ValkeyServer, **{"maxmemory": "12mb", "maxmemory-policy": "noeviction"})
    async with SessionStore.open(server.url, index_save_delay_ms=600_000) as store:
        large, small = await store.session("large"), await store.session("small")
        await small.append("user", "stays")

        async def fill() -> None:
            while True:
                await large.append("user", "x" * 20_000)

        with pytest.raises(StorageFullError):
            await fill()
        # Also by who comes only now.
        async with SessionStore.open(server.url) as other:
            await other.delete_session(large.id)
        await small.append("user", "y" * 20_000)

        assert await store.get_all_keys() == ["small"]
        assert await store.has_session(large.id) is False
        assert [one.content for one in await small.messages()] == ["stays", "y" * 20_000]


async def said_and_heard(chat: Session, there: SessionStore) -> Message:
    """Say something while somebody follows, who has to get it; return it."""
    heard = there.subscribe(chat.id)
    waiting = asyncio.ensure_future(anext(heard))
    await asyncio.sleep(0.2)
    said = await chat.append("user", "hello")
    assert await asyncio.wait_for(waiting, 20) == said
    await heard.aclose()
    return said


async def test_a_user_needs_the_rights_that_the_docs_name(own_server: Callable[..., Any]) -> None:
    server = own_server(ValkeyServer)
    with server.client() as client:
        rights = ("~session-store*", "~{session-store*", "&session-store*", "+@all", "-config")
        client.execute_command("ACL", "SETUSER", "bot", "on", ">p:w@1", *rights)
    url = server.url.replace(":correct-horse", "bot:p%3Aw%401")

    async with SessionStore.open(url) as here, SessionStore.open(url) as there:
        chat = await here.session("k")
        await said_and_heard(chat, there)
        await here.delete_session(chat.id)


async def test_who_may_not_tell_others_of_an_append_makes_it_all_the_same(
    own_server: Callable[..., Any],
) -> None:
    server = own_server(ValkeyServer)
    with server.client() as client:
        rights = ("~session-store*", "~{session-store*", "resetchannels", "+@all")
        client.execute_command("ACL", "SETUSER", "mute", "on", ">pw", *rights)
    url = server.url.replace(":correct-horse", "mute:pw")

    async with SessionStore.open(url) as here, SessionStore.open(server.url) as there:
        chat = await here.session("k")
        said = await said_and_heard(chat, there)

        assert await chat.messages() == [said]


async def test_a_master_that_became_a_replica_is_left(own_server: Callable[..., Any]) -> None:
    old, new = own_server(ValkeyServer, masterauth=PASSWORD), own_server(ValkeyServer)
    with new.client() as client:
        client.config_set("masterauth", PASSWORD)
        client.replicaof("127.0.0.1", old.port)
    # Connections that are there stay with the old one, as behind most balancers.
    with Proxy(old.url) as proxy:
        async with opened(proxy.url) as store, opened(proxy.url) as elsewhere:
            chat = await store.session("k")
            await asyncio.gather(*(store.append(chat.id, message(f"m{n}")) for n in range(9)))
            heard = elsewhere.subscribe(chat.id, after=(await chat.messages())[-1].id)
            waiting = asyncio.ensure_future(anext(heard))
            with old.client() as client:
                assert client.wait(1, 20_000) == 1
            with new.client() as client:
                client.execute_command("REPLICAOF NO ONE")
            with old.client() as client:
                client.replicaof("127.0.0.1", new.port)

            proxy.lead_to(new.url)
            await persist(lambda: store.append(chat.id, message("after")))
            await asyncio.gather(*(store.append(chat.id, message(f"n{n}")) for n in range(9)))

            assert (await asyncio.wait_for(waiting, 20)).id == "after"
            await heard.aclose()
            names = [one.id for one in await chat.messages()]
            assert names[9] == "after"
    await judge(new.url, chat.id, names)


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
        ended = store._index._table  # type: ignore[attr-defined]
        # The first step of `delete`, and nothing after it.
        names = ended._names
        await ended._client.run("", scripts.END, names.pair(chat.id), chat.id, names.channel)

        assert await store.has_session(chat.id) is False
        assert await store.get_session_id("k") is None
        assert (await store.list_sessions()).sessions == []
        again = await store.resolve("k")
        assert again != chat.id


class Gone(Exception):
    """The process ended here."""


@pytest.mark.parametrize("step", ["_claim", "_confirm"])
async def test_a_session_whose_maker_was_cut_off_is_none_or_its_keys(
    url: str, prefix: str, bare: Any, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    async def cut(*_: object) -> str:
        raise Gone

    async with SessionStore.open(url) as store:
        with monkeypatch.context() as patch:
            patch.setattr(RedisTable, step, cut)
            with pytest.raises(Gone):
                await store.resolve("k")

        before = await store.get_all_session_ids()
        named = await store.get_session_id("k")
        chat = await store.session("k")
        await chat.append("user", "hello")

        assert before == ([] if named is None else [named])
        assert named in {None, chat.id}
        assert await store.get_all_session_ids() == [chat.id]
        page = await store.list_sessions()
        assert [one.session_id for one in page.sessions] == [chat.id]
        assert (await store.check()).findings == []
        # And nothing stays of it for good.
        monkeypatch.setattr(table, "LEFT_MS", -1)
        await store.get_all_session_ids()
    kept = [key for key in bare.scan_iter(match=f"{{{prefix}:*") if chat.id.encode() not in key]
    assert kept == []
    assert bare.zrange(f"{prefix}:created", 0, -1) == [chat.id.encode()]


async def test_a_maker_whose_session_was_taken_for_left_over_makes_it_again(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    confirm = RedisTable._confirm
    swept: list[str] = []
    async with SessionStore.open(url) as store:

        async def late(itself: RedisTable, session_id: str, key: str) -> bool:
            if not swept:
                swept.append(session_id)
                await itself._take_back(session_id, key, b"{}")
            return await confirm(itself, session_id, key)

        monkeypatch.setattr(RedisTable, "_confirm", late)
        chat = await store.session("k")

        assert swept == [chat.id]
        assert await store.get_session_id("k") == chat.id
        assert await store.get_all_session_ids() == [chat.id]
        await chat.append("user", "hello")


@pytest.mark.parametrize("way", ["add_key", "resolve"])
async def test_a_key_that_is_freed_and_given_at_once_stays_listed(
    url: str, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    async with SessionStore.open(url) as store, SessionStore.open(url) as other:
        chat = await store.session("other")
        await store.resolve("k")
        unlist = RedisTable._unlist_keys

        async def late(itself: RedisTable, keys: Sequence[str]) -> None:
            if way == "add_key":
                await other.add_key("k", chat.id)
            else:
                await other.resolve("k")
            await unlist(itself, keys)

        monkeypatch.setattr(RedisTable, "_unlist_keys", late)
        await store.remove_key("k")

        assert await store.get_session_id("k") is not None
        assert "k" in await store.get_all_keys()


async def test_a_key_that_is_freed_while_it_is_given_stays_listed(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    claim = RedisTable._claim
    async with SessionStore.open(url) as store, SessionStore.open(url) as other:

        async def late(itself: RedisTable, key: str, session_id: str) -> str:
            await other.remove_key(key)
            return await claim(itself, key, session_id)

        monkeypatch.setattr(RedisTable, "_claim", late)
        await store.resolve("k")

        assert await store.get_all_keys() == ["k"]


async def test_a_key_that_was_moved_is_not_also_the_old_sessions(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def cut(*_: object) -> None:
        raise Gone

    async with SessionStore.open(url) as store:
        old, new = await store.resolve("k"), await store.resolve("other")
        with monkeypatch.context() as patch:
            patch.setattr(RedisTable, "_forget", cut)
            with pytest.raises(Gone):
                await store.add_key("k", new)

        assert await store.get_session_keys(old) == []
        assert sorted(await store.get_session_keys(new)) == ["k", "other"]


@pytest.mark.parametrize("query", ["prefix=", "prefix={a}", "prefix=a b", f"prefix={'x' * 65}"])
def test_a_bad_prefix_is_refused_before_anything_is_asked(query: str) -> None:
    with pytest.raises(ConfigError):
        BlockingStore.open(f"redis://:s3cr3t@127.0.0.1:1/0?{query}")


@pytest.mark.parametrize(
    "rest",
    [
        "abc",
        "0/1",
        "0#x",
        "0?foo=bar",
        "0?retry_on_timeout=true",
        "0?socket_timeout=abc",
        "0?decode_responses=true",
        "0?ssl_ca_certs=/etc/hosts",
    ],
)
def test_what_the_client_would_take_for_something_else_is_refused(rest: str) -> None:
    with pytest.raises(ConfigError) as told:
        BlockingStore.open(f"redis://:s3cr3t@127.0.0.1:1/{rest}")

    assert "s3cr3t" not in str(told.value)


def test_an_authority_that_is_not_there_is_a_wrong_url() -> None:
    with pytest.raises(ConfigError, match="no file"):
        BlockingStore.open("rediss://127.0.0.1:1/0?ssl_ca_certs=/no/such.pem")


async def test_a_database_that_the_server_does_not_have_is_a_wrong_url(redis_url: str) -> None:
    with pytest.raises(ConfigError, match="no database of this number"):
        await SessionStore.open(redis_url.replace("/0", "/99999"))


@pytest.mark.parametrize("value", [b"1.2.3", b"", b"0", b"-1", b"abc", None])
async def test_keys_of_something_else_are_told_apart(
    url: str, prefix: str, bare: Any, value: bytes | None
) -> None:
    if value is None:
        bare.hset(f"{prefix}:version", "a", "b")
    else:
        bare.set(f"{prefix}:version", value)

    with pytest.raises(ConfigError, match="belong to something else"):
        await SessionStore.open(url)
    bare.delete(f"{prefix}:version")


async def test_what_speaks_no_redis_is_told_apart() -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(UnavailableError) as told:
            await SessionStore.open(f"redis://:s3cr3t@127.0.0.1:{port}/0")

    assert "s3cr3t" not in str(told.value)


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
