"""What the fuzzer begins with: files that our own writer and the original wrote."""

import json
from pathlib import Path
from typing import Any, Final

from damage_world import World, make_world

ORIGINAL: Final = Path(__file__).parent.parent / "original" / "fixture" / "sessions"

OPENAI: Final[list[Any]] = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": [{"type": "text", "text": "Hi"}, {"type": "image_url"}]},
    {
        "role": "assistant",
        "content": None,
        "tool_calls": [
            {"id": "c1", "type": "function", "function": {"name": "n", "arguments": '{"a":1}'}}
        ],
    },
    {"role": "tool", "tool_call_id": "c1", "content": "42"},
    {"role": "assistant", "content": "Done.", "refusal": None},
]
ANTHROPIC: Final[list[Any]] = [
    {"role": "user", "content": "Hi"},
    {
        "role": "assistant",
        "content": [
            {"type": "thinking", "thinking": "…", "signature": "s"},
            {"type": "tool_use", "id": "c1", "name": "n", "input": {"a": 1}},
        ],
    },
    {
        "role": "user",
        "content": [
            {"type": "tool_result", "tool_use_id": "c1", "content": "42", "is_error": True},
            {"type": "text", "text": "Go on."},
        ],
    },
]
LOCK: Final = (
    b'{"owner":"w","nonce":"0123456789abcdef-0123456789abcdef","epoch":1,"renewals":1,'
    b'"acquiredAt":1,"renewedAt":1,"ttl":30000,"fenced":true,"released":false}\n'
)


class Seeds:
    """The first inputs of each kind."""

    def __init__(self, world: World | None = None) -> None:
        self._world = world or make_world()

    def named(self, *endings: str) -> list[bytes]:
        """Return the files whose names end so, ours and the original's."""
        images = (self._world.closed, self._world.killed, self._world.older)
        ours = {d for image in images for path, d in image.items() if path.endswith(endings)}
        theirs = [
            path.read_bytes()
            for path in sorted(ORIGINAL.rglob("*"))
            if path.is_file() and path.name.endswith(endings)
        ]
        return [*sorted(ours), *theirs]

    def logs(self) -> list[bytes]:
        """Return whole logs, and pieces of one that are short enough to be understood."""
        whole = self.named("messages.jsonl")
        lines = self._world.closed[self._world.log].splitlines(keepends=True)
        return whole + [b"".join(lines[at : at + 4]) for at in range(0, len(lines), 3)]

    def lines(self) -> list[bytes]:
        """Return single lines of every file there is."""
        files = self.named(".jsonl", "lock.json")
        return sorted({line for data in files for line in data.splitlines()})

    def dialogues(self) -> list[bytes]:
        """Return what the importers of formats take."""
        return [json.dumps(items).encode() for items in (OPENAI, ANTHROPIC)]

    def indexes(self) -> list[bytes]:
        """Return the files of whole indexes, and a log none of them knows, packed into one each."""
        images = (self._world.closed, self._world.killed, self._world.older)
        logs = self.logs()
        return [
            SPLIT.join([*(image.get(name, b"") for name in INDEX_FILES), log])
            for image in images
            for log in (b"", logs[-1])
        ]


INDEX_FILES: Final = (
    "sessions.json",
    "sessions.json.prev",
    "sessions.8.jsonl",
    "sessions.9.jsonl",
)
SPLIT: Final = b"\n%%\n"
"""Between the files that one input holds."""
