"""The TypeScript original, as far as a folder can tell: what it reads, and what it writes.

A stand-in, written from what the original does. It parses each line by itself and the index
whole, knows nothing of journals, checksums or control records, and rewrites the index with
every change.
"""

import json
import time
import uuid
from collections.abc import Iterator
from pathlib import Path
from shutil import copytree
from typing import Any

from session_store.runtime import run
from session_store.sync import SessionStore

FIXTURE = Path(__file__).parent / "fixture"
LOG = "messages.jsonl"
BRANCHES = "branches.jsonl"

Line = dict[str, Any]


def stringify(value: Any, indent: int | None = None) -> bytes:
    """As `JSON.stringify` says it: a lone surrogate is escaped, nothing else is."""
    separators = (",", ":") if indent is None else (",", ": ")
    text = json.dumps(value, indent=indent, separators=separators, ensure_ascii=False)
    return text.encode("utf-8", "backslashreplace")


class Original:
    """One run of the original on a folder; what it read of the index at first it keeps."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)
        index = root / "sessions.json"
        self.index: Line = {"keys": {}, "sessions": {}}
        if index.exists():
            self.index = json.loads(index.read_text("utf-8"))

    @property
    def keys(self) -> dict[str, str]:
        keys: dict[str, str] = self.index["keys"]
        return keys

    @property
    def sessions(self) -> dict[str, Line]:
        sessions: dict[str, Line] = self.index["sessions"]
        return sessions

    # What it reads

    def lines(self, session_id: str, name: str) -> list[Line]:
        path = self.root / session_id / name
        if not path.exists():
            return []
        return [json.loads(line) for line in path.read_text("utf-8").split("\n") if line.strip()]

    def messages(self, session_id: str) -> list[Line]:
        return self.lines(session_id, LOG)

    def tree(self, session_id: str) -> list[Line]:
        below: dict[str | None, list[Line]] = {}
        for message in self.messages(session_id):
            below.setdefault(message["parentId"], []).append(message)

        def walk(parent: str | None) -> Iterator[Line]:
            for message in below.get(parent, []):
                yield message
                yield from walk(message["id"])

        return list(walk(None))

    def history(self, session_id: str, leaf: str) -> list[Line]:
        by_id = {message["id"]: message for message in self.messages(session_id)}
        path = [by_id[leaf]]
        while path[0]["parentId"] is not None:
            path.insert(0, by_id[path[0]["parentId"]])
        return path

    def branch(self, session_id: str, name: str) -> Line | None:
        found = (line for line in self.lines(session_id, BRANCHES) if line["name"] == name)
        return next(found, None)

    # What it writes

    def resolve(self, key: str, **fields: Any) -> str:
        if key not in self.keys:
            session_id = str(uuid.uuid4())
            self._register(session_id, key, **fields)
        return self.keys[key]

    def _register(self, session_id: str, key: str, **fields: Any) -> None:
        self.keys[key] = session_id
        self.sessions[session_id] = {
            "sessionId": session_id,
            "createdAt": now(),
            "updatedAt": now(),
            "messageCount": 0,
            **fields,
        }
        (self.root / session_id).mkdir(parents=True, exist_ok=True)
        self.save()

    def append(self, session_id: str, parent: str | None, content: Any, **fields: Any) -> str:
        """Add a message of the user; an unknown session is made as the web page made them."""
        if session_id not in self.sessions:
            self._register(session_id, session_id, userId="web-user")
        message = {"id": str(uuid.uuid4()), "timestamp": now()}
        message |= {"type": "user", "role": "user", "content": content, **fields}
        self.write_line(session_id, LOG, message | {"parentId": parent})
        self.sessions[session_id]["messageCount"] += 1
        self.sessions[session_id]["updatedAt"] = now()
        self.save()
        return str(message["id"])

    def create_branch(self, session_id: str, name: str, leaf: str) -> None:
        path = [step["id"] for step in self.history(session_id, leaf)]
        branch = {"name": name, "leafMessageId": leaf, "createdAt": now(), "path": path}
        self.write_line(session_id, BRANCHES, branch)

    def write_line(self, session_id: str, name: str, line: Line) -> None:
        folder = self.root / session_id
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / name).open("ab") as file:
            file.write(stringify(line) + b"\n")

    def update_metadata(self, session_id: str, **fields: Any) -> None:
        self.sessions[session_id] |= fields | {"updatedAt": now()}
        self.save()

    def add_key(self, key: str, session_id: str) -> None:
        self.keys[key] = session_id
        self.save()

    def remove_key(self, key: str) -> None:
        del self.keys[key]
        self.save()

    def reset_session(self, session_id: str) -> None:
        for name in (LOG, BRANCHES):
            (self.root / session_id / name).unlink(missing_ok=True)
        self.update_metadata(session_id, messageCount=0)

    def delete_session(self, session_id: str) -> None:
        for key in [key for key, id_ in self.keys.items() if id_ == session_id]:
            del self.keys[key]
        del self.sessions[session_id]
        folder = self.root / session_id
        for file in folder.iterdir() if folder.exists() else ():
            file.unlink()
        self.save()

    def save(self) -> None:
        (self.root / "sessions.json").write_bytes(stringify(self.index, indent=2))


def now() -> int:
    return time.time_ns() // 1_000_000


def copy_fixture(root: Path) -> Line:
    """Put the original's folder at `root`, and return what it reads there itself."""
    copytree(FIXTURE / "sessions", root)
    expected: Line = json.loads((FIXTURE / "expected.json").read_text("utf-8"))
    return expected


def ours(root: Path) -> SessionStore:
    return SessionStore.open(root, durability="os")


def crash(store: SessionStore) -> None:
    """The process is gone: what it only noted is lost."""
    run(store._engine._files.close())


def contents(store: SessionStore, session_id: str) -> list[Any]:
    return [message.content for message in store.get_messages(session_id)]


def findings(store: SessionStore) -> set[str]:
    return {finding.code for finding in store.check().findings}


def snapshot_of(root: Path) -> dict[str, bytes]:
    """Every file below `root`, byte for byte."""
    return {
        str(path.relative_to(root)): path.read_bytes() for path in root.rglob("*") if path.is_file()
    }
