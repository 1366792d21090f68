"""What only a bucket has: parts, marks of what is gone, and calls that are counted in requests."""

import asyncio
from collections import Counter
from collections.abc import AsyncGenerator, Callable, Iterator
from functools import partial
from secrets import token_hex
from typing import Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis.stateful import run_state_machine_as_test

from session_store import SessionStore
from session_store.engines.objects import ObjectFileSystem, erase, open_files, place_in
from session_store.engines.objects.bucket import Bucket, Changed
from session_store.engines.objects.heads import SMALL_BYTES, TAIL_BYTES
from session_store.engines.objects.names import part_name
from session_store.errors import ConfigError, NotFoundError
from session_store.testing.store_suite.ground import Ground
from session_store.testing.store_suite.model import Agreement


@pytest.fixture
def url(s3_url: str) -> Iterator[str]:
    url = place_in(s3_url, token_hex(6))
    yield url
    asyncio.run(erase(url))


@pytest.fixture
async def files(url: str) -> AsyncGenerator[ObjectFileSystem]:
    files = open_files(url, io_timeout_ms=10_000)
    yield files
    await files.close()


@pytest.fixture
async def store(url: str) -> AsyncGenerator[SessionStore]:
    async with SessionStore.open(url) as store:
        yield store


class Requests:
    """Counts what is asked of the service."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.made: Counter[str] = Counter()
        for name, verb in (("_get", "get"), ("_put", "put")):
            monkeypatch.setattr(Bucket, name, self._counting(getattr(Bucket, name), verb))
        listing, deleting = Bucket.list, Bucket.delete

        def listed(bucket: Bucket, *args: Any) -> Any:
            self.made["list"] += 1
            return listing(bucket, *args)

        async def deleted(bucket: Bucket, names: Any) -> None:
            self.made["delete"] += bool(names)
            await deleting(bucket, names)

        monkeypatch.setattr(Bucket, "list", listed)
        monkeypatch.setattr(Bucket, "delete", deleted)

    def _counting(self, call: Callable[..., Any], verb: str) -> Callable[..., Any]:
        async def counted(bucket: Bucket, *args: Any) -> Any:
            self.made[verb] += 1
            return await call(bucket, *args)

        return counted

    async def of(self, call: Any) -> dict[str, int]:
        """Return how many requests of each kind the call makes."""
        self.made.clear()
        await call
        return {verb: number for verb, number in self.made.items() if number}


@pytest.fixture
def requests(monkeypatch: pytest.MonkeyPatch) -> Requests:
    return Requests(monkeypatch)


def user(text: str, **fields: Any) -> dict[str, Any]:
    return {"type": "user", "content": text, **fields}


async def test_each_call_makes_as_many_requests_as_the_docs_say(
    url: str, requests: Requests
) -> None:
    # What is noted of counts goes along once in a while; not here.
    store = SessionStore.open(url, index_save_delay_ms=600_000)
    assert await requests.of(store.init()) == {"get": 1, "put": 5, "delete": 1}
    assert await requests.of(store.resolve("k")) == {"get": 1, "put": 2}
    assert await requests.of(store.resolve("k")) == {"get": 1}
    session = await store.resolve("k")
    await store.append(session, user("first"))

    for number in range(20):
        assert await requests.of(store.append(session, user(f"{number}"))) == {"put": 1}
    many = [user("x" * 200) for _ in range(1000)]
    assert await requests.of(store.append_many(session, many)) == {"put": 1}
    assert await requests.of(store.append(session, user("closes"))) == {"put": 2}
    assert await requests.of(store.append(session, user("next"))) == {"put": 1}
    assert await requests.of(store.get_messages(session)) == {"get": 1}

    await store.close()
    again = SessionStore.open(url, index_save_delay_ms=600_000)
    assert await requests.of(again.init()) == {"get": 1}
    assert await requests.of(again.get_messages(session)) == {"get": 2}
    assert await requests.of(again.list_sessions(sort="created")) == {"list": 1, "get": 1}
    await again.close()


async def test_the_last_messages_of_a_long_session_move_kilobytes(
    url: str, store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    session = await store.resolve("k")
    for _ in range(20):
        await store.append_many(session, [user("x" * 400) for _ in range(1000)])
    await store.append(session, user("last"))
    moved: list[int] = []
    get = Bucket.get

    async def counting(bucket: Bucket, *args: Any, **kwargs: Any) -> Any:
        found = await get(bucket, *args, **kwargs)
        moved.append(len(found.data) if found else 0)
        return found

    monkeypatch.setattr(Bucket, "get", counting)

    async with SessionStore.open(url) as fresh:
        history = await fresh.get_linear_history(session, limit=20)

    assert len(history) == 20
    assert sum(moved) < 300_000


async def objects(files: ObjectFileSystem, prefix: str = "") -> list[str]:
    return [one.name async for some in files._bucket.list(prefix) for one in some]


async def test_a_log_becomes_few_parts_and_nothing_else_is_left(files: ObjectFileSystem) -> None:
    content = b""
    for number in range(120):
        piece = b"%03d" % number * 5_000
        await files.append("a/log", piece, if_size=len(content))
        content += piece

    assert await files.read("a/log") == content
    parts = await objects(files, "p")
    assert len(parts) <= len(content) // SMALL_BYTES + 1
    for start in range(0, len(content), 77_777):
        assert await files.read("a/log", start, start + 50_000) == content[start : start + 50_000]

    await files.delete("a/log")
    assert await objects(files, "p") == []


@pytest.mark.parametrize("how", ["gone", "short"])
async def test_a_part_that_was_lost_hides_nothing_beside_it(
    store: SessionStore, files: ObjectFileSystem, how: str
) -> None:
    session = await store.resolve("k")
    for number in range(30):
        await store.append_many(session, [user(f"{number:02d}" * 20_000) for _ in range(2)])
    before = await store.get_messages(session)
    path = f"{session}/messages.jsonl"
    size = (await files.stat(path)).size
    lost = sorted(await objects(files, "p"))[1]
    if how == "gone":
        await files._bucket.delete([lost])
    else:
        await files._bucket.overwrite(lost, b"short")

    assert len(await files.read(path)) == size
    whole = await files.read(path)
    for start in range(0, size, 99_999):
        assert await files.read(path, start, start + 1000) == whole[start : start + 1000]
    async with SessionStore.open(files._bucket.place.url) as fresh:
        found = await fresh.get_messages(session)
        assert 0 < len(found) < len(before)
        assert {message.id for message in found} < {message.id for message in before}
        assert not (await fresh.check()).ok
        for number in range(60):
            await fresh.append_many(session, [user(f"{number} " * 20_000)])
        assert len(await fresh.get_messages(session)) == len(found) + 60


async def test_a_reader_follows_a_file_whose_parts_become_one(
    url: str, files: ObjectFileSystem, monkeypatch: pytest.MonkeyPatch
) -> None:
    reader = open_files(url, io_timeout_ms=10_000)
    await files.append("a/log", b"1" * TAIL_BYTES)
    await files.append("a/log", b"2" * TAIL_BYTES)
    # Before it reads: what the reader knows names a part that is gone by then.
    assert (await reader.stat("a/log")).size == 2 * TAIL_BYTES
    await files.append("a/log", b"3")

    assert await reader.read("a/log", 0, 2 * TAIL_BYTES) == b"1" * TAIL_BYTES + b"2" * TAIL_BYTES
    await reader.close()


async def test_a_reader_follows_a_file_whose_tail_becomes_a_part(
    url: str, files: ObjectFileSystem
) -> None:
    reader = open_files(url, io_timeout_ms=10_000)
    await files.append("a/log", b"1" * 1_000_000)
    await reader.stat("a/log")
    # By now it is not the newest object that holds what the reader knows to be there.
    await files.append("a/log", b"2")

    assert await reader.read("a/log", 500_000, 600_000) == b"1" * 100_000
    await files.delete("a/log")
    with pytest.raises(NotFoundError):
        await reader.read("a/log", 500_000, 600_000)
    await reader.close()


async def test_of_many_who_close_a_tail_none_leaves_a_part_behind(
    url: str, files: ObjectFileSystem
) -> None:
    writers = [files, *(open_files(url, io_timeout_ms=10_000) for _ in range(3))]

    async def write(writer: ObjectFileSystem) -> None:
        for _ in range(30):
            await writer.append("a/log", b"x" * 4_000)

    await asyncio.gather(*map(write, writers))
    for writer in writers:
        await writer.append("a/log", b"x")

    known = await files._files.look("a/log")
    assert known.head is not None
    named = [part_name("a/log", part.start, part.token) for part in known.head.parts]
    assert sorted(await objects(files, "p")) == sorted(named)
    for writer in writers[1:]:
        await writer.close()


async def test_what_is_gone_leaves_a_few_bytes_that_no_late_writer_can_pass(
    files: ObjectFileSystem,
) -> None:
    await files.append("a/log", b"one")
    known = await files._files.look("a/log")
    await files.delete("a/log")

    assert await objects(files, "f") == ["f/a/log="]
    assert await files.list("a") == await files.list("nothing")
    # As a request would that was sent before and comes now.
    with pytest.raises(Changed):
        await files._bucket.put("f/a/log=", b"late", None)
    with pytest.raises(Changed):
        await files._bucket.put("f/a/log=", b"late", known.version)
    assert not await files.exists("a/log")


async def test_a_delete_that_was_broken_off_is_finished_by_who_meets_it(
    url: str, store: SessionStore, files: ObjectFileSystem
) -> None:
    chat = await store.session("k")
    await chat.append("user", "hello")
    await files._files.end(chat.id)  # the step, and not what follows

    assert not await store.has_session(chat.id)
    with pytest.raises(LookupError):
        await chat.append("user", "late")
    with pytest.raises(NotFoundError):
        await files.append(f"{chat.id}/messages.jsonl", b"late")
    fresh = await store.session("k")

    assert fresh.id != chat.id
    assert await store.get_all_session_ids() == [fresh.id]
    assert [said.content for said in await fresh.messages()] == []


async def test_more_sessions_than_can_be_sorted_by_change_are_listed_by_creation(
    store: SessionStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("session_store.engines.objects.ordering.MOST_SORTED", 3)
    made = [await store.resolve(f"k{number}") for number in range(4)]

    with pytest.raises(ConfigError, match="sort='created'"):
        await store.list_sessions()

    page = await store.list_sessions(sort="created")
    assert [session.session_id for session in page.sessions] == made[::-1]


async def test_sorting_by_change_reads_again_only_what_has_changed(
    url: str, store: SessionStore, requests: Requests
) -> None:
    made = [await store.resolve(f"k{number}") for number in range(5)]
    await store.list_sessions()
    async with SessionStore.open(url) as other:
        await other.update_metadata(made[2], {"user_id": "u"})

    assert await requests.of(store.list_sessions()) == {"list": 1, "get": 1}

    found = {one.session_id: one.user_id for one in (await store.list_sessions()).sessions}
    assert found == dict.fromkeys(made) | {made[2]: "u"}


async def test_what_is_noted_of_an_append_is_written_beside_the_calls(
    url: str, store: SessionStore, requests: Requests, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("session_store.engines.objects.index.NOTED_MS", 50)
    async with SessionStore.open(url) as noting:
        chat = await noting.session("k")
        await chat.append("user", "a")
        for _ in range(3):
            assert await requests.of(chat.append("user", "b")) == {"put": 1}

        for _ in range(400):
            page = await store.list_sessions()
            if page.sessions[0].message_count == 4:
                break
            await asyncio.sleep(0.01)
        else:
            pytest.fail("nothing was written of what was noted")


@pytest.mark.parametrize("stores", [1, 2])
def test_the_own_index_answers_as_the_model_does(s3_url: str, stores: int) -> None:
    with asyncio.Runner() as runner:

        class ThisIndexAgrees(Agreement):
            def __init__(self) -> None:
                self._url = place_in(s3_url, token_hex(6))
                files = open_files(self._url, io_timeout_ms=10_000)
                reopen = partial(open_files, self._url, io_timeout_ms=10_000)
                super().__init__(Ground(files, reopen, runner, whole=True), "async", stores)

            def teardown(self) -> None:
                super().teardown()
                runner.run(erase(self._url))

        run_state_machine_as_test(
            ThisIndexAgrees,
            settings=settings(
                max_examples=6,
                stateful_step_count=25,
                deadline=None,
                suppress_health_check=[HealthCheck.too_slow],
            ),
        )
