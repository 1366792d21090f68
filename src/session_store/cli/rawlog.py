"""A session's log as it stands on disk: its raw lines, and its end.

What is copied is copied byte for byte, so that fields which this version does not know
survive. The store's own calls give messages, not lines.
"""

from collections.abc import AsyncGenerator, Callable
from typing import Final

from session_store.files.filesystem import FileSystem
from session_store.jsonl.file import JSONLFile
from session_store.jsonl.scanner import Damage, Scanner
from session_store.model.messages import encode_message
from session_store.model.records import Message
from session_store.store.records import MESSAGES, Node, is_control, read_message, read_slim

_RESET: Final = "reset"


class RawLine:
    """A record, and the line it was read from (without its LF)."""

    __slots__ = ("batch", "line", "node")

    def __init__(self, line: bytes, offset: int) -> None:
        self.node: Node = read_slim(line, offset)
        self.batch = self.node.batch
        self.line = line


class RawLog:
    """The log of one session, read past the store."""

    def __init__(self, files: FileSystem, session_id: str) -> None:
        self.damage: list[Damage] = []
        self._file: JSONLFile[Message] = JSONLFile(
            files, f"{session_id}/{MESSAGES}", encode=encode_message, decode=read_message
        )

    async def size(self) -> int:
        """Return the size of the log in bytes."""
        return await self._file.size()

    async def last(self, count: int) -> list[Message]:
        """Return the last messages in the order of the log, read from its end."""
        found: list[Message] = []
        async for _, _, message in self._file.read_backwards():
            if is_control(message):
                if _is_reset(message):
                    break
                continue
            if len(found) == count:
                break
            found.append(message)
        return found[::-1]

    async def lines(self, progress: Callable[[int], None]) -> AsyncGenerator[bytes, None]:
        """Yield the line of every message that no reset hides, as it stands in the log.

        `damage` then tells what was left out. `progress` is told of the bytes read.
        """
        start = await self._last_reset()
        scanner: Scanner[RawLine] = Scanner(RawLine, start)
        progress(start)
        done = start
        async for entries in self._file.scan(scanner):
            for _, _, record in entries:
                if not is_control(record.node):
                    yield record.line
            progress(scanner.position - done)
            done = scanner.position
        self.damage = scanner.damage

    async def _last_reset(self) -> int:
        """Return where the last reset stands, 0 if there is none."""
        found = 0
        scanner: Scanner[Node] = Scanner(read_slim)
        async for entries in self._file.scan(scanner):
            for offset, _, node in entries:
                if node.control is not None and is_control(node) and _is_reset(node):
                    found = offset
        return found


def _is_reset(node: Node) -> bool:
    return node.control is not None and node.control.get("kind") == _RESET
