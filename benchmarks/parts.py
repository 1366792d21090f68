"""What an append cannot do without, step by step: `python -m benchmarks.parts`.

Each step is repeated in a loop of its own, in one thread, so its caches are warm; the best of
five. The sum says how fast an append could be in Python that keeps no books at all.
"""

import asyncio
import fcntl
import os
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import uuid_utils
from msgspec.json import Encoder

from benchmarks.kit.messages import dialogue
from benchmarks.ours.message import message_of
from session_store import Message, SessionStore
from session_store.event_loop import AsyncRuntime
from session_store.jsonl.lines import close_line

COUNT = 2_000
TRIES = 5
SYNCS = 300
ID = "019b76da-a800-7000-8000-000000000000"


def best(step: Callable[[int], object], count: int = COUNT) -> float:
    """Return how many µs a step takes."""
    found = []
    for _ in range(TRIES):
        began = time.perf_counter()
        for number in range(count):
            step(number)
        found.append((time.perf_counter() - began) / count * 1e6)
    return min(found)


def steps(path: str) -> dict[str, Callable[[int], object]]:
    """Return the steps by what they do."""
    fd = os.open(path, os.O_CREAT | os.O_APPEND | os.O_RDWR)
    encode = Encoder().encode
    said = [message_of(turn) for turn in dialogue(COUNT)]
    whole = [_placed(message) for message in said]
    lines = [close_line(encode(message)) for message in whole]

    def calls(number: int, line: bytes = b"") -> None:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.lseek(fd, 0, os.SEEK_END)
        os.write(fd, line or lines[number])
        os.lstat(path)
        fcntl.flock(fd, fcntl.LOCK_UN)
        os.lseek(fd, 0, os.SEEK_END)

    def everything(number: int) -> None:
        calls(number, close_line(encode(_placed(said[number], str(uuid_utils.uuid7())))))

    def durable(number: int) -> None:
        everything(number)
        os.fdatasync(fd)

    def bare(number: int) -> None:
        os.write(fd, lines[number])
        os.fdatasync(fd)

    return {
        "the loop itself": lambda _: None,
        "an id": lambda _: str(uuid_utils.uuid7()),
        "the message": lambda number: _placed(said[number]),
        "its JSON": lambda number: encode(whole[number]),
        "its checksum": lambda number: close_line(lines[number]),
        "flock, and back": lambda _: (
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB),
            fcntl.flock(fd, fcntl.LOCK_UN),
        ),
        "the size of log and journal": lambda _: (
            os.lseek(fd, 0, os.SEEK_END),
            os.lseek(fd, 0, os.SEEK_END),
        ),
        "is the path this file?": lambda _: os.lstat(path),
        "the write": lambda number: os.write(fd, lines[number]),
        "all of these": everything,
        "limit: encode + write": lambda number: os.write(fd, encode(whole[number]) + b"\n"),
        "all of these + fdatasync": durable,
        "limit: write + fdatasync": bare,
    }


def _placed(message: Message, message_id: str = ID) -> Message:
    return Message(
        id=message_id,
        parent_id=ID,
        type=message.type,
        timestamp=time.time_ns() // 1_000_000,
        role=message.role,
        content=message.content,
        tool_calls=message.tool_calls,
        tool_result=message.tool_result,
    )


async def appends(folder: Path) -> float:
    """Return how many µs an append to a store takes, in the mode `os`."""
    said = [message_of(turn) for turn in dialogue(COUNT)]
    async with SessionStore.open(folder, durability="os") as store:
        session = await store.resolve("key")
        found = []
        for _ in range(TRIES):
            began = time.perf_counter()
            for message in said:
                await store.append(session, message)
            found.append((time.perf_counter() - began) / COUNT * 1e6)
    return min(found)


async def hop() -> float:
    """Return how many µs it takes a task to have a thread do nothing for it."""
    runtime = AsyncRuntime()
    found = []
    for _ in range(TRIES):
        began = time.perf_counter()
        for _ in range(SYNCS):
            await runtime.offload(int)
        found.append((time.perf_counter() - began) / SYNCS * 1e6)
    return min(found)


def main() -> None:
    """Print the table."""
    print("| step | µs |\n|---|--:|")
    with tempfile.TemporaryDirectory() as folder:
        for name, step in steps(f"{folder}/log").items():
            count = SYNCS if "fdatasync" in name else COUNT
            print(f"| {name} | {best(step, count):.2f} |", flush=True)
        print(f"| an append to a store, `os` | {asyncio.run(appends(Path(folder) / 's')):.2f} |")
    print(f"| a task has a thread do nothing | {asyncio.run(hop()):.2f} |")


if __name__ == "__main__":
    main()
