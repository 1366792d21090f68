"""Lost answers, failed syncs, small caches: what the store makes of a file system's troubles."""

import asyncio
import threading
import time
from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from session_store import (
    AppendUnknownError,
    InMemoryFileSystem,
    LeaseLostError,
    SessionStore,
    StorageFullError,
    StoreConfig,
    UnavailableError,
)
from session_store.files import FileStats
from session_store.runtime import run
from session_store.sync import Session
from session_store.sync import SessionStore as BlockingStore


class Faulty(InMemoryFileSystem):
    """Files whose next appends or syncs of a log go wrong as the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.faults: list[Any] = []
        self.appends = 0

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        if not path.endswith("messages.jsonl"):
            return await super().append(path, data, if_size=if_size)
        self.appends += 1
        call = lambda: InMemoryFileSystem.append(self, path, data, if_size=if_size)  # noqa: E731
        size: int = await (self.faults.pop(0)(call) if self.faults else call())
        return size

    async def sync(self, path: str) -> None:
        if path.endswith("messages.jsonl") and self.faults:
            await self.faults.pop(0)(lambda: InMemoryFileSystem.sync(self, path))


async def lost_answer(call: Callable[[], Awaitable[Any]]) -> None:
    await call()
    raise UnavailableError("log", "the answer was lost", unknown=True)


async def lost_call(call: Callable[[], Awaitable[Any]]) -> None:
    raise UnavailableError("log", "the call was lost", unknown=True)


async def busy(call: Callable[[], Awaitable[Any]]) -> None:
    raise UnavailableError("log", "busy")


async def full(call: Callable[[], Awaitable[Any]]) -> None:
    raise StorageFullError("log", "no space left")


@pytest.fixture
def files() -> Faulty:
    return Faulty()


@pytest.fixture
def chat(files: Faulty) -> Session:
    store = BlockingStore(files, StoreConfig(io_timeout_ms=100))
    chat = store.session("k")
    chat.append("user", "first")
    return chat


def contents(chat: Session) -> list[object]:
    fresh = BlockingStore(chat.store._engine._files)
    return [message.content for message in fresh.session("k").messages()]


@pytest.mark.parametrize(
    "faults", [[lost_answer], [lost_call], [lost_call, lost_call, lost_answer]]
)
def test_an_append_whose_answer_was_lost_is_there_once(
    chat: Session, files: Faulty, faults: list[Any]
) -> None:
    files.faults = list(faults)

    stored = chat.append("user", "second")

    assert contents(chat) == ["first", "second"]
    assert chat.messages()[-1] == stored
    chat.append("user", "third")
    assert contents(chat) == ["first", "second", "third"]


def test_an_append_that_stays_unanswered_can_be_repeated_with_its_id(
    chat: Session, files: Faulty
) -> None:
    files.faults = [lost_answer] + [lost_call] * 1_000

    with pytest.raises(AppendUnknownError):
        chat.append({"id": "own", "role": "user", "content": "second"})
    files.faults = []
    chat.append({"id": "own", "role": "user", "content": "second"})

    assert contents(chat) == ["first", "second"]


def test_a_disk_that_is_full_by_now_says_nothing_of_the_attempt_before(
    chat: Session, files: Faulty
) -> None:
    files.faults = [lost_answer, full]
    stored = chat.append("user", "second")

    files.faults = [lost_call, full]
    with pytest.raises(AppendUnknownError):
        chat.append({"id": "own", "role": "user", "content": "third"})

    assert chat.messages()[-1] == stored
    assert contents(chat) == ["first", "second"]


@pytest.mark.parametrize(("fault", "error"), [(busy, UnavailableError), (full, StorageFullError)])
def test_an_append_that_surely_failed_is_not_tried_behind_the_callers_back(
    chat: Session, files: Faulty, fault: Any, error: type[Exception]
) -> None:
    files.faults, files.appends = [fault], 0

    with pytest.raises(error):
        chat.append("user", "second")

    assert files.appends == 1
    assert contents(chat) == ["first"]
    chat.append("user", "third")
    assert contents(chat) == ["first", "third"]


def test_a_failed_sync_is_an_unknown_outcome_that_a_repetition_settles(
    chat: Session, files: Faulty
) -> None:
    async def healthy(call: Callable[[], Awaitable[Any]]) -> Any:
        return await call()

    files.faults = [healthy, busy]
    with pytest.raises(AppendUnknownError) as raised:
        chat.append({"id": "own", "role": "user", "content": "second"})

    assert raised.value.message_id == "own"
    files.faults = [busy]  # a hit is acknowledged only after a sync
    with pytest.raises(AppendUnknownError):
        chat.append({"id": "own", "role": "user", "content": "second"})
    assert chat.append({"id": "own", "role": "user", "content": "second"}).id == "own"
    assert contents(chat) == ["first", "second"]


def test_a_log_that_others_keep_changing_is_given_up_after_a_while(
    files: Faulty, chat: Session
) -> None:
    async def overtaken(call: Callable[[], Awaitable[Any]]) -> Any:
        await InMemoryFileSystem.append(files, f"{chat.id}/messages.jsonl", b'{"id":"x"}\n')
        return await call()

    files.faults = [overtaken] * 1_000_000

    with pytest.raises(UnavailableError, match="without a pause"):
        chat.append("user", "never")


def test_a_failure_in_the_background_is_told_by_the_next_append(files: Faulty) -> None:
    store = BlockingStore(files, StoreConfig(durability="interval"))
    chat = store.session("k")
    chat.append("user", "a")
    files.faults = [busy]

    run(store._engine._sync_dirty())

    with pytest.raises(AppendUnknownError):
        chat.append("user", "b")
    chat.append("user", "c")
    store.close()


@pytest.mark.parametrize("budget", [0, 50_000])
def test_a_small_cache_changes_no_answer(budget: int) -> None:
    store = BlockingStore(InMemoryFileSystem(), StoreConfig(cache_max_bytes=budget))
    chats = [store.session(f"k{n}") for n in range(20)]
    for n in range(30):
        for chat in chats:
            chat.append("user", f"{n} {'x' * 100}")

    for chat in chats:
        assert len(chat.messages()) == len(chat.tree()) == len(chat.history()) == 30
        metadata = chat.metadata()
        assert metadata is not None
        assert metadata.message_count == 30
    logs = store._engine._logs
    assert logs._held <= max(budget, 0)
    assert logs._held == sum(log.charged for log in logs._logs.values())


def test_a_held_lock_survives_a_cache_that_is_too_small() -> None:
    files = InMemoryFileSystem()
    store = BlockingStore(files, StoreConfig(cache_max_bytes=0))
    other = BlockingStore(files)
    chat = store.session("k")
    chat.append("user", "a")
    store.acquire_lock(chat.id, "me")
    other.force_release(chat.id)
    store.session("other").append("user", "pushes the log out of the cache")

    with pytest.raises(LeaseLostError):
        chat.append("user", "late")

    assert [message.content for message in other.get_messages(chat.id)] == ["a"]


def test_cancelling_one_append_harms_no_other() -> None:
    async def main() -> None:
        slow = Slow()
        async with SessionStore(slow) as store:
            chat = await store.session("k")
            await chat.append("user", "first")
            slow.delay = 0.01
            tasks = [asyncio.create_task(chat.append("user", f"{n}")) for n in range(20)]
            await asyncio.sleep(0.005)
            for task in tasks[::2]:
                task.cancel()
            results = await asyncio.gather(*tasks, return_exceptions=True)
            acknowledged = {r.id for r in results if not isinstance(r, BaseException)}
            messages = await chat.messages()
        ids = [message.id for message in messages]
        assert len(acknowledged) >= 10
        assert acknowledged <= set(ids)
        assert len(ids) == len(set(ids))
        assert [m.parent_id for m in messages] == [None, *ids[:-1]]

    asyncio.run(main())


class Slow(InMemoryFileSystem):
    """Files whose syncs take a while, so that calls overlap and can be cancelled in them."""

    delay = 0.0

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        await asyncio.sleep(self.delay / 10)
        return await super().append(path, data, if_size=if_size)

    async def sync(self, path: str) -> None:
        await asyncio.sleep(self.delay)


@pytest.mark.parametrize("face", ["blocking", "async"])
def test_a_renewal_that_fails_is_tried_again_and_one_that_is_late_tells_the_body(
    face: str,
) -> None:
    files = Renewing()
    config = StoreConfig(lock_timeout_ms=90)
    if face == "blocking":
        store = BlockingStore(files, config)
        chat = store.session("k")
        with chat.lock():
            files.wait_for_renewals(3)

        def lose_it() -> None:
            with chat.lock():
                BlockingStore(files).force_release(chat.id)
                files.wait_for_renewals(1)

        with pytest.raises(LeaseLostError):
            lose_it()
    else:
        asyncio.run(_hold(files, config))


async def _hold(files: "Renewing", config: StoreConfig) -> None:
    store = SessionStore(files, config)
    chat = await store.session("k")
    async with chat.lock():
        await asyncio.to_thread(files.wait_for_renewals, 3)

    async def lose_it() -> None:
        async with chat.lock():
            await SessionStore(files).force_release(chat.id)
            await asyncio.to_thread(files.wait_for_renewals, 1)

    with pytest.raises(LeaseLostError):
        await lose_it()


class Renewing(InMemoryFileSystem):
    """Files that count how often a lock is looked at, and refuse every other time."""

    def __init__(self) -> None:
        super().__init__()
        self.looked = threading.Semaphore(0)
        self.refuse = False

    def wait_for_renewals(self, count: int) -> None:
        while self.looked.acquire(blocking=False):
            pass
        self.refuse = True
        for _ in range(count):
            assert self.looked.acquire(timeout=30)
        self.refuse = False

    async def stat(self, path: str) -> FileStats:
        if path.endswith("lock.json"):
            self.looked.release()
            if self.refuse:
                self.refuse = False
                raise UnavailableError(path, "for once")
        return await super().stat(path)


def test_a_holder_that_was_stopped_for_long_in_an_append_learns_that_its_lease_is_lost() -> None:
    files = Faulty()
    store = BlockingStore(files, StoreConfig(io_timeout_ms=1))
    chat = store.session("k")
    chat.append("user", "a")
    store.acquire_lock(chat.id, "me")

    async def stopped(call: Callable[[], Awaitable[Any]]) -> Any:
        BlockingStore(files).force_release(chat.id)
        since = time.monotonic()
        while time.monotonic() < since + 0.002:
            pass
        return await call()

    files.faults = [stopped]

    with pytest.raises(LeaseLostError):
        chat.append("user", "late")


class Ending(InMemoryFileSystem):
    """Files that cannot be closed."""

    async def close(self) -> None:
        raise UnavailableError("log", "the server is gone")


@pytest.mark.parametrize("opened", [SessionStore, BlockingStore])
async def test_an_end_that_fails_does_not_hide_why_it_ends(opened: Any) -> None:
    async def use(error: Exception | None) -> None:
        if opened is SessionStore:
            async with SessionStore(Ending()):
                if error:
                    raise error
        else:
            with BlockingStore(Ending()):
                if error:
                    raise error

    with pytest.raises(UnavailableError, match="the server is gone"):
        await use(None)
    with pytest.raises(KeyError) as raised:
        await use(KeyError("mine"))
    assert raised.value.__notes__ == [
        "Closing the store failed, too: 'log' is unavailable: the server is gone"
    ]


class Watched(Faulty):
    """Of which it is known what was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        self.asked.append(f"append {path.partition('/')[2]}")
        return await super().append(path, data, if_size=if_size)

    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        self.asked.append(f"read {path.partition('/')[2]}")
        return await super().read(path, start, end)


@pytest.mark.parametrize("many", [False, True])
def test_an_append_to_a_known_log_is_one_call_and_what_comes_between_is_read_first(
    many: bool,
) -> None:
    files = Watched()
    store = BlockingStore(files, StoreConfig(durability="os"))
    chat = store.session("k")
    chat.append("user", "first")

    def say(content: str) -> list[object]:
        files.asked.clear()
        one = {"role": "user", "content": content}
        chat.append_many([one, one]) if many else chat.append(one)
        return [asked for asked in files.asked if asked.endswith("messages.jsonl")]

    alone = say("second")
    fresh = BlockingStore(files, StoreConfig(durability="os"))
    other = fresh.append(chat.id, {"role": "user", "content": "in between"})
    beside = say("third")
    said = chat.messages()

    assert alone == ["append messages.jsonl"]
    assert beside == ["append messages.jsonl", "read messages.jsonl", "append messages.jsonl"]
    place = said.index(other)
    assert said[place + 1].parent_id == other.id
    assert [one.parent_id for one in said] == [None, *(one.id for one in said[:-1])]
