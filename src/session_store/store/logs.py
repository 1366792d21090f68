"""One session's log as this store object knows it: opened from its end, read on, cached.

Opening reads the last 64 KiB; only what needs the whole tree reads the whole log, once.
What is cached is only ever a prefix of the log: reading on costs what is new.
"""

import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

from session_store.errors import CorruptionError, NotFoundError, SessionNotFoundError
from session_store.files.filesystem import FileSystem
from session_store.jsonl.file import TAIL_BYTES, JSONLFile
from session_store.jsonl.scanner import Entry, Retracted, Scanner, seal_of
from session_store.model.ids import check_foreign_session_id
from session_store.model.messages import encode_message
from session_store.model.records import LogMark, Message
from session_store.model.tree import Tree
from session_store.runtime import Runtime

from .records import MESSAGES, Node, control_record, is_control, read_message, read_slim
from .replay import Fence, Nodes, Tail

# Resident memory of 60,000 messages, measured with texts of 100, 300 and 1,500 bytes: a message
# takes its line and up to 540 bytes more, a node of ids 230, a node of the tree 50 to 85.
MESSAGE_BYTES: Final = 540
NODE_BYTES: Final = 230
TREE_BYTES: Final = 85
SEAL_BYTES: Final = 512
"""More than the line of a seal takes."""

OnFence = Callable[[str, Fence], None]
LeaseSince = Callable[[str], int | None]
"""Where the lease of a session that is held began: no fence from there on may be missed."""


class SessionLog:
    """A log and what has been read of it. Hold `mutex` around every call."""

    def __init__(
        self,
        files: FileSystem,
        session_id: str,
        runtime: Runtime,
        on_fence: OnFence,
        lease_since: LeaseSince,
    ) -> None:
        self.session_id = session_id
        self.path = f"{session_id}/{MESSAGES}"
        self.mutex = runtime.mutex()
        self.users = 0
        self.charged = 0
        self.size = 0
        self.tail = Tail(0)
        self.nodes: Nodes | None = None
        self.messages: list[Message] | None = None
        self.tree: Tree | None = None
        self._rooted_at = 0
        self.file = JSONLFile(
            files, self.path, encode=encode_message, decode=read_message, seal=self._seal
        )
        self._runtime = runtime
        self._on_fence = on_fence
        self._lease_since = lease_since
        self._scanner: Scanner[Message] | None = None

    @property
    def opened(self) -> bool:
        """Return whether anything has been read yet."""
        return self._scanner is not None

    @property
    def settled(self) -> int:
        """Return the boundary before which nothing can change any more."""
        return self._scanner.settled if self._scanner else 0

    @property
    def torn(self) -> int:
        """Return how many bytes stand behind the last LF."""
        return self.size - self._scanner.position if self._scanner else 0

    @property
    def cost(self) -> int:
        """Return about how many bytes of memory are held."""
        held = len(self.tail.recent) * NODE_BYTES
        if self.nodes is not None:
            held += len(self.nodes) * NODE_BYTES
        if self.messages is not None:
            held += self.size + len(self.messages) * MESSAGE_BYTES
        if self.tree is not None:
            held += len(self.tree) * TREE_BYTES
        return held

    async def refresh(self) -> None:
        """Read what has been added since the last look."""
        await self.catch_up(await self.file.size())

    async def catch_up(self, size: int) -> None:
        """Read on up to `size`; a log that has become shorter is read anew."""
        if self._scanner is None or size < self.size:
            await self._open(size)
        elif size > self.size:
            try:
                async for entries in self.file.scan(self._scanner, size):
                    self._take(entries)
            except Retracted:
                await self._open(size)
            self.size = size

    def forget(self) -> None:
        """Let go of all that was read."""
        self._scanner = None
        self.size = 0
        self.tail = Tail(0)
        self.nodes = self.messages = self.tree = None

    async def _open(self, size: int) -> None:
        self.forget()
        since = self._lease_since(self.session_id)
        # One more, so that a line which begins just there is seen to begin.
        want = max(TAIL_BYTES, 0 if since is None else size - since + 1)
        while True:
            block = await self.file.tail(size, want=want)
            self.tail = Tail(block.start)
            if not block.start:
                self.nodes, self.messages = Nodes(), []
            self._take(block.entries)
            if self.tail.known:
                break
            want *= 4
        # Last: an opening that was broken off has not happened.
        self._scanner, self.size = block.scanner, size

    async def head(self) -> str | None:
        """Return what the next message continues from, None for nothing.

        That is the last message if a damaged line took away the one that was switched to.
        """
        head = self.tail.head
        if head is None or head in self.tail.recent:
            return head
        nodes = await self.load(messages=False)
        if nodes.visible(head) is not None:
            return head
        return nodes.ids[-1] if len(nodes) > nodes.first_visible else None

    def _take(self, entries: Sequence[Entry[Message]]) -> None:
        for offset, end, message in entries:
            fence = self.tail.apply(offset, message)
            if fence is not None:
                self._on_fence(self.session_id, fence)
            if self.nodes is not None:
                self.nodes.apply(offset, end, message)
            if message.control is not None and is_control(message):
                continue
            if self.messages is not None:
                self.messages.append(message)
            if self.tree is not None:
                self.tree.add(message)

    async def load(self, *, messages: bool) -> Nodes:
        """Have the whole tree of ids and, with `messages`, every message; return the tree."""
        nodes = self.nodes
        if nodes is None or (messages and self.messages is None):
            decode: Callable[[bytes, int], Any] = read_message if messages else read_slim
            scanner: Scanner[Any] = Scanner(decode)
            nodes, loaded = Nodes(), list[Message]()
            async for entries in self.file.scan(scanner, self.settled):
                self._place(entries, nodes, loaded if messages else None)
                await self._runtime.sleep(0)  # a long read lets others run
            self.nodes = nodes
            if messages:
                self.messages = loaded
        return nodes

    @staticmethod
    def _place(entries: Sequence[Entry[Any]], nodes: Nodes, messages: list[Message] | None) -> None:
        for offset, end, node in entries:
            nodes.apply(offset, end, node)
            if messages is not None and (node.control is None or not is_control(node)):
                messages.append(node)

    def wrote(self, records: Sequence[Message], lines: Sequence[bytes], size: int) -> None:
        """Take in records that were just appended, in `lines`, so that the log has `size` bytes.

        Only if nothing torn stood before them: else `catch_up` reads them back.
        """
        assert self._scanner is not None
        at = size - sum(map(len, lines))
        entries: list[Entry[Message]] = []
        for record, line in zip(records, lines, strict=True):
            # What is cached is what was written: the caller may change its own objects.
            kept = record if self.messages is None else read_message(line[:-1], at)
            entries.append((at, at + len(line) - 1, kept))
            at += len(line)
        self._take([*self._scanner.skip(entries[-1][0], size), *entries])
        self.size = size

    async def load_tree(self) -> Tree:
        """Return the tree of the messages that no reset hides, kept up to date from now on."""
        nodes = await self.load(messages=True)
        if self.tree is None or self._rooted_at != nodes.first_visible:
            self.tree = Tree((self.messages or [])[nodes.first_visible :])
            self._rooted_at = nodes.first_visible
        return self.tree

    async def read_message(self, nodes: Nodes, ordinal: int) -> Message:
        """Return the message at `ordinal`, from the cache or from its place in the log."""
        if self.messages is not None:
            return self.messages[ordinal]
        start = nodes.starts[ordinal]
        line = await self.file.read_line(start, nodes.ends[ordinal])
        try:
            return read_message(line, start)
        except ValueError as error:
            # It was whole when it was read before: what is known of the log is not true any more.
            self.forget()
            raise CorruptionError(self.path, start, str(error)) from error

    async def mark(self, base: LogMark | None) -> LogMark:
        """Return how many messages there are, counting on from `base` if it holds."""
        if self.tail.count is None:
            self.tail.count = await self._count(base)
        return LogMark(size=self.settled, messages=self.tail.count, last_id=self.tail.last_id)

    async def _count(self, base: LogMark | None) -> int:
        if self.nodes is not None:
            return len(self.nodes) - self.nodes.first_visible
        start = count = 0
        if base is not None and await self.holds(base):
            start, count = base.size, base.messages
        scanner: Scanner[Node] = Scanner(read_slim, start)
        counter = Tail(0)
        counter.count = count
        async for entries in self.file.scan(scanner, self.settled):
            for offset, _, node in entries:
                counter.apply(offset, node)
            await self._runtime.sleep(0)
        return counter.count

    async def holds(self, mark: LogMark) -> bool:
        """Return whether the line that ends at `mark.size` is the one the mark names."""
        if mark.last_id is None and mark.messages:
            return False
        if mark.size == 0:
            return mark.last_id is None
        if mark.size > self.settled:
            return False
        block = await self.file.tail(mark.size, want=1 << 12)
        offset, _, last = block.entries[-1] if block.entries else (-1, -1, None)
        if block.scanner.position != mark.size or (last and last.id) != mark.last_id:
            return False
        # It may have been counted before the seal that voids it could be seen.
        behind = await self.file.read_line(mark.size, min(mark.size + SEAL_BYTES, self.settled))
        sealed = seal_of(behind.partition(b"\n")[0])
        return sealed is None or sealed[0] != offset

    def _seal(self, offset: int, length: int) -> bytes:
        return encode_message(
            control_record(
                self._runtime.new_id(),
                self._runtime.now_ms(),
                "seal",
                offset=offset,
                length=length,
            )
        )


class Logs:
    """The logs in use and those used last, within a budget of memory."""

    def __init__(
        self,
        files: FileSystem,
        runtime: Runtime,
        max_bytes: int,
        on_fence: OnFence,
        lease_since: LeaseSince,
    ) -> None:
        self._files = files
        self._runtime = runtime
        self._max_bytes = max_bytes
        self._on_fence = on_fence
        self._lease_since = lease_since
        self._logs: dict[str, SessionLog] = {}
        self._held = 0
        self._guard = threading.Lock()

    def using(self, session_id: str) -> "LogUse":
        """Return the log for `async with`, nobody else's as long as that lasts."""
        return LogUse(self, session_id)

    def take(self, session_id: str) -> SessionLog:
        """Return the log, which stays cached until it is given back.

        Raises `InvalidIdError` for an id of the original's that is no folder's name.
        """
        with self._guard:
            log = self._logs.pop(session_id, None)
            if log is None:
                check_foreign_session_id(session_id)
                log = SessionLog(
                    self._files, session_id, self._runtime, self._on_fence, self._lease_since
                )
            self._logs[session_id] = log  # the last in order is the last used
            log.users += 1
            return log

    def give_back(self, log: SessionLog) -> None:
        """Let the log go, and whatever is over the budget, the longest unused first."""
        with self._guard:
            log.users -= 1
            if self._logs.get(log.session_id) is log:
                self._held += log.cost - log.charged
                log.charged = log.cost
            if self._held > self._max_bytes:
                self._trim()

    def drop(self, session_id: str) -> None:
        """Forget the log of a session that is gone."""
        with self._guard:
            log = self._logs.pop(session_id, None)
            if log is not None:
                self._held -= log.charged

    def clear(self) -> None:
        """Forget every log, in use or not: the process was forked."""
        self._guard = threading.Lock()
        self._logs = {}
        self._held = 0

    def _trim(self) -> None:
        for session_id, log in list(self._logs.items()):
            if self._held <= self._max_bytes:
                return
            if log.users:
                continue
            log.nodes = log.messages = log.tree = None
            self._held += log.cost - log.charged
            log.charged = log.cost
            if self._held > self._max_bytes and self._lease_since(session_id) is None:
                del self._logs[session_id]
                self._held -= log.charged


class LogUse:
    """`async with logs.using(session_id) as log`.

    A log that goes while it is in use is `SessionNotFoundError`: its session was deleted.
    """

    __slots__ = ("_log", "_logs", "_session_id")

    def __init__(self, logs: Logs, session_id: str) -> None:
        self._logs = logs
        self._session_id = session_id

    async def __aenter__(self) -> SessionLog:
        self._log = self._logs.take(self._session_id)
        try:
            await self._log.mutex.__aenter__()
        except BaseException:
            self._logs.give_back(self._log)
            raise
        return self._log

    async def __aexit__(self, _kind: object, error: object, _trace: object) -> None:
        await self._log.mutex.__aexit__(None, None, None)
        self._logs.give_back(self._log)
        if isinstance(error, NotFoundError):
            raise SessionNotFoundError(self._session_id) from error
