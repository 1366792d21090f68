"""Many writers: processes, threads and tasks on one folder."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from session_store import LeaseLostError, SessionNotFoundError, SessionStore
from session_store.sync import SessionStore as BlockingStore

WORKER = Path(__file__).with_name("worker.py")
Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return tmp_path / "sessions"


@pytest.fixture
def start(root: Path) -> Iterator[Start]:
    """Start a worker process on the folder; whatever still runs at the end is killed."""
    running: list[subprocess.Popen[str]] = []

    def start_one(*arguments: object) -> "subprocess.Popen[str]":
        task, key, *rest = map(str, arguments)
        command = [sys.executable, str(WORKER), task, str(root), key, *rest]
        process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        running.append(process)
        return process

    yield start_one
    for process in running:
        if process.poll() is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
        process.communicate()


def said(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    return process.stdout.readline().strip()


def finish(process: "subprocess.Popen[str]") -> list[str]:
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0
    return out.splitlines()


def test_eight_processes_that_resolve_one_key_share_one_session_and_lose_nothing(
    start: Start, root: Path
) -> None:
    workers = [start("append", "telegram:1", f"w{n}", 300) for n in range(8)]

    outputs = [finish(worker) for worker in workers]

    sessions = {lines[0] for lines in outputs}
    assert len(sessions) == 1
    with BlockingStore.open(root) as store:
        chat = store.session("telegram:1")
        messages = chat.messages()
        ids = [message.id for message in messages]
        metadata = chat.metadata()
        report = store.check()
    assert len(ids) == len(set(ids)) == 2_400
    for n, lines in enumerate(outputs):
        acknowledged = [line.split()[1] for line in lines[1:]]
        mine = [m for m in messages if str(m.content).startswith(f"w{n}-")]
        assert [m.id for m in mine] == acknowledged
        assert [m.content for m in mine] == [f"w{n}-{k}" for k in range(300)]
    assert [m.parent_id for m in messages] == [None, *ids[:-1]], "implicit appends form a chain"
    assert metadata is not None
    assert metadata.message_count == 2_400
    assert report.findings == []


def test_threads_over_one_blocking_store_lose_nothing(root: Path) -> None:
    with BlockingStore.open(root) as store:

        def work(tag: int) -> None:
            chat = store.session("k")
            for n in range(100):
                chat.append("user", f"{tag}-{n}")

        threads = [threading.Thread(target=work, args=(tag,)) for tag in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        messages = store.session("k").messages()
        assert len(store.get_all_session_ids()) == 1

    for tag in range(8):
        mine = [m.content for m in messages if str(m.content).startswith(f"{tag}-")]
        assert mine == [f"{tag}-{n}" for n in range(100)]
    assert [m.parent_id for m in messages] == [None, *(m.id for m in messages[:-1])]


def test_tasks_over_one_async_store_lose_nothing(root: Path) -> None:
    async def main() -> None:
        async with SessionStore.open(root) as store:

            async def work(tag: int) -> None:
                chat = await store.session("k")
                for n in range(50):
                    await chat.append("user", f"{tag}-{n}")

            await asyncio.gather(*(work(tag) for tag in range(16)))
            messages = await (await store.session("k")).messages()
            assert len(await store.get_all_session_ids()) == 1
        assert len({m.id for m in messages}) == 800
        for tag in range(16):
            mine = [m.content for m in messages if str(m.content).startswith(f"{tag}-")]
            assert mine == [f"{tag}-{n}" for n in range(50)]

    asyncio.run(main())


def test_a_killed_process_loses_nothing_it_acknowledged(start: Start, root: Path) -> None:
    for round_ in range(5):
        worker = start("append", "k", f"r{round_}", 1_000_000)
        acknowledged: list[str] = []
        while len(acknowledged) < 60:
            line = said(worker)
            if line.startswith("acknowledged"):
                acknowledged.append(line.split()[1])
        worker.kill()
        # Not communicate(): it would pass over what readline() has read ahead.
        assert worker.stdout is not None
        rest = worker.stdout.read()
        acknowledged += [line.split()[1] for line in rest.splitlines() if len(line) == 49]

        with BlockingStore.open(root) as store:
            chat = store.session("k")
            last = chat.append("user", "at once")
            messages = chat.messages()
            report = store.check()

        ids = [message.id for message in messages]
        assert set(acknowledged) <= set(ids)
        assert ids[-1] == last.id
        # What came last may have been written and not acknowledged: one line at the most.
        mine = [m for m in messages if str(m.content).startswith(f"r{round_}-")]
        assert len(acknowledged) <= len(mine) <= len(acknowledged) + 1
        assert report.ok


def test_a_delete_beside_appends_loses_no_acknowledged_message_silently(
    start: Start, root: Path
) -> None:
    workers = [start("append_until_deleted", "k", f"w{n}") for n in range(3)]
    for worker in workers:
        assert said(worker).startswith("session")
        for _ in range(10):
            assert said(worker).startswith("acknowledged")

    with BlockingStore.open(root) as store:
        session_id = store.resolve("k")
        store.delete_session(session_id)

        for worker in workers:
            assert finish(worker)[-1] == "deleted"
        assert not (root / session_id).exists()
        with pytest.raises(SessionNotFoundError):
            store.append(session_id, {"role": "user", "content": "x"})
        assert not store.has_session(session_id)
    with BlockingStore.open(root) as store:
        assert store.get_all_session_ids() == []
        assert store.check().findings == []
        assert store.resolve("k") != session_id


def test_the_second_process_waits_for_the_lock_and_nobody_works_in_between(
    start: Start, root: Path
) -> None:
    workers = [start("work_under_lock", "k", f"w{n}", 15) for n in range(3)]

    for worker in workers:
        assert finish(worker) == ["done"]

    with BlockingStore.open(root) as store:
        messages = store.session("k").messages()
    assert [m.metadata and m.metadata["seen"] for m in messages] == list(range(45))


def test_a_stopped_holder_that_goes_on_has_lost_its_lease(start: Start, root: Path) -> None:
    holder = start("hold", "k", "first", 200)
    assert said(holder) == "locked True"
    holder.send_signal(signal.SIGSTOP)

    with BlockingStore.open(root, lock_timeout_ms=200) as store:
        chat = store.session("k")
        with chat.lock("second", timeout_ms=30_000):
            chat.append("user", "words of second")
        assert not store.is_locked(chat.id)
        holder.send_signal(signal.SIGCONT)
        assert holder.stdin is not None
        holder.stdin.write("\n")
        holder.stdin.flush()

        assert said(holder) == "lost"
        assert [m.content for m in chat.messages()] == ["words of second"]


def test_a_holder_whose_lock_was_taken_by_force_is_refused(root: Path) -> None:
    with BlockingStore.open(root) as holder, BlockingStore.open(root) as other:
        chat = holder.session("k")
        chat.append("user", "before")
        holder.acquire_lock(chat.id, "first")
        chat.append("user", "under the lock")

        other.force_release(chat.id)

        refused: list[Callable[[], object]] = [
            lambda: chat.append("user", "late"),
            lambda: chat.create_branch("late"),
            lambda: chat.update_metadata(user_id="late"),
            chat.reset,
            chat.delete,
        ]
        for call in refused:
            with pytest.raises(LeaseLostError):
                call()
        assert [m.content for m in other.get_messages(chat.id)] == ["before", "under the lock"]


def test_a_plain_append_of_another_does_not_disturb_the_holder(root: Path) -> None:
    with BlockingStore.open(root) as holder, BlockingStore.open(root) as other:
        chat = holder.session("k")
        with chat.lock():
            chat.append("user", "1")
            other.append(chat.id, {"role": "user", "content": "2"})
            last = chat.append("user", "3")

        messages = chat.messages()
        assert [m.content for m in messages] == ["1", "2", "3"]
        assert last.parent_id == messages[1].id


def test_a_forked_child_holds_no_lock_and_writes_on_its_own(root: Path) -> None:
    with BlockingStore.open(root) as store:
        chat = store.session("k")
        chat.append("user", "parent 1")
        store.acquire_lock(chat.id, "parent")

        child = os.fork()
        if child == 0:
            try:
                held = store._engine._locks.held(chat.id)
                chat.append("user", "child")
                os._exit(0 if held is None else 3)
            except BaseException:
                os._exit(4)
        _, status = os.waitpid(child, 0)
        chat.append("user", "parent 2")

        assert os.waitstatus_to_exitcode(status) == 0
        assert [m.content for m in chat.messages()] == ["parent 1", "child", "parent 2"]
        assert store.is_locked(chat.id)


def test_a_lock_renews_itself_while_the_body_runs(root: Path) -> None:
    with BlockingStore.open(root, lock_timeout_ms=150) as store:
        chat = store.session("k")
        with BlockingStore.open(root, lock_timeout_ms=150) as other:
            with chat.lock("me"):
                result = other.acquire_lock(chat.id, "you", wait=True, timeout_ms=600)
                chat.append("user", "still mine")
            assert not result.acquired
            assert other.acquire_lock(chat.id, "you").acquired


def test_subscribe_in_another_process_hears_what_comes(start: Start, root: Path) -> None:
    with BlockingStore.open(root) as store:
        chat = store.session("k")
        worker = start("append", "k", "w", 50)
        heard = []
        for message in chat.subscribe():
            heard.append(message.content)
            if len(heard) == 50:
                break

        assert heard == [f"w-{n}" for n in range(50)]
        finish(worker)


def test_async_locks_exclude_tasks_of_one_store_and_are_released_on_errors(root: Path) -> None:
    async def main() -> None:
        async with SessionStore.open(root) as store:
            chat = await store.session("k")
            inside = 0

            async def work() -> None:
                nonlocal inside
                async with chat.lock():
                    inside += 1
                    assert inside == 1
                    await asyncio.sleep(0.002)
                    inside -= 1

            await asyncio.gather(*(work() for _ in range(10)))
            with pytest.raises(RuntimeError, match="of the body"):
                await chat.with_lock(None, _fail)
            assert not await store.is_locked(chat.id)

    async def _fail() -> None:
        raise RuntimeError("of the body")

    asyncio.run(main())


def test_interval_mode_syncs_in_the_background(root: Path) -> None:
    with BlockingStore.open(root, durability="interval", sync_interval_ms=20) as store:
        chat = store.session("k")
        synced: list[str] = []
        files = store._engine._files
        original = files.sync

        async def sync(path: str) -> None:
            synced.append(path)
            await original(path)

        files.sync = sync  # type: ignore[method-assign]
        chat.append("user", "a")
        deadline = time.monotonic() + 20
        while f"{chat.id}/messages.jsonl" not in synced and time.monotonic() < deadline:
            time.sleep(0.01)

        assert f"{chat.id}/messages.jsonl" in synced
