"""One session's log as this store object knows it: opened from its end, read on, cached.

Opening reads the last 64 KiB; only what needs the whole tree reads the whole log, once.
What is cached is only ever a prefix of the log: reading on costs what is new.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate
from typing import Any, Final

from session_store.errors import CorruptionError
from session_store.files.filesystem import FileSystem
from session_store.jsonl.file import CHUNK_BYTES, TAIL_BYTES, Block, JSONLFile
from session_store.jsonl.scanner import Entry, Retracted, Scanner, seal_of
from session_store.model.messages import encode_message
from session_store.model.records import LogMark, Message
from session_store.model.tree import Tree
from session_store.runtime import Runtime

from .records import (
    MESSAGES,
    Node,
    control_record,
    is_fixed,
    read_message,
    read_slim,
    said_in,
)
from .replay import Fence, Nodes, Tail, count_on

# Resident memory of 60,000 messages, measured with texts of 100, 300 and 1,500 bytes: a message
# takes its line and up to 540 bytes more, a node of ids 230, a node of the tree 50 to 85.
MESSAGE_BYTES: Final = 540
NODE_BYTES: Final = 230
TREE_BYTES: Final = 85
GAP_BYTES: Final = 1 << 14
"""What is read to no purpose rather than asked for apart: a call costs as much as 100 KiB."""
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
        self.charged = self.charged_at = 0
        self.size = 0
        self.tail = Tail(0)
        self._fresh: list[tuple[int, int, Message | bytes]] = []
        """What the tree has not yet; a line stands for a message whose objects a caller has."""
        self._nodes: Nodes | None = None
        self.messages: list[Message] | None = None
        self.tree: Tree | None = None
        self._met: dict[int, Message] = {}
        self._met_bytes = 0
        self._rooted_at = 0
        self.file = JSONLFile(
            files, self.path, encode=encode_message, decode=read_message, seal=self._seal
        )
        self._runtime = runtime
        self._on_fence = on_fence
        self._lease_since = lease_since
        self._scanner: Scanner[Message] | None = None

    @property
    def nodes(self) -> Nodes | None:
        """Return the tree of ids, None if only the end of the log is known."""
        if self._fresh:
            self._fold()
        return self._nodes

    @nodes.setter
    def nodes(self, nodes: Nodes | None) -> None:
        self._fresh.clear()
        self._nodes = nodes

    def _fold(self) -> None:
        """Take into the tree, and to the messages, what has come since it was last asked for."""
        assert self._nodes is not None
        fresh = [
            (start, end, read_message(kept, start) if isinstance(kept, bytes) else kept)
            for start, end, kept in self._fresh
        ]
        self._fresh = []
        self._nodes.extend(fresh)
        if self.messages is None:
            return
        said = said_in(fresh)
        self.messages += said
        if self.tree is not None:
            for message in said:
                self.tree.add(message)

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
        fresh = len(self._fresh)
        held = self.tail.remembered * NODE_BYTES
        if self._nodes is not None:
            held += (len(self._nodes) + fresh) * NODE_BYTES
        if self.messages is not None:
            held += self.size + (len(self.messages) + fresh) * MESSAGE_BYTES
        elif fresh:
            held += self.size - self._fresh[0][0] + fresh * MESSAGE_BYTES
        held += self._met_bytes + len(self._met) * MESSAGE_BYTES
        if self.tree is not None:
            held += len(self.tree) * TREE_BYTES
        return held

    async def refresh(self, *, whole: bool = False) -> None:
        """Read what has been added since the last look; of a log not yet known its end.

        With `whole` it is read from its beginning, which saves who wants every message a second
        reading, and with a small log the question for its size.
        """
        if whole and self._scanner is None:
            await self._read_whole()
        else:
            await self.catch_up(await self.file.size())

    async def _read_whole(self) -> None:
        self.forget()
        nodes, messages = Nodes(), list[Message]()
        scanner = Scanner(read_message)
        async for entries in self.file.scan(scanner):
            self._take(entries)
            nodes.extend(entries)
            messages += said_in(entries)
            await self._runtime.sleep(0)  # a long read lets others run
        # Last: a reading that was broken off has not happened.
        self.nodes, self.messages = nodes, messages
        self._scanner, self.size = scanner, scanner.seen

    async def catch_up(self, size: int) -> None:
        """Read on up to `size`; a log that has become shorter, or another, is read anew."""
        if self._scanner is None or size < self.size:
            await self._open(size)
        elif size > self.size:
            try:
                async for entries in self.file.scan(self._scanner, size):
                    self._take(entries)
            except Retracted:
                await self._open(size)
            self.size = size

    def read_on(self, data: bytes) -> bool:
        """Take in what stands behind a log that `goes_on`; False if it must be read anew."""
        assert self._scanner is not None
        try:
            self._take(self._scanner.feed(data))
        except Retracted:
            self.forget()
            return False
        self.size += len(data)
        return True

    def forget(self) -> None:
        """Let go of all that was read."""
        self._scanner = None
        self.size = 0
        self.tail = Tail(0)
        self.let_go()

    def let_go(self) -> None:
        """Let go of what only the whole log can tell; it is read again when it is asked for."""
        self.nodes = self.messages = self.tree = None
        self._met, self._met_bytes = {}, 0

    async def _open(self, size: int) -> None:
        self.forget()
        since = self._lease_since(self.session_id)
        # One more, so that a line which begins just there is seen to begin.
        want = max(TAIL_BYTES, 0 if since is None else size - since + 1)
        while not self._begin(await self.file.tail(size, want=want), size):
            want *= 4

    def _begin(self, block: Block[Message], size: int) -> bool:
        """Take in the last records of a log of `size` bytes; False if the head is none of them."""
        self.tail = Tail(block.start)
        if not block.start:
            self.nodes, self.messages = Nodes(), []
        self._take(block.entries)
        if self.tail.known:
            # Last: an opening that was broken off has not happened.
            self._scanner, self.size = block.scanner, size
        return self.tail.known

    async def head(self) -> str | None:
        """Return what the next message continues from, None for nothing.

        That is the last message if a damaged line took away the one that was switched to.
        """
        head = self.tail.head
        if head is None or self.tail.met(head):
            return head
        nodes = await self.load(messages=False)
        if nodes.visible(head) is not None:
            return head
        return nodes.ids[-1] if len(nodes) > nodes.first_visible else None

    def _take(self, entries: Sequence[Entry[Message]]) -> None:
        for fence in self.tail.extend(entries):
            self._on_fence(self.session_id, fence)
        if self._nodes is not None:
            self._fresh += entries

    def _apply(self, offset: int, message: Message) -> None:
        fence = self.tail.apply(offset, message)
        if fence is not None:
            self._on_fence(self.session_id, fence)

    async def load(self, *, messages: bool) -> Nodes:
        """Have the whole tree of ids and, with `messages`, every message; return the tree."""
        nodes = self.nodes
        if nodes is None or (messages and self.messages is None):
            decode: Callable[[bytes, int], Any] = read_message if messages else read_slim
            scanner: Scanner[Any] = Scanner(decode)
            nodes, loaded = Nodes(), list[Message]()
            async for entries in self.file.scan(scanner, self.settled):
                nodes.extend(entries)
                if messages:
                    loaded += said_in(entries)
                await self._runtime.sleep(0)  # a long read lets others run
            self.let_go()
            self.nodes = nodes
            if messages:
                self.messages = loaded
        return nodes

    def wrote(self, records: Sequence[Message], lines: Sequence[bytes], size: int) -> None:
        """Take in records that were just appended, in `lines`, so that the log has `size` bytes.

        Only if nothing torn stood before them: else `catch_up` reads them back.
        """
        assert self._scanner is not None
        starts = list(accumulate(map(len, lines), initial=size - sum(map(len, lines))))
        starts.pop()
        self._take(self._scanner.skip(starts[-1], lines[-1]))
        for start, record, line in zip(starts, records, lines, strict=True):
            self._apply(start, record)
            self._keep(start, record, line)
        self.size = size

    def goes_on(self) -> bool:
        """Return whether it is known to its end, a settled line, and the head is one just met."""
        scanner, tail = self._scanner, self.tail
        head = tail.head
        return (
            scanner is not None
            and scanner.settled == self.size > 0
            and head is not None
            and tail.met(head)
        )

    def wrote_one(self, message: Message, line: bytes) -> None:
        """Take in a message that was just appended in `line` to a log that `goes_on`."""
        assert self._scanner is not None
        start = self.size
        self.size = start + len(line)
        self._scanner.step(start, line)
        tail = self.tail
        tail.last_id, tail.last_timestamp = message.id, message.timestamp
        tail.said(message.id, message.branch)
        self._keep(start, message, line)

    def _keep(self, start: int, message: Message, line: bytes) -> None:
        if self._nodes is not None:
            # The caller may change its objects; and what nobody reads need not be decoded.
            shared = self.messages is not None and not is_fixed(message)
            self._fresh.append((start, start + len(line) - 1, line[:-1] if shared else message))

    async def load_tree(self) -> Tree:
        """Return the tree of the messages that no reset hides, kept up to date from now on."""
        nodes = await self.load(messages=True)
        if self.tree is None or self._rooted_at != nodes.first_visible:
            self.tree = Tree((self.messages or [])[nodes.first_visible :])
            self._rooted_at = nodes.first_visible
        return self.tree

    async def read_message(self, nodes: Nodes, ordinal: int) -> Message:
        """Return the message at `ordinal`, from the cache or from its place in the log."""
        return (await self.read_messages(nodes, [ordinal]))[0]

    async def read_messages(self, nodes: Nodes, ordinals: Sequence[int]) -> list[Message]:
        """Return the messages at `ordinals`, from the cache or from their places in the log."""
        if self.messages is None and len(ordinals) > len(nodes) // 2:
            loaded = await self.load(messages=True)
            if loaded.ends != nodes.ends:
                self.forget()
                raise CorruptionError(self.path, nodes.starts[0], "lines have changed")
        if self.messages is not None:
            return [self.messages[ordinal] for ordinal in ordinals]
        wanted = [ordinal for ordinal in ordinals if ordinal not in self._met]
        while wanted:
            wanted = wanted[await self._meet(nodes, wanted) :]
        return [self._met[ordinal] for ordinal in ordinals]

    async def _meet(self, nodes: Nodes, ordinals: Sequence[int]) -> int:
        """Read the first of these messages and those that follow closely; return how many."""
        begin = nodes.starts[ordinals[0]]
        end, count = nodes.ends[ordinals[0]], 1
        for ordinal in ordinals[1:]:
            near = 0 <= nodes.starts[ordinal] - end <= GAP_BYTES
            if not near or nodes.ends[ordinal] - begin > CHUNK_BYTES:
                break
            end = nodes.ends[ordinal]
            count += 1
        data = await self.file.read_line(begin, end)
        for ordinal in ordinals[:count]:
            start = nodes.starts[ordinal]
            # As the scanner does: a hole before it makes it no worse.
            line = data[start - begin : nodes.ends[ordinal] - begin].lstrip(b"\0")
            try:
                self._met[ordinal] = read_message(line, start)
            except ValueError as error:
                # It was whole when it was read: what is known of the log is not true any more.
                self.forget()
                raise CorruptionError(self.path, start, str(error)) from error
            self._met_bytes += len(line)
        return count

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
        async for entries in self.file.scan(scanner, self.settled):
            count = count_on(count, entries)
            await self._runtime.sleep(0)
        return count

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
