"""A link between clients and a server that fails where and when it is told to."""

import asyncio
import re
import socket
import ssl
import struct
import threading
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Final, Literal, TypeAlias, TypeVar

Way: TypeAlias = Literal["requests", "replies"]
Streams: TypeAlias = tuple[asyncio.StreamReader, asyncio.StreamWriter]
T = TypeVar("T")

PIECE_BYTES: Final = 1_000
READ_BYTES: Final = 65_536
PATIENCE_SECONDS: Final = 10
_ADDRESS: Final = re.compile(r"(?<=[@/])([^/@:?]+):(\d+)(?=[/?&]|$)")
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


@dataclass(eq=False)
class Link:
    """A connection of a client, and the one to the server that belongs to it."""

    client: Streams
    server: Streams
    spoke_last: Way = "replies"
    said: bytes = b""

    def close(self) -> None:
        """End both as somebody does who has nothing more to say."""
        for _, writer in (self.client, self.server):
            writer.close()

    def reset(self) -> None:
        """End both as a broken network does."""
        for _, writer in (self.client, self.server):
            _reset(writer)


@dataclass
class Cut:
    """Lets so many bytes pass in one direction, on whatever connection, and not the next one."""

    way: Way
    left: int

    def allows(self, link: Link, way: Way, data: bytes) -> int:
        """Return how many of these bytes pass; if not all, the link is to be cut."""
        if way != self.way:
            return len(data)
        passed = min(self.left, len(data))
        self.left -= passed
        return passed


@dataclass
class DropReply:
    """Lets the request that holds certain bytes pass, and nothing of its answer."""

    to: bytes
    asked: Link | None = field(default=None, init=False)

    def allows(self, link: Link, way: Way, data: bytes) -> int:
        """See `Cut.allows`."""
        if way == "requests" and self.asked is None:
            link.said += data
            self.asked = link if self.to in link.said else None
        return 0 if way == "replies" and link is self.asked else len(data)


class Proxy:
    """Stands before the server of a URL; its own `url` leads through it.

    It counts what it carries: `connections`, `bytes_passed`, and `turns`: how often a client
    spoke that had not spoken last on its connection, which is the number of round trips. With
    `tls` it speaks that to the client, where the server does not.
    """

    def __init__(self, url: str, *, tls: ssl.SSLContext | None = None) -> None:
        found = _ADDRESS.search(url)
        assert found is not None, "a URL with a host and a port"
        self.lead_to(url)
        self._plan: Cut | DropReply | None = None
        self._struck = False
        self._stalled: set[Way] = set()
        self._delay = 0.0
        self._links: set[Link] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)
        self._thread.start()
        self._listener = self._run(asyncio.start_server(self._accept, "127.0.0.1", 0, ssl=tls))
        self.port: int = self._listener.sockets[0].getsockname()[1]
        self.url = f"{url[: found.start()]}127.0.0.1:{self.port}{url[found.end() :]}"
        self.count_anew()

    def __enter__(self) -> "Proxy":
        return self

    def __exit__(self, *_: object) -> None:
        self.heal()
        self._run(self._close())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(PATIENCE_SECONDS)
        self._loop.close()

    @property
    def struck(self) -> bool:
        """Whether the cut or drop that was asked for last has happened."""
        return self._struck

    def cut(self, way: Way, after: int) -> None:
        """Reset the connection that brings one more byte than `after` in this direction."""
        self._arm(Cut(way, after))

    def drop_reply(self, to: bytes = b"") -> None:
        """Reset the connection on which the server answers the next request that holds `to`."""
        self._arm(DropReply(to))

    def reset(self) -> None:
        """Reset every connection there is."""
        self._run(self._reset())

    def stall(self, *ways: Way) -> None:
        """Let nothing pass in these directions, or in both, and say nothing."""
        self._stalled = set(ways or ("requests", "replies"))

    def lead_to(self, url: str) -> None:
        """Lead who connects from now on to another server; connections that are there stay."""
        found = _ADDRESS.search(url)
        assert found is not None, "a URL with a host and a port"
        self._server = (found[1], int(found[2]))

    def slow(self, seconds: float) -> None:
        """Let every `PIECE_BYTES` wait so long."""
        self._delay = seconds

    def heal(self) -> None:
        """Let everything pass, also what has waited."""
        self._stalled = set()
        self._delay = 0.0
        self._arm(None)

    def count_anew(self) -> None:
        """Begin to count at nothing."""
        self.connections = self.bytes_passed = self.turns = 0

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            server = await asyncio.open_connection(*self._server)
        except OSError:
            _reset(writer)
            return
        self.connections += 1
        link = Link((reader, writer), server)
        self._links.add(link)
        try:
            await asyncio.gather(self._carry(link, "requests"), self._carry(link, "replies"))
        finally:
            self._links.discard(link)

    async def _carry(self, link: Link, way: Way) -> None:
        (reader, _), (_, writer) = (
            (link.client, link.server) if way == "requests" else (link.server, link.client)
        )
        try:
            while data := await reader.read(READ_BYTES):
                while way in self._stalled:
                    await asyncio.sleep(0.005)
                passed = len(data) if self._plan is None else self._plan.allows(link, way, data)
                await self._pass(link, way, data[:passed], writer)
                if passed < len(data):
                    link.reset()
                    self._plan, self._struck = None, True
        except OSError:
            link.reset()
        link.close()

    async def _pass(self, link: Link, way: Way, data: bytes, to: asyncio.StreamWriter) -> None:
        self.bytes_passed += len(data)
        self.turns += way == "requests" and link.spoke_last == "replies"
        link.spoke_last = way
        size = PIECE_BYTES if self._delay else READ_BYTES
        for start in range(0, len(data), size):
            await asyncio.sleep(self._delay)
            to.write(data[start : start + size])
            await to.drain()

    async def _reset(self) -> None:
        while self._links:
            for link in self._links:
                link.reset()
            await asyncio.sleep(0.001)

    async def _close(self) -> None:
        self._listener.close()
        await self._reset()
        await self._listener.wait_closed()

    def _arm(self, plan: Cut | DropReply | None) -> None:
        async def arm() -> None:
            self._plan, self._struck = plan, False
            for link in self._links:
                link.said = b""

        self._run(arm())

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(PATIENCE_SECONDS)


def _reset(writer: asyncio.StreamWriter) -> None:
    connection = writer.get_extra_info("socket")
    with suppress(OSError):  # it is closed
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
    writer.transport.abort()
