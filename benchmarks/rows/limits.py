"""The limits: what the machine allows with the same messages, without any store."""

import fcntl
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import msgspec

from benchmarks.kit.chat import wait_for_all
from benchmarks.kit.messages import dialogue
from benchmarks.kit.protocol import Answer, Params, Stopwatch, serve, timed, verdict
from benchmarks.ours.message import message_of
from session_store import Message

encoder = msgspec.json.Encoder()


class IdOnly(msgspec.Struct, gc=False, rename="camel"):
    """All of a line that a tree needs."""

    id: str
    parent_id: str | None = None


def messages(count: int) -> list[Message]:
    """Return messages as they stand in a log: with an id, a parent and a time."""
    made: list[Message] = []
    parent = None
    for number, turn in enumerate(dialogue(count)):
        name = f"019b76da-a800-7000-8000-{number:012x}"
        filled = {"id": name, "parent_id": parent, "timestamp": 1_767_225_600_000 + number}
        made.append(msgspec.structs.replace(message_of(turn), **filled))
        parent = name
    return made


def lines(count: int) -> list[bytes]:
    """Return the messages as lines."""
    return [encoder.encode(message) + b"\n" for message in messages(count)]


@contextmanager
def log(path: Path) -> Iterator[int]:
    """Open a log to append to."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        yield descriptor
    finally:
        os.close(descriptor)


def measured(params: Params, given: list[Any], step: Callable[[int, Any], int]) -> Answer:
    """Take one step after another on a fresh log; a step returns how many bytes it wrote."""
    path = Path(params["folder"]) / "bare.jsonl"
    done = written = 0
    with log(path) as descriptor:
        watch = Stopwatch(params["budget"])
        while done < params["count"]:
            written += step(descriptor, given[done % len(given)])
            done += 1
            if not done % 16 and watch.over():
                break
        seconds = watch.seconds()
    return verdict(timed(seconds, done), path.stat().st_size, written, "bytes")


def write(params: Params) -> Answer:
    """`os.write` of lines that are there."""
    return measured(params, lines(3000), os.write)


def encode(params: Params) -> Answer:
    """Encode the message, and write it."""
    make = encoder.encode
    return measured(params, messages(3000), lambda fd, one: os.write(fd, make(one) + b"\n"))


def encode_many(params: Params) -> Answer:
    """Encode `batch` messages, and write them at once."""
    batch = messages(params["batch"])
    given = {**params, "count": params["count"] // params["batch"]}
    answer = measured(given, [batch], lambda fd, many: os.write(fd, encoder.encode_lines(many)))
    return {**answer, "operations": answer["operations"] * params["batch"]}


def sync(params: Params) -> Answer:
    """Write `group` lines at once, and `fdatasync`."""
    group = params["group"]
    every = lines(3000)
    joined = [b"".join(every[at : at + group]) for at in range(0, len(every) - group, group)]

    def step(descriptor: int, data: bytes) -> int:
        written = os.write(descriptor, data)
        os.fdatasync(descriptor)
        return written

    answer = measured({**params, "count": params["count"] // group}, joined, step)
    return {**answer, "operations": answer["operations"] * group}


def descriptors(params: Params) -> Answer:
    """Write lines to many files in turn, through descriptors that stay open."""
    folder, count = Path(params["folder"]), params["sessions"]
    folder.mkdir(parents=True, exist_ok=True)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT
    held = [os.open(folder / f"{number}.jsonl", flags, 0o600) for number in range(count)]
    every, done = lines(3000), 0
    watch = Stopwatch(params["budget"])
    while done < params["count"]:
        os.write(held[done % count], every[done % len(every)])
        done += 1
        if not done % 16 and watch.over():
            break
    seconds = watch.seconds()
    for descriptor in held:
        os.close(descriptor)
    return timed(seconds, done)


def threads(params: Params) -> Answer:
    """Threads that write and `fdatasync` files of their own; the best number of threads."""
    rates: dict[int, float] = {}
    every = lines(500)
    for count in (2, 4, 8, 16, 32, 64):
        watch = Stopwatch(params["budget"] / 6)

        def work(number: int, watch: Stopwatch = watch) -> int:
            done = 0
            with log(Path(params["folder"]) / f"{number}.jsonl") as descriptor:
                while not watch.over():
                    os.write(descriptor, every[done % len(every)])
                    os.fdatasync(descriptor)
                    done += 1
            return done

        with ThreadPoolExecutor(count) as pool:
            done = sum(pool.map(work, range(count)))
        rates[count] = done / watch.seconds()
    best = max(rates, key=lambda count: rates[count])
    return timed(1, int(rates[best]), threads=best)


def decode(params: Params) -> Answer:
    """Read a log, and decode its lines into the struct that the store gives."""
    return _decoded(params, msgspec.json.Decoder(Message))


def ids(params: Params) -> Answer:
    """Read a log, and decode nothing but the ids."""
    return _decoded(params, msgspec.json.Decoder(IdOnly))


def _decoded(params: Params, decoder: msgspec.json.Decoder[Any]) -> Answer:
    began = time.perf_counter()
    data = Path(params["path"]).read_bytes()
    found = decoder.decode_lines(data)
    seconds = time.perf_counter() - began
    return verdict(timed(seconds, len(found)), len(found) >= params["expect"], True, "lines")


def flock(params: Params) -> Answer:
    """One of several processes that lock a log, write a line, sync it if asked, and unlock."""
    every, done = lines(3000), 0
    with log(Path(params["folder"]) / "shared.jsonl") as descriptor:
        began = wait_for_all(Path(params["gate"]), params["place"])
        watch = Stopwatch(params["budget"])
        while not watch.over():
            for _ in range(16):
                fcntl.flock(descriptor, fcntl.LOCK_EX)
                os.write(descriptor, every[done % len(every)])
                if params["sync"]:
                    os.fdatasync(descriptor)
                fcntl.flock(descriptor, fcntl.LOCK_UN)
                done += 1
        ended = time.monotonic()
    return timed(ended - began, done, began=began, ended=ended, failed=[], why="")


if __name__ == "__main__":
    serve(
        {
            "write": write,
            "encode": encode,
            "encode_many": encode_many,
            "sync": sync,
            "descriptors": descriptors,
            "threads": threads,
            "decode": decode,
            "ids": ids,
            "member": flock,
        }
    )
