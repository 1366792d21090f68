"""The async face: everything a handle does, and what only an event loop does beside it."""

import asyncio
from pathlib import Path

import pytest

from session_store import InMemoryFileSystem, LockTimeoutError, SessionStore, StoreConfig
from session_store.jsonl import close_line
from session_store.model import encode_message
from session_store.store.records import control_record


async def test_a_store_can_be_awaited_entered_or_just_used(tmp_path: Path) -> None:
    store = await SessionStore.open(tmp_path)
    await (await store.session("k")).append("user", "a")
    await store.close()

    async with SessionStore.open(str(tmp_path)) as store:
        assert [m.content for m in await (await store.session("k")).messages()] == ["a"]

    store = SessionStore.open(f"file:{tmp_path}")
    assert await store.get_all_keys() == ["k"]
    await store.close()


async def test_a_handle_does_all_that_the_store_does(tmp_path: Path) -> None:
    async with SessionStore.open(tmp_path) as store:
        chat = await store.session("k")
        first = await chat.append("user", "q", metadata={"n": 1})
        second, third = await chat.append_many(
            [{"role": "assistant", "content": "a"}, {"role": "user", "content": "b"}]
        )
        await chat.create_branch("old", first)
        other = await chat.append(second, parent=first, id="other", content="c")

        assert repr(chat) == f"Session(id={chat.id!r}, key='k')"
        assert await chat.head() == other.id == "other"
        assert [m.id for m in await chat.children(first)] == [second.id, "other"]
        assert [m.id for m in await chat.tree(second)] == [third.id]
        assert [m.id for m in await chat.history(third, limit=2)] == [second.id, third.id]
        assert [m.content for m in await chat.context()] == ["q", "c"]
        assert [branch.name for branch in await chat.branches()] == ["old"]
        assert await chat.switch_to_branch("old") == first.id
        assert (await chat.branch("old")) is not None
        await chat.delete_branch("old")
        assert await chat.branch("old") is None
        assert (await chat.update_metadata(user_id="u")).user_id == "u"
        metadata = await chat.metadata()
        assert metadata is not None
        assert (metadata.user_id, metadata.message_count) == ("u", 4)
        async with chat.lock("me"):
            assert await store.is_locked(chat.id)
        assert await chat.with_lock(None, chat.head) == first.id
        await chat.reset()
        assert len(await chat.messages(include_reset=True)) == 4
        streamed = [m async for m in store.stream_messages(chat.id, include_reset=True)]
        assert streamed == await chat.messages(include_reset=True)
        await chat.delete()
        assert await chat.metadata() is None


async def test_a_lock_that_stays_taken_times_out_and_names_its_holder(tmp_path: Path) -> None:
    async with SessionStore.open(tmp_path) as store, SessionStore.open(tmp_path) as other:
        chat = await store.session("k")
        await chat.append("user", "a")
        await other.acquire_lock(chat.id, "them")

        with pytest.raises(LockTimeoutError) as raised:
            await chat.with_lock("me", chat.head, timeout_ms=30)

        assert (raised.value.owner, raised.value.timeout_ms) == ("them", 30)


async def test_locks_that_are_held_are_given_up_on_close(tmp_path: Path) -> None:
    store = await SessionStore.open(tmp_path)
    chat = await store.session("k")
    await chat.append("user", "a")
    await store.acquire_lock(chat.id, "me")

    await store.close()

    async with SessionStore.open(tmp_path) as other:
        assert not await other.is_locked(chat.id)


async def test_interval_mode_syncs_in_the_background() -> None:
    synced = asyncio.Event()

    class Noticing(InMemoryFileSystem):
        async def sync(self, path: str) -> None:
            if path.endswith("messages.jsonl"):
                synced.set()

    config = StoreConfig(durability="interval", sync_interval_ms=5)
    async with SessionStore(Noticing(), config) as store:
        await (await store.session("k")).append("user", "a")

        await asyncio.wait_for(synced.wait(), 30)


async def test_subscribers_hear_every_message_of_other_tasks_in_order(tmp_path: Path) -> None:
    async with SessionStore.open(tmp_path, durability="os") as store:
        chat = await store.session("k")
        first = await chat.append("user", "first")

        async def listen() -> list[object]:
            heard: list[object] = []
            async for message in chat.subscribe(after=first, durable=True):
                heard.append(message.content)
                if len(heard) == 30:
                    break
            return heard

        listeners = [asyncio.create_task(listen()) for _ in range(3)]
        for n in range(30):
            await chat.append("user", f"{n}")
            if n % 10 == 0:
                await chat.create_branch(f"b{n}")
                await chat.switch_to_branch(f"b{n}")

        for heard in await asyncio.wait_for(asyncio.gather(*listeners), 60):
            assert heard == [f"{n}" for n in range(30)]


async def test_a_subscriber_is_told_of_changes_by_files_that_can_tell() -> None:
    class Telling(InMemoryFileSystem):
        def __init__(self) -> None:
            super().__init__()
            self.grown = asyncio.Event()
            self.asked = 0

        async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
            size = await super().append(path, data, if_size=if_size)
            self.grown.set()
            return size

        async def changed(self, path: str, size: int, timeout: float) -> None:
            self.asked += 1
            self.grown.clear()
            if (await self.stat(path)).size == size:
                await asyncio.wait_for(self.grown.wait(), 30)

    files = Telling()
    async with SessionStore(files) as store:
        chat = await store.session("k")
        await chat.append("user", "a")
        feed = chat.subscribe()
        assert (await anext(feed)).content == "a"

        waiting = asyncio.ensure_future(anext(feed))
        await asyncio.sleep(0)
        await chat.append("user", "b")

        assert (await waiting).content == "b"
        assert files.asked >= 1
        await feed.aclose()


async def test_a_subscriber_goes_on_behind_a_tail_that_was_sealed(tmp_path: Path) -> None:
    async with SessionStore.open(tmp_path, durability="os") as store:
        chat = await store.session("k")
        await chat.append("user", "a")
        log = tmp_path / chat.id / "messages.jsonl"
        size = log.stat().st_size
        feed = chat.subscribe()
        assert (await anext(feed)).content == "a"

        # A reader may see the line feed of a seal's write before it sees the seal.
        torn = log.read_bytes().replace(b'"a"', b'"torn"')[:-1]
        torn = close_line(torn[: torn.index(b',"crc"')] + b"}")[:-1]
        with log.open("ab") as file:
            file.write(torn + b"\n")
        assert (await anext(feed)).content == "torn"
        seal = control_record("seal", 1, "seal", offset=size, length=len(torn))
        with log.open("ab") as file:
            file.write(close_line(encode_message(seal)))
        await chat.append("user", "b")

        assert (await anext(feed)).content == "b"
        assert [m.content for m in await chat.messages()] == ["a", "b"]
        await feed.aclose()


async def test_a_subscriber_reads_a_log_that_began_anew_from_its_start(tmp_path: Path) -> None:
    async with SessionStore.open(tmp_path, durability="os") as store:
        chat = await store.session("k")
        await chat.append_many([{"role": "user", "content": "long " * 20}] * 3)
        feed = chat.subscribe()
        for _ in range(3):
            await anext(feed)

        (tmp_path / chat.id / "messages.jsonl").write_bytes(
            b'{"id":"new","parentId":null,"type":"user","timestamp":1,"content":"anew"}\n'
        )

        assert (await anext(feed)).content == "anew"
        await feed.aclose()
