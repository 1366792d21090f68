"""Links that break, servers that die, callers that go away: on each engine with a server.

Nothing that was acknowledged is lost, nothing stands twice, and no caller gets the answer of
another.
"""

import asyncio
import signal
import time
from collections.abc import Callable, Iterator
from itertools import count
from secrets import token_hex
from typing import Any, NamedTuple

import pytest
from faults_kit import judge, message, opened, persist, said, worker, write_some
from servers import PostgresServer, ValkeyServer
from servers.proxy import Proxy, Way

from session_store import (
    AppendUnknownError,
    LeaseLostError,
    SessionStore,
    SessionStoreError,
    UnavailableError,
)
from session_store.engines import postgres, redis
from session_store.store import feed
from session_store.sync import SessionStore as BlockingStore


class Engine(NamedTuple):
    room: Any
    server: Any
    pause: str
    """What says when somebody who waits looks by himself."""


ENGINES = {
    "postgres": Engine(postgres, PostgresServer, "watching.LOOK_SECONDS"),
    "redis": Engine(redis, ValkeyServer, "watching.SUBSCRIBED_SECONDS"),
}
SHARED = {"postgres": "postgres_url", "redis": "redis_url"}


@pytest.fixture(params=ENGINES)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def engine(name: str) -> Engine:
    return ENGINES[name]


@pytest.fixture
def url(request: pytest.FixtureRequest, name: str, engine: Engine) -> Iterator[str]:
    url = engine.room.place_in(request.getfixturevalue(SHARED[name]), token_hex(6))
    yield url
    asyncio.run(engine.room.erase(url))


@pytest.fixture
def proxy(url: str) -> Iterator[Proxy]:
    with Proxy(url) as proxy:
        yield proxy


async def test_an_append_is_one_round_trip(proxy: Proxy) -> None:
    # What is noted of counts goes along once in a while; not here.
    async with opened(proxy.url, index_save_delay_ms=600_000) as store:
        chat = await store.session("k")
        for number in range(3):
            await chat.append("user", f"a {number}")
        proxy.count_anew()

        for number in range(20):
            await chat.append("user", f"b {number}")
        assert proxy.turns == 20

        proxy.count_anew()
        await chat.append_many([{"role": "user", "content": f"c {n}"} for n in range(1_000)])
        assert proxy.turns == 1


async def test_the_last_of_a_long_session_moves_kilobytes(proxy: Proxy) -> None:
    async with opened(proxy.url) as store:
        chat = await store.session("k")
        for part in range(10):
            some = [{"role": "user", "content": f"{part} {n} " * 30} for n in range(1_000)]
            await chat.append_many(some)
    async with opened(proxy.url) as store:
        chat = await store.session("k")
        proxy.count_anew()

        found = await chat.history(limit=20)

        assert [one.content for one in found] == [f"9 {n} " * 30 for n in range(980, 1_000)]
        assert proxy.bytes_passed < 200_000


async def test_a_reply_that_is_dropped_is_settled(proxy: Proxy, url: str) -> None:
    async with opened(proxy.url) as store:
        session_id = await store.resolve("k")
        names = [f"m-{number}" for number in range(12)]
        for number, name in enumerate(names):
            if number % 2:
                proxy.drop_reply(to=f"words of {name}".encode())
            await store.append(session_id, message(name))
            assert not number % 2 or proxy.struck

        messages = await judge(url, session_id, names)

    assert [one.id for one in messages] == names


async def test_a_batch_whose_reply_is_dropped_stands_once(proxy: Proxy, url: str) -> None:
    async with opened(proxy.url) as store:
        session_id = await store.resolve("k")
        names = [f"m-{number}" for number in range(50)]
        proxy.drop_reply(to=b"words of m-49")

        await store.append_many(session_id, [message(name) for name in names])

    assert proxy.struck
    assert [one.id for one in await judge(url, session_id, names)] == names


async def test_a_registration_whose_reply_is_dropped_is_one_session(proxy: Proxy, url: str) -> None:
    async with opened(proxy.url) as store:
        await store.resolve("before")
        for number in range(4):
            proxy.drop_reply(to=b"k-%d" % number)
            made = await persist(lambda number=number: store.resolve(f"k-{number}"))
            assert proxy.struck
            proxy.heal()
            assert await store.resolve(f"k-{number}") == made

    async with opened(url) as store:
        assert sorted(await store.get_all_keys()) == ["before", *(f"k-{n}" for n in range(4))]
        named = {await store.resolve(f"k-{number}") for number in range(4)}
        assert len(named) == 4


@pytest.mark.parametrize("way", ["requests", "replies"])
async def test_an_append_that_is_cut_at_any_byte_stands_once(
    proxy: Proxy, url: str, way: Way
) -> None:
    async with opened(proxy.url) as store:
        session_id = await store.resolve("k")
        await store.append(session_id, message("first"))
        acknowledged = ["first"]
        for number in count():
            name = f"m-{number}"
            proxy.cut(way, after=number * 3 + number % 3)
            await persist(lambda name=name: store.append(session_id, message(name)))
            acknowledged.append(name)
            if not proxy.struck:
                break
        assert len(acknowledged) > 20, "the cut was not where the append is"

    messages = await judge(url, session_id, acknowledged)
    assert [one.id for one in messages] == acknowledged


async def test_a_read_that_is_cut_at_any_byte_is_whole_or_an_error(proxy: Proxy) -> None:
    async with opened(proxy.url) as writer:
        session_id = await writer.resolve("k")
        await writer.append_many(session_id, [message(f"m-{n}") for n in range(3)])
    cut = 0
    async with opened(proxy.url, cache_max_bytes=1) as store:
        for number in count(step=7):
            await persist(lambda: store.get_messages(session_id))
            proxy.cut("replies", after=number)
            try:
                messages = await store.get_messages(session_id)
                assert [one.id for one in messages] == ["m-0", "m-1", "m-2"]
            except UnavailableError:
                pass
            if not proxy.struck:
                break
            cut += 1
    assert cut > 5


async def test_a_link_that_says_nothing_is_given_up_in_time(proxy: Proxy, url: str) -> None:
    async with opened(proxy.url, io_timeout_ms=700) as store:
        session_id = await store.resolve("k")
        await store.append(session_id, message("before"))
        proxy.stall()
        began = time.monotonic()

        with pytest.raises(AppendUnknownError):
            await store.append(session_id, message("lost?"))
        with pytest.raises(UnavailableError):
            await store.get_messages(session_id)
        took = time.monotonic() - began
        proxy.heal()
        await persist(lambda: store.append(session_id, message("lost?")))
        await store.append(session_id, message("after"))

        assert took < 10
        messages = await judge(url, session_id, ["before", "lost?", "after"])
        assert [one.id for one in messages] == ["before", "lost?", "after"]


async def test_a_link_that_is_slow_is_only_slow(proxy: Proxy, url: str) -> None:
    async with opened(proxy.url) as store:
        session_id = await store.resolve("k")
        proxy.slow(0.002)
        names = [f"m-{number}" for number in range(5)]

        for name in names:
            await store.append(session_id, message(name))
        found = await store.get_messages(session_id)

    assert [one.id for one in found] == names
    await judge(url, session_id, names)


async def test_a_caller_that_goes_away_at_any_moment_leaves_nothing_behind(url: str) -> None:
    acknowledged: list[str] = []
    async with opened(url) as store:
        session_id = await store.resolve("k")
        other = await store.resolve("other")
        await store.append(other, message("of the other"))
        for steps in range(120):
            name = f"m-{steps}"
            task = asyncio.create_task(store.append(session_id, message(name)))
            for _ in range(steps // 2):
                await asyncio.sleep(0 if steps % 2 else 0.000_05)
            task.cancel()
            try:
                await task
                acknowledged.append(name)
            except (asyncio.CancelledError, AppendUnknownError):
                pass
            if not steps % 5:
                # Whatever connection it gets: the answers are its own.
                found = await store.get_messages(other)
                assert [one.id for one in found] == ["of the other"]
                assert await store.resolve("k") == session_id
        await store.append(session_id, message("last"))

    assert acknowledged, "none was fast enough"
    assert len(acknowledged) < 120, "none was cancelled"
    await judge(url, session_id, [*acknowledged, "last"])


async def test_a_server_that_is_killed_under_load_loses_nothing(
    engine: Engine, own_server: Callable[..., Any]
) -> None:
    server = own_server(engine.server)
    async with opened(server.url) as store:
        session_id = await store.resolve("k")
    acknowledged: list[list[str]] = [[] for _ in range(4)]
    writers = [
        asyncio.create_task(
            write_some(server.url, session_id, [f"{n}-{m}" for m in range(150)], acknowledged[n])
        )
        for n in range(4)
    ]

    for _ in range(3):
        before = sum(map(len, acknowledged))
        while sum(map(len, acknowledged)) < before + 50 and not all(one.done() for one in writers):
            await asyncio.sleep(0.005)
        await asyncio.to_thread(server.restart)
    await asyncio.gather(*writers)

    messages = await judge(server.url, session_id, [one for some in acknowledged for one in some])
    assert len(messages) == 600
    for number in range(4):
        mine = [one.id for one in messages if one.id.startswith(f"{number}-")]
        assert mine == acknowledged[number], "the order of one writer"


def test_a_stopped_holder_that_goes_on_has_lost_its_lease(url: str) -> None:
    holder = worker("hold", url, "k", "first", 200)
    try:
        assert said(holder) == "locked True"
        holder.send_signal(signal.SIGSTOP)

        with BlockingStore.open(url, lock_timeout_ms=200) as store:
            chat = store.session("k")
            with chat.lock("second", timeout_ms=30_000):
                chat.append("user", "words of second")
            holder.send_signal(signal.SIGCONT)
            assert holder.stdin is not None
            holder.stdin.write("\n")
            holder.stdin.flush()

            assert said(holder) == "lost"
            assert [one.content for one in chat.messages()] == ["words of second"]
    finally:
        holder.kill()
        holder.communicate()


async def test_a_holder_behind_a_dead_link_has_lost_its_lease(proxy: Proxy, url: str) -> None:
    async with opened(proxy.url, lock_timeout_ms=300, io_timeout_ms=1_000) as holder:
        chat = await holder.session("k")
        await chat.append("user", "before")
        await holder.acquire_lock(chat.id, "first")
        proxy.stall()

        async with (
            opened(url, lock_timeout_ms=300) as other,
            other.lock(chat.id, "second", timeout_ms=20_000),
        ):
            await other.append(chat.id, {"role": "user", "content": "of second"})
        proxy.heal()

        with pytest.raises(LeaseLostError):
            await persist(lambda: holder.append(chat.id, {"role": "user", "content": "late"}))
        assert [one.content for one in await chat.messages()] == ["before", "of second"]


async def test_a_subscriber_elsewhere_is_told_at_once_and_misses_nothing(
    proxy: Proxy, url: str
) -> None:
    heard: list[str] = []
    names = [f"m-{number}" for number in range(30)]
    async with opened(url) as store, opened(proxy.url) as elsewhere:
        session_id = await store.resolve("k")

        async def listen() -> None:
            feed = elsewhere.subscribe(session_id)
            while len(heard) < len(names):
                try:
                    async for one in feed:
                        heard.append(one.id)
                        if len(heard) == len(names):
                            return
                except SessionStoreError:
                    after = heard[-1] if heard else None
                    feed = elsewhere.subscribe(session_id, after=after)

        listening = asyncio.create_task(listen())
        for number, name in enumerate(names):
            await store.append(session_id, message(name))
            if number % 10 == 5:
                await asyncio.to_thread(proxy.reset)
            await asyncio.sleep(0.02)
        async with asyncio.timeout(30):
            await listening

    assert heard == names


async def test_a_subscriber_elsewhere_is_woken_by_the_server_alone(
    engine: Engine, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Who waits does not look by himself for an hour.
    monkeypatch.setattr(feed, "WATCHED_S", 3_600)
    monkeypatch.setattr(f"{engine.room.__name__}.{engine.pause}", 7_200)
    async with opened(url) as store, opened(url) as elsewhere:
        session_id = await store.resolve("k")
        await store.append(session_id, message("before"))
        heard = elsewhere.subscribe(session_id)
        assert (await anext(heard)).id == "before"
        for number in range(3):
            waiting = asyncio.ensure_future(anext(heard))
            await asyncio.sleep(0.3)
            await store.append(session_id, message(f"m-{number}"))

            async with asyncio.timeout(20):
                assert (await waiting).id == f"m-{number}"
        await heard.aclose()


async def test_a_wrong_password_is_told_in_time_and_not_repeated(url: str) -> None:
    wrong = url.replace("correct%20horse", "s3cr3t-w0rd").replace("correct-horse", "s3cr3t-w0rd")
    assert wrong != url

    with pytest.raises(SessionStoreError) as raised:
        async with SessionStore.open(wrong, io_timeout_ms=2_000):
            pass

    assert "s3cr3t" not in f"{raised.value!r} {raised.value} {raised.value.__cause__}"


async def test_nobody_there_is_told_in_time(name: str) -> None:
    nowhere = {
        "postgres": "postgresql://u:s3cr3t@127.0.0.1:1/db",
        "redis": "redis://:s3cr3t@127.0.0.1:1/0",
    }[name]

    with pytest.raises(UnavailableError) as raised:
        async with SessionStore.open(nowhere, io_timeout_ms=2_000):
            pass

    assert str(raised.value).startswith("the store is unavailable: ")
    assert "s3cr3t" not in f"{raised.value!r} {raised.value}"


def test_the_blocking_face_works_from_many_threads(url: str) -> None:
    from concurrent.futures import ThreadPoolExecutor

    with BlockingStore.open(url) as store:
        session_id = store.resolve("k")
        with ThreadPoolExecutor(8) as pool:
            made = list(
                pool.map(lambda n: store.append(session_id, message(f"m-{n}")).id, range(80))
            )
        assert sorted(one.id for one in store.get_messages(session_id)) == sorted(made)
