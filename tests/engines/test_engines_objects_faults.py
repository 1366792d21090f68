"""A bucket behind a network that fails: nothing acknowledged is lost, nothing is there twice."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncGenerator, Callable, Iterator
from contextlib import asynccontextmanager
from itertools import count
from secrets import token_hex
from typing import Any

import pytest
from servers import SeaweedServer
from servers.proxy import Proxy, Way

from session_store import SessionStore
from session_store.engines.objects import (
    ObjectFileSystem,
    bucket,
    heads,
    open_files,
    place_in,
)
from session_store.engines.objects.tries import Tries
from session_store.errors import (
    AppendUnknownError,
    ConflictError,
    SessionNotFoundError,
    SessionStoreError,
    UnavailableError,
)

PUT = b"PUT /"
# `every` cuts at every byte; else at some, which takes a few seconds.
CUTS = 1 if os.environ.get("SESSION_STORE_TEST_CUTS") == "every" else 61


@pytest.fixture
def proxy(s3_url: str) -> Iterator[Proxy]:
    with Proxy(place_in(s3_url, token_hex(6))) as proxy:
        yield proxy


@asynccontextmanager
async def files_at(url: str, io_timeout_ms: int = 10_000) -> AsyncGenerator[ObjectFileSystem]:
    files = open_files(url, io_timeout_ms=io_timeout_ms)
    try:
        yield files
    finally:
        await files.close()


async def said(store: SessionStore, session: str) -> list[str]:
    return [str(message.content) for message in await store.get_messages(session)]


async def test_a_lost_answer_is_settled_by_a_look(proxy: Proxy) -> None:
    async with files_at(proxy.url) as files:
        await files.append("a/log", b"one", if_size=0)
        version = (await files.write("a/file", b"1")).version

        proxy.drop_reply(PUT)
        assert await files.append("a/log", b"two", if_size=3) == 6
        assert proxy.struck
        proxy.drop_reply(PUT)
        assert await files.append("a/log", b"three") == 11
        assert proxy.struck
        proxy.drop_reply(PUT)
        version = (await files.write("a/file", b"2", if_version=version)).version
        assert proxy.struck
        proxy.drop_reply(PUT)
        await files.delete("a/file", if_version=version)
        assert proxy.struck

        assert await files.read("a/log") == b"onetwothree"
        assert not await files.exists("a/file")


async def test_without_a_nonce_a_lost_answer_is_never_settled(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Tries, "done", lambda tries, now: False)
    async with files_at(proxy.url) as files:
        await files.append("a/log", b"one", if_size=0)
        proxy.drop_reply(PUT)

        with pytest.raises(ConflictError):
            await files.append("a/log", b"two", if_size=3)


async def test_an_answer_that_was_lost_among_others_is_an_unknown_outcome(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with files_at(proxy.url) as files, files_at(proxy.url) as other:
        await files.append("a/log", b"one")
        look = files._files.look

        async def look_too_late(path: str) -> Any:
            await other.append(path, b"other")
            return await look(path)

        monkeypatch.setattr(files._files, "look", look_too_late)
        proxy.drop_reply(PUT)

        with pytest.raises(UnavailableError) as caught:
            await files.append("a/log", b"two")

        assert caught.value.unknown
        assert await other.read("a/log") == b"onetwoother"


async def test_a_client_that_tries_again_by_itself_makes_no_conflict_with_itself(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_client = bucket._open
    monkeypatch.setattr(bucket, "_open", lambda place, seconds, _: open_client(place, seconds, 3))
    async with files_at(proxy.url) as files:
        await files.append("a/log", b"one", if_size=0)
        proxy.drop_reply(PUT)

        assert await files.append("a/log", b"two", if_size=3) == 6
        assert proxy.struck


async def test_a_request_that_arrives_twice_is_no_conflict_with_itself(
    s3_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put = bucket.Bucket._put
    again: list[bool] = []

    async def put_twice(self: bucket.Bucket, name: str, data: bytes, mode: Any) -> Any:
        version = await put(self, name, data, mode)
        return await put(self, name, data, mode) if again and again.pop() else version

    async def twice(call: Any) -> Any:
        again[:] = [True]
        answer = await call
        assert not again
        return answer

    monkeypatch.setattr(bucket.Bucket, "_put", put_twice)
    async with SessionStore.open(place_in(s3_url, token_hex(6))) as store:
        await store.init()
        session = await twice(store.resolve("k"))
        for number in range(4):
            await twice(store.append(session, {"type": "user", "content": f"{number}" * 20_000}))
        await twice(store.update_metadata(session, {"user_id": "u"}))
        await twice(store.add_key("second", session))

        assert await twice(store.remove_key("second")) is True
        assert await store.get_session_keys(session) == ["k"]
        assert [text[0] for text in await said(store, session)] == list("0123")
        await twice(store.delete_session(session))
        assert not await store.has_key("k")


@pytest.mark.parametrize("to", [PUT, b"/branches_", b"/lock_", b"POST /", b"/i/k/k"])
async def test_a_delete_settles_each_answer_that_is_lost(proxy: Proxy, to: bytes) -> None:
    async with SessionStore.open(proxy.url) as store:
        chat = await store.session("k")
        for text in "ab":
            await chat.append("user", text * 40_000)
        await chat.create_branch("one")
        proxy.drop_reply(to)

        await store.delete_session(chat.id)

        assert proxy.struck
        assert not await store.has_key("k")
        assert await store.get_all_session_ids() == []


async def test_every_call_of_a_store_settles_a_lost_answer(proxy: Proxy) -> None:
    async with SessionStore.open(proxy.url) as store:
        session = await store.resolve("warm")
        await store.append(session, {"type": "user", "content": "a"})
        await store.get_messages(session)

        async def lost(call: Any) -> Any:
            proxy.drop_reply(PUT)
            answer = await call
            assert proxy.struck
            return answer

        message = await lost(store.append(session, {"type": "user", "content": "b"}))
        await lost(store.append_many(session, [{"type": "user", "content": c} for c in "cd"]))
        await lost(store.create_branch(session, "one", message.id))
        await lost(store.switch_to_branch(session, "one"))
        await lost(store.reset_session(session))
        await lost(store.append(session, {"type": "user", "content": "e"}))
        await lost(store.update_metadata(session, {"user_id": "u"}))
        await lost(store.add_key("second", session))
        made = await lost(store.resolve("third"))
        assert await lost(store.remove_key("second")) is True
        brief = await store.resolve("brief")
        await lost(store.delete_session(brief))
        with pytest.raises(SessionNotFoundError):
            await store.append(brief, {"type": "user", "content": "late"})

        found = await store.get_messages(session, include_reset=True)
        assert [message.content for message in found] == list("abcde")
        assert await store.get_session_keys(session) == ["warm"]
        assert await store.resolve("third") == made
        assert sorted(await store.get_all_session_ids()) == sorted([session, made])
        metadata = await store.get_metadata(session)
        assert metadata is not None and metadata.user_id == "u"


@pytest.mark.parametrize("way", ["requests", "replies"])
async def test_a_connection_may_be_cut_at_any_byte(proxy: Proxy, way: Way) -> None:
    async with SessionStore.open(proxy.url) as store:
        session = await store.resolve("k")
        acknowledged: list[str] = []
        for after in count(0, CUTS):
            await store.append(session, {"type": "user", "content": "between"})
            proxy.cut(way, after)
            text = f"{way} {after}"
            await store.append(session, {"type": "user", "content": text})
            acknowledged.append(text)
            if not proxy.struck:
                break
        proxy.heal()

        assert len(acknowledged) > 3
        found = await said(store, session)
        assert [text for text in found if text != "between"] == acknowledged


async def test_a_link_that_is_slow_only_takes_longer(proxy: Proxy) -> None:
    async with SessionStore.open(proxy.url) as store:
        session = await store.resolve("k")
        proxy.slow(0.002)

        many = [{"type": "user", "content": f"{number}" * 1000} for number in range(40)]
        await store.append_many(session, many)

        proxy.heal()
        assert await said(store, session) == [each["content"] for each in many]


async def test_a_link_too_slow_for_a_large_part_carries_small_ones(
    proxy: Proxy, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heads, "SMALL_BYTES", 1)
    monkeypatch.setattr(heads, "LARGE_BYTES", 1 << 20)
    async with files_at(proxy.url) as files:
        size = 0
        while size < 1 << 20:
            size = await files.append("a/log", b"x" * heads.TAIL_BYTES, if_size=size)
    async with files_at(proxy.url, io_timeout_ms=3000) as files:
        proxy.slow(0.003)  # three seconds for all of it, a tenth of one for the tail

        for _ in range(3):
            size = await files.append("a/log", b"y" * heads.TAIL_BYTES, if_size=size)

        proxy.heal()
        known = await files._files.look("a/log")
        assert known.head is not None
        assert len(known.head.parts) > 30
        assert await files.read("a/log", size - heads.TAIL_BYTES) == b"y" * heads.TAIL_BYTES


@pytest.mark.parametrize("way", ["requests", "replies"])
async def test_who_gets_no_answer_is_told_so_in_time(proxy: Proxy, way: Way) -> None:
    async with files_at(proxy.url, io_timeout_ms=300) as files:
        await files.append("a/log", b"one")
        proxy.stall(way)

        with pytest.raises(UnavailableError, match=r"no answer within 0\.3 s") as caught:
            await files.append("a/log", b"two", if_size=3)
        assert caught.value.unknown
        for call in (files.read("a/log"), files.stat("a/log"), files.list("a")):
            with pytest.raises(UnavailableError) as caught:
                await call
            assert not caught.value.unknown

        proxy.heal()
        proxy.reset()
        assert await files.read("a/log") in {b"one", b"onetwo"}


async def test_a_store_says_that_it_does_not_know(proxy: Proxy) -> None:
    async with SessionStore.open(proxy.url, io_timeout_ms=300) as store:
        session = await store.resolve("k")
        await store.append(session, {"type": "user", "content": "a"})
        proxy.stall("replies")

        with pytest.raises(AppendUnknownError):
            await store.append(session, {"id": "x", "type": "user", "content": "b"})

        proxy.heal()
        proxy.reset()
        await store.append(session, {"id": "x", "type": "user", "content": "b"})
        assert await said(store, session) == ["a", "b"]


async def test_a_cancelled_call_leaves_no_answer_for_the_next(proxy: Proxy) -> None:
    async with SessionStore.open(proxy.url) as store:
        session = await store.resolve("k")
        for turns in range(0, 60, 3):
            task = asyncio.ensure_future(store.resolve(f"new {turns}"))
            for _ in range(turns):
                await asyncio.sleep(0)
            task.cancel()
            await asyncio.wait([task])

            assert await store.get_session_id("k") == session
            made = await store.resolve(f"new {turns}")
            assert await store.get_session_keys(made) == [f"new {turns}"]
            assert await store.get_session_id(f"new {turns}") == made


async def test_a_service_that_is_killed_loses_nothing_it_answered(
    own_server: Callable[..., Any],
) -> None:
    server = own_server(SeaweedServer)
    acknowledged: dict[str, list[str]] = {}
    stopping = asyncio.Event()

    async def write(store: SessionStore, key: str) -> None:
        session = await store.resolve(key)
        done = acknowledged.setdefault(session, [])
        for number in count():
            text = f"{key} {number}"
            while True:
                try:
                    await store.append(session, {"id": text, "type": "user", "content": text})
                except SessionStoreError as error:
                    assert error.retryable, error
                else:
                    break
            done.append(text)
            if stopping.is_set():
                return

    async with SessionStore.open(server.url) as store:
        writers = [asyncio.ensure_future(write(store, f"k{number}")) for number in range(4)]
        for _ in range(2):
            await asyncio.sleep(1)
            await asyncio.to_thread(server.restart)
        stopping.set()
        await asyncio.gather(*writers)

    async with SessionStore.open(server.url) as store:
        assert min(map(len, acknowledged.values())) > 10
        for session, texts in acknowledged.items():
            assert await said(store, session) == texts
        assert (await store.check()).ok


HOLDER = """
import asyncio, sys
from session_store import SessionStore
from session_store.errors import LeaseLostError

async def hold(url):
    async with SessionStore.open(url, lock_timeout_ms=1000) as store:
        session = await store.resolve("k")
        await store.acquire_lock(session, "holder")
        await store.append(session, {"type": "user", "content": "mine"})
        print("held", flush=True)
        while True:
            sys.stdin.readline()
            try:
                await store.append(session, {"type": "user", "content": "late"})
                print("appended", flush=True)
            except LeaseLostError:
                print("lost", flush=True)
                return

asyncio.run(hold(sys.argv[1]))
"""


async def test_a_stopped_holder_of_a_lock_writes_nothing_once_it_was_taken(proxy: Proxy) -> None:
    url = proxy.url
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLDER, url],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        bufsize=1,
    )
    assert holder.stdin is not None and holder.stdout is not None
    try:
        assert await asyncio.to_thread(holder.stdout.readline) == "held\n"
        holder.stdin.write("\n")
        assert await asyncio.to_thread(holder.stdout.readline) == "appended\n"
        os.kill(holder.pid, signal.SIGSTOP)

        async with SessionStore.open(url, lock_timeout_ms=1000) as store:
            session = await store.resolve("k")
            async with store.lock(session):
                await store.append(session, {"type": "user", "content": "taken"})
                os.kill(holder.pid, signal.SIGCONT)
                holder.stdin.write("\n")
                assert await asyncio.to_thread(holder.stdout.readline) == "lost\n"
            assert await said(store, session) == ["mine", "late", "taken"]
    finally:
        holder.kill()
        holder.wait()
        holder.stdin.close()
        holder.stdout.close()
