"""What `test_locks_concurrent` runs in processes of its own: `ROOT count N` or `ROOT hold TTL`."""

import os
import sys
from pathlib import Path

from locks_kit import SESSION, MiniStore

from session_store.errors import LeaseLostError
from session_store.files import RealFileSystem
from session_store.runtime import BlockingRuntime, run


def count(root: Path, times: int) -> None:
    """Add to a number that nothing but the lock protects."""
    store = MiniStore(RealFileSystem(root), BlockingRuntime(), ttl_ms=60_000)
    owner = f"process {os.getpid()}"
    counter = root / "counter"
    for _ in range(times):
        assert run(store.locks.wait(SESSION, owner)).acquired
        seen = int(counter.read_text())
        run(store.append(f"{owner} saw {seen}"))
        counter.write_text(str(seen + 1))
        run(store.locks.release(SESSION, owner))


def hold(root: Path, ttl_ms: int) -> None:
    """Take the lock and write under it, wait for a line of input, and write again."""
    store = MiniStore(RealFileSystem(root), BlockingRuntime(), ttl_ms=ttl_ms)
    assert run(store.locks.wait(SESSION, f"process {os.getpid()}")).acquired
    run(store.append("before"))
    print("holding", flush=True)
    sys.stdin.readline()
    try:
        run(store.append("after"))
    except LeaseLostError:
        print("lost", flush=True)


if __name__ == "__main__":
    root, task, number = sys.argv[1:]
    {"count": count, "hold": hold}[task](Path(root), int(number))
