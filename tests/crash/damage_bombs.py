"""Files made to cost a reader its memory, its stack or its time, and a process to try one in.

`damage_bombs.py BOMB PLACE SCALE FOLDER` puts a bomb where a reader meets it, uses the store,
and prints what that cost. The process may not have more than `MEMORY_LIMIT` of addresses.
"""

import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from io import BytesIO
from pathlib import Path
from typing import Any, Final, NamedTuple

HANG_SECONDS: Final = 600
MEMORY_LIMIT: Final = 6 << 30
SPARE_BYTES: Final = 64 << 20
"""What any use of a store may cost; buffers of some MiB are no leak."""

Build = Callable[[int], bytes]


class Bomb(NamedTuple):
    """What to write, for a scale of 100 down to 1, and how often its size it may cost.

    A JSON value that is valid costs what its objects cost; what is not must cost little.
    """

    build: Build
    times: int = 12


def message(extra: bytes) -> bytes:
    """Return a line of a message that also says `extra`."""
    return b'{"id":"b","parentId":null,"type":"user","timestamp":1,"content":"x"' + extra + b"}\n"


def in_everything(value: bytes) -> bytes:
    """Return a line in which `value` stands where messages, branches and indexes have values."""
    return (
        b'{"id":"b","parentId":null,"type":"user","timestamp":1,"content":"x","metadata":{"v":'
        + value
        + b'},"name":"b","leafMessageId":"b","op":"register","sessionId":"b","keys":{},'
        + b'"sessions":{"b":{"v":'
        + value
        + b"}}}\n"
    )


def deep(levels: int) -> bytes:
    """Return lists within each other."""
    return in_everything(b"[" * levels + b"]" * levels)


BOMBS: Final[dict[str, Bomb]] = {
    "a million [": Bomb(lambda scale: b"[" * (10_000 * scale) + b"\n"),
    "many {a:": Bomb(lambda scale: b'{"a":' * (1_000 * scale) + b"\n"),
    "deep in a message": Bomb(lambda scale: in_everything(b"[" * (10_000 * scale))),
    "a million keys": Bomb(
        lambda scale: in_everything(
            b"{" + b",".join(b'"k%d":%d' % (n, n) for n in range(10_000 * scale)) + b"}"
        ),
        40,
    ),
    # Each of them is a session to check: not so many.
    "many sessions": Bomb(
        lambda scale: (
            b'{"keys":{%b},"sessions":{%b}}\n'
            % (
                b",".join(b'"k%d":"s%d"' % (n, n) for n in range(2_000 * scale)),
                b",".join(b'"s%d":{}' % n for n in range(2_000 * scale)),
            )
        ),
        150,
    ),
    "400 digits": Bomb(lambda _: in_everything(b"7" * 400), 1000),
    "a million digits": Bomb(lambda scale: in_everything(b"7" * (10_000 * scale))),
    "a huge exponent": Bomb(lambda _: in_everything(b"1e999999999"), 1000),
    "a long line": Bomb(lambda scale: message(b',"metadata":{"x":"%b"}' % (b"x" * (scale << 20)))),
    "a long line of nothing": Bomb(lambda scale: b"x" * (scale << 20) + b"\n"),
    "a list of lists": Bomb(
        lambda scale: in_everything(b"[" + b"[]," * (scale * 70_000 // 2) + b"[]]"), 90
    ),
    **{f"{levels} levels": Bomb(lambda _, n=levels: deep(n), 1000) for levels in (64, 900, 1024)},
    "NUL bytes": Bomb(lambda scale: bytes(scale << 20)),
    "NUL bytes and a line end": Bomb(lambda scale: bytes(scale << 20) + b"\n"),
    "empty lines": Bomb(lambda scale: b"\n" * (100_000 * scale), 60),
    "blank lines": Bomb(lambda scale: b" \t\r\n" * (25_000 * scale), 30),
    "damaged lines": Bomb(lambda scale: b"not JSON\n" * (10_000 * scale), 200),
    "a torn tail": Bomb(lambda scale: b'{"id":"' + b"x" * (scale << 20)),
    "a batch of a billion": Bomb(lambda _: message(b',"batch":[1,1000000000]'), 1000),
    "a batch of more": Bomb(lambda _: message(b',"batch":[%d,%d]' % (10**30, 10**31)), 1000),
    "many pending": Bomb(
        lambda scale: b"".join(
            message(b',"batch":[%d,999999]' % n) for n in range(1, 1000 * scale)
        ),
        30,
    ),
    **{
        f"a seal of {start} and {length}": Bomb(
            lambda _, start=start, length=length: (
                b'{"id":"b","parentId":null,"type":"custom","timestamp":1,"control":{"kind":"seal",'
                b'"offset":%d,"length":%d}}\n' % (start, length)
            ),
            1000,
        )
        for start, length in ((0, 10**18), (-1, 5), (10**30, 1), (0, 0), (10**18, -(10**18)))
    },
    "a fence of an absurd epoch": Bomb(
        lambda _: (
            b'{"id":"b","parentId":null,"type":"custom","timestamp":1,"control":{"kind":"fence",'
            b'"epoch":%d,"nonce":"n","owner":"o"}}\n' % 10**18
        ),
        1000,
    ),
    "a lock of an absurd epoch": Bomb(
        lambda _: (
            b'{"owner":"o","nonce":"n","epoch":%d,"renewals":1,"acquiredAt":1,"renewedAt":1,'
            b'"ttl":1,"fenced":true,"released":true}\n' % 2**62
        ),
        1000,
    ),
    **{
        f"a journal that goes on in {onward}": Bomb(
            lambda _, onward=onward: (
                b'{"op":"open","at":1,"epoch":1,"format":1,"after":""}\n'
                b'{"op":"seal","at":1,"next":%d}\n' % onward
            ),
            1000,
        )
        for onward in (0, 1, 2, -5, 10**18, 10**30)
    },
    **{
        f"a snapshot of journal {epoch} up to {size}": Bomb(
            lambda _, epoch=epoch, size=size: (
                b'{"keys":{},"sessions":{},"journal":{"epoch":%d,"size":%d,"format":1}}\n'
                % (epoch, size)
            ),
            1000,
        )
        for epoch, size in (
            *((1, -1), (1, 10**15), (1, 10**30), (10**17, 0), (10**18, 0), (-1, 0)),
            *((2, 0), (0, 0), (1, 3)),
        )
    },
}

PLACES: Final = (
    *("log", "branches", "lock", "snapshot", "previous", "journal", "import"),
    "everywhere",
)
KEPT: Final = (
    b'{"id":"m","parentId":null,"type":"user","timestamp":1,"content":"kept","key":"kept"}\n'
)


def lay(root: Path, data: bytes, place: str) -> None:
    """Make a store with the bomb in its place, and a healthy session beside it."""
    for folder in ("kept", "bomb"):
        (root / folder).mkdir(parents=True)
        (root / folder / "messages.jsonl").write_bytes(KEPT)
    files = {
        "log": "bomb/messages.jsonl",
        "branches": "bomb/branches.jsonl",
        "lock": "bomb/lock.json",
        "snapshot": "sessions.json",
        "previous": "sessions.json.prev",
        "journal": "sessions.1.jsonl",
    }
    for name, path in files.items():
        if place in (name, "everywhere"):
            (root / path).write_bytes(data)


def use(root: Path) -> list[str]:
    """Use the store in every way, and return the codes of the errors that said no."""
    from session_store.errors import SessionStoreError
    from session_store.sync import SessionStore

    refused: list[str] = []
    with SessionStore.open(root, durability="os", io_timeout_ms=2_000) as store:
        if not store.has_session("kept"):
            # The bomb is an index that says so, and that has to be believed.
            store.check(repair_index=True)
        said = {"role": "user", "content": "next"}
        calls: list[Callable[[str], object]] = [
            store.get_messages,
            store.get_branches,
            lambda session_id: store.get_linear_history(session_id, limit=3),
            lambda session_id: store.append(session_id, said),
            lambda session_id: store.acquire_lock(session_id, "w"),
            lambda session_id: store.release_lock(session_id, "w"),
        ]
        for session_id in ("kept", "bomb"):
            for call in calls:
                try:
                    call(session_id)
                except SessionStoreError as error:
                    refused.append(f"{session_id}: {error.code}")
        store.list_sessions()
        store.resolve("somebody:new")
        store.check()
        kept = [message.content for message in store.get_messages("kept")]
        assert kept == ["kept", "next"], kept
    return refused


def read_import(data: bytes) -> int:
    """Read the bomb as a file to import; return how many lines it has."""
    from session_store.cli.transcript import Transcript, recorded_key

    recorded_key(BytesIO(data))
    transcript = Transcript(BytesIO(data), used=frozenset(), visible=frozenset())
    return sum(1 for _ in transcript.read())


def peak() -> int:
    """Return the most memory that this process has had, in bytes."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def main(name: str, place: str, scale: int, root: Path) -> None:
    """Set off one bomb, and print what it cost."""
    import session_store.cli.transcript
    import session_store.sync  # noqa: F401  # what it costs to import is not the bomb's

    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_LIMIT, MEMORY_LIMIT))
    data = BOMBS[name].build(scale)
    size = len(data)
    if place != "import":
        lay(root, data, place)
        data = b""
    before, began = peak(), time.monotonic()
    refused = use(root) if place != "import" else [str(read_import(data))]
    facts = {"size": size, "cost": peak() - before, "refused": refused}
    print(json.dumps(facts | {"seconds": round(time.monotonic() - began, 2)}))


def too_much(name: str, facts: Mapping[str, Any]) -> bool:
    """Return whether a bomb cost more memory than its size explains."""
    return bool(facts["cost"] > BOMBS[name].times * facts["size"] + SPARE_BYTES)


def set_off(name: str, place: str, scale: int, root: Path) -> dict[str, Any]:
    """Set off one bomb in a process of its own; raise if that does not end well."""
    command = [sys.executable, __file__, name, place, str(scale), str(root)]
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=HANG_SECONDS, check=False, env=os.environ
    )
    assert done.returncode == 0, f"{name} as {place}: exit {done.returncode}\n{done.stderr[-3000:]}"
    found: dict[str, Any] = json.loads(done.stdout)
    return found


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]), Path(sys.argv[4]))
