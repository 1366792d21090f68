"""Real threads, tasks, forks and processes: what holds when nobody decides the order."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from locks_kit import LOCK, LOG, SESSION, MiniStore, log_line, order_violations, parse

import session_store
from session_store.errors import LeaseLostError
from session_store.event_loop import AsyncRuntime
from session_store.files import InMemoryFileSystem, RealFileSystem
from session_store.runtime import BlockingRuntime, run

LONG_MS = 60_000
CHILD = Path(__file__).with_name("locks_child.py")


def in_threads(*calls: Callable[[], None]) -> None:
    errors: list[BaseException] = []

    def guarded(call: Callable[[], None]) -> None:
        try:
            call()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=(call,)) for call in calls]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


@pytest.mark.parametrize("stores", [1, 4])
def test_threads_exclude_each_other_also_when_they_share_a_store(stores: int) -> None:
    files = InMemoryFileSystem()
    shared = [MiniStore(files, BlockingRuntime(), ttl_ms=LONG_MS) for _ in range(stores)]
    counter = [0]

    def count(number: int) -> None:
        store = shared[number % stores]
        for _ in range(20):
            assert run(store.locks.wait(SESSION, f"thread {number}")).acquired
            seen = counter[0]
            time.sleep(0)  # Give somebody else the chance to spoil it.
            counter[0] = seen + 1
            run(store.locks.release(SESSION, f"thread {number}"))

    in_threads(*[lambda number=number: count(number) for number in range(4)])

    assert counter == [80]


def test_of_many_threads_that_ask_at_once_exactly_one_gets_the_lock() -> None:
    for _ in range(20):
        files = InMemoryFileSystem()
        stores = [MiniStore(files, BlockingRuntime()) for _ in range(4)]
        start = threading.Barrier(8)
        winners: list[str] = []

        def ask(number: int, stores: list[MiniStore] = stores) -> None:
            start.wait()  # noqa: B023
            owner = f"thread {number}"
            if run(stores[number % 4].locks.acquire(SESSION, owner)).acquired:
                winners.append(owner)  # noqa: B023

        in_threads(*[lambda number=number: ask(number) for number in range(8)])

        assert len(winners) == 1


def test_tasks_wait_for_each_other_without_blocking_the_loop() -> None:
    files = InMemoryFileSystem()
    running = [0]
    most = [0]

    async def work(store: MiniStore, owner: str) -> None:
        assert (await store.locks.wait(SESSION, owner)).acquired
        running[0] += 1
        most[0] = max(most[0], running[0])
        await asyncio.sleep(0.001)
        running[0] -= 1
        await store.locks.release(SESSION, owner)

    async def main() -> None:
        stores = [MiniStore(files, AsyncRuntime(), ttl_ms=LONG_MS) for _ in range(2)]
        await asyncio.gather(*[work(stores[n % 2], f"task {n}") for n in range(10)])

    asyncio.run(main())

    assert most == [1]


def test_a_cancelled_waiter_leaves_the_lock_to_others() -> None:
    async def main() -> None:
        files = InMemoryFileSystem()
        first, second = (MiniStore(files, AsyncRuntime(), ttl_ms=LONG_MS) for _ in range(2))
        await first.locks.acquire(SESSION, "first")
        waiter = asyncio.create_task(second.locks.wait(SESSION, "second"))
        await asyncio.sleep(0.01)

        waiter.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiter

        await first.locks.release(SESSION, "first")
        assert (await second.locks.acquire(SESSION, "third")).acquired

    asyncio.run(main())


def test_a_forked_child_holds_nothing_and_is_somebody_else() -> None:
    store = MiniStore(InMemoryFileSystem(), BlockingRuntime(), ttl_ms=LONG_MS)
    run(store.locks.acquire(SESSION, "parent"))
    lease = store.locks.held(SESSION)
    assert lease is not None

    child = os.fork()
    if child == 0:
        forgot = store.locks.held(SESSION) is None and store.locks.sessions_held() == []
        refused = not run(store.locks.acquire(SESSION, "child")).acquired
        # The same name in the child is a restarted worker: with a nonce of its own.
        taken = run(store.locks.acquire(SESSION, "parent")).acquired
        mine = store.locks.held(SESSION)
        other = mine is not None and mine.nonce.split("-")[0] != lease.nonce.split("-")[0]
        os._exit(0 if forgot and refused and taken and other else 1)
    _, status = os.waitpid(child, 0)

    assert status == 0
    assert store.locks.held(SESSION) is lease


def start_child(root: Path, *words: str) -> "subprocess.Popen[str]":
    package = str(Path(session_store.__file__).parent.parent)
    environment = {**os.environ, "PYTHONPATH": package}
    return subprocess.Popen(
        [sys.executable, str(CHILD), str(root), *words],
        env=environment,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def said(child: "subprocess.Popen[str]") -> str:
    assert child.stdout is not None
    return child.stdout.readline().strip()


def go_on(child: "subprocess.Popen[str]") -> None:
    assert child.stdin is not None
    child.stdin.write("\n")
    child.stdin.flush()


def finished(child: "subprocess.Popen[str]") -> int:
    with child:
        return child.wait(timeout=30)


def test_processes_exclude_each_other(tmp_path: Path) -> None:
    (tmp_path / "counter").write_text("0")

    children = [start_child(tmp_path, "count", "25") for _ in range(4)]

    assert [finished(child) for child in children] == [0, 0, 0, 0]
    assert (tmp_path / "counter").read_text() == "100"
    assert order_violations((tmp_path / LOG).read_bytes()) == []


def test_a_killed_holder_is_passed_over_and_a_stopped_one_cannot_write_any_more(
    tmp_path: Path,
) -> None:
    store = MiniStore(RealFileSystem(tmp_path), BlockingRuntime(), ttl_ms=LONG_MS)
    stopped, killed = start_child(tmp_path, "hold", "300"), None
    try:
        assert said(stopped) == "holding"
        stopped.send_signal(signal.SIGSTOP)
        killed = start_child(tmp_path, "hold", "300")
        assert said(killed) == "holding"
        killed.kill()

        began = time.monotonic()
        assert run(store.locks.wait(SESSION, "parent", timeout_ms=20_000)).acquired
        took = time.monotonic() - began
        run(store.append("mine"))
        run(store.locks.release(SESSION, "parent"))
        stopped.send_signal(signal.SIGCONT)
        go_on(stopped)

        assert said(stopped) == "lost"
        assert took < 5
    finally:
        for child in (stopped, killed):
            if child is not None:
                child.kill()
                finished(child)
    log = (tmp_path / LOG).read_bytes()
    assert order_violations(log) == []
    texts = [line["text"] for _, line in parse(log) if "text" in line]
    assert texts[-1] == "mine"
    run(store.files.close())


def test_a_lease_on_a_real_disk_is_lost_and_found(tmp_path: Path) -> None:
    files = RealFileSystem(tmp_path)
    ann = MiniStore(files, BlockingRuntime(), ttl_ms=LONG_MS)
    bob = MiniStore(RealFileSystem(tmp_path), BlockingRuntime(), ttl_ms=LONG_MS)

    run(ann.locks.acquire(SESSION, "ann"))
    run(ann.append("one"))
    run(bob.locks.force_release(SESSION))

    assert (tmp_path / LOCK).is_file()
    with pytest.raises(LeaseLostError):
        run(ann.append("too late"))
    assert run(bob.locks.acquire(SESSION, "bob")).acquired
    for store in (ann, bob):
        run(store.files.close())


def test_the_kit_sees_overlapping_leases() -> None:
    lines = [
        {"text": "1", "nonce": "a", "since": 0},
        {"fence": "b", "epoch": 2},
        {"text": "2", "nonce": "a", "since": 0},
        {"text": "3", "nonce": "b", "since": 0},
        {"text": "4", "nonce": "a", "since": 900},
    ]

    found = order_violations(b"".join(log_line(value) for value in lines))

    assert len(found) == 2
