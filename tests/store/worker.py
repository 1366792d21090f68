"""A process that works on a store, for tests: `worker.py TASK ROOT KEY ARGUMENT…`.

It prints a line for each thing that was acknowledged, and reads a line to go on.
"""

import sys
import time
from typing import Any

from session_store import LeaseLostError, SessionNotFoundError
from session_store.sync import SessionStore


def say(*words: object) -> None:
    print(*words, flush=True)


def append(store: SessionStore, key: str, tag: str, count: str) -> None:
    """Append `count` messages, each acknowledged by a line."""
    session_id = store.resolve(key)
    say("session", session_id)
    for n in range(int(count)):
        message = store.append(session_id, {"role": "user", "content": f"{tag}-{n}"})
        say("acknowledged", message.id)


def append_until_deleted(store: SessionStore, key: str, tag: str) -> None:
    """Append until the session is gone."""
    session_id = store.resolve(key)
    say("session", session_id)
    n = 0
    try:
        while True:
            store.append(session_id, {"role": "user", "content": f"{tag}-{n}"})
            n += 1
            say("acknowledged", n)
    except SessionNotFoundError:
        say("deleted")


def hold(store: SessionStore, key: str, owner: str, timeout_ms: str) -> None:
    """Take the lock, wait to be told, then append under it."""
    del timeout_ms
    chat = store.session(key)
    result = store.acquire_lock(chat.id, owner, wait=True)
    say("locked", result.acquired)
    sys.stdin.readline()
    try:
        chat.append("user", f"late words of {owner}")
        say("appended")
    except LeaseLostError:
        say("lost")


def work_under_lock(store: SessionStore, key: str, tag: str, count: str) -> None:
    """Count up under the lock: what one read, nobody else may change before it writes."""
    chat = store.session(key)
    for _ in range(int(count)):
        with chat.lock(timeout_ms=60_000):
            seen = len(chat.messages())
            time.sleep(0.001)
            chat.append("user", f"{tag}", metadata={"seen": seen})
    say("done")


TASKS: dict[str, Any] = {
    task.__name__: task for task in (append, append_until_deleted, hold, work_under_lock)
}

if __name__ == "__main__":
    name, root, key, *arguments = sys.argv[1:]
    settings = {"lock_timeout_ms": int(arguments[-1])} if name == "hold" else {}
    with SessionStore.open(root, **settings) as opened:
        TASKS[name](opened, key, *arguments)
