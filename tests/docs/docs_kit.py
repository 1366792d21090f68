"""The page `docs/format.md` taken apart, and the store it was written from."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from session_store.files import FileSystem, InMemoryFileSystem
from session_store.index.snapshot import decode_snapshot
from session_store.model.config import StoreConfig
from session_store.runtime import BlockingRuntime, run
from session_store.store.engine import Engine

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "format.md"

START_MS = 1_767_225_600_000  # the first moment of 2026
TORN = b'{"id":"019b76da-d7c8-7000-8000-00000000000a","parentId":"019b76'

_EXAMPLE = re.compile(r"<!-- (?P<mark>[^>]+) -->\n+```(?P<language>\w+)\n(?P<text>.*?)```", re.S)


class Example(NamedTuple):
    """A fenced block, and what the comment before it says."""

    mark: str
    language: str
    text: str


def examples(mark: str) -> list[Example]:
    """Return the examples of the page whose mark begins so."""
    found = (Example(*match.groups()) for match in _EXAMPLE.finditer(PAGE.read_text("utf-8")))
    return [example for example in found if example.mark.startswith(mark)]


def spelled_out(text: str) -> bytes:
    """Return the bytes that a block of the page stands for."""
    whole, stop, _ = text.partition("▮")
    return (whole if stop else text).replace("␀", "\0").replace("␍", "\r").encode()


class FixedRuntime(BlockingRuntime):
    """A clock that is set, ids that are counted, and no chance."""

    def __init__(self) -> None:
        self.time_ms = START_MS
        self._ids = 0

    def now_ms(self) -> int:
        return self.time_ms

    def monotonic(self) -> float:
        return self.time_ms / 1000

    def new_id(self) -> str:
        self._ids += 1
        stamp = f"{self.time_ms:012x}"
        return f"{stamp[:8]}-{stamp[8:]}-7000-8000-{self._ids:012x}"

    def token(self) -> str:
        return "0123456789abcdef"


class Story:
    """The dialogue whose bytes `docs/format.md` shows."""

    def __init__(self, files: FileSystem) -> None:
        self.files = files
        self._runtime = FixedRuntime()

    def first(self) -> None:
        """Ask, be answered twice, name, switch, call a tool, lock, be cut off, reset."""
        store = self._open()
        session = run(store.resolve("telegram:123"))
        self._later()
        question = run(store.append(session, {"role": "user", "content": "Which database? 🗄️"}))
        self._later()
        run(store.append(session, {"role": "assistant", "content": "PostgreSQL."}))
        self._later()
        other = {"role": "assistant", "content": "SQLite.", "parentId": question.id}
        run(store.append(session, other))
        self._later()
        run(store.create_branch(session, "small"))
        run(store.switch_to_branch(session, "small"))
        self._later()
        call = {"id": "call_1", "name": "version", "arguments": {"of": "sqlite"}}
        pair = [
            {"type": "tool_call", "role": "assistant", "toolCalls": [call]},
            {"type": "tool_result", "toolResult": {"toolCallId": "call_1", "result": "3.51.3"}},
        ]
        run(store.append_many(session, pair))
        self._later()
        run(store.acquire_lock(session, "worker-1"))
        run(store.append(session, {"role": "user", "content": "Fine."}))
        run(store.release_lock(session, "worker-1"))
        self._later()
        run(self.files.append(f"{session}/messages.jsonl", TORN))
        store = self._open()
        run(store.append(session, {"role": "user", "content": "Are you there?"}))
        self._later()
        run(store.delete_branch(session, "small"))
        run(store.reset_session(session))
        self._later()
        run(store.append(session, {"role": "user", "content": "From the start, please."}))
        run(store.flush(snapshot=True))

    def later(self) -> None:
        """Let the original have its turn, and go on."""
        self._later()
        index = json.loads(run(self.files.read("sessions.json")))
        session = index["keys"]["telegram:123"]
        index["sessions"][session]["updatedAt"] = self._runtime.now_ms()
        turned = json.dumps(index, indent=2, ensure_ascii=False).encode()
        run(self.files.write("sessions.json", turned))
        self._later()
        store = self._open()
        run(store.add_key("web:ada", session))
        run(store.flush(snapshot=True))

    def _open(self) -> Engine:
        return Engine(self.files, StoreConfig(), self._runtime)

    def _later(self) -> None:
        self._runtime.time_ms += 1000


def files_of(files: FileSystem) -> dict[str, bytes]:
    """Return every file there is."""
    return dict(_walk(files, ""))


def _walk(files: FileSystem, folder: str) -> Iterator[tuple[str, bytes]]:
    for name in run(files.list(folder)).names:
        path = f"{folder}/{name}" if folder else name
        if name.endswith("/"):
            yield from _walk(files, path[:-1])
        else:
            yield path, run(files.read(path))


def session_of(log: bytes) -> InMemoryFileSystem:
    """Return a store with one session, `s1`, that has this log."""
    files = InMemoryFileSystem()
    index = {"keys": {"key": "s1"}, "sessions": {"s1": {"sessionId": "s1", "messageCount": 0}}}
    data = json.dumps(index, indent=2).encode()
    assert decode_snapshot(data).foreign
    run(files.write("sessions.json", data))
    run(files.append("s1/messages.jsonl", log))
    return files
