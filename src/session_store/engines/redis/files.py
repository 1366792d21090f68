"""The ten verbs on Redis."""

from collections.abc import Awaitable, Sequence
from secrets import token_hex
from time import time_ns
from typing import Any, Final, NamedTuple

from session_store.errors import ConflictError, NotFoundError
from session_store.files.filesystem import ABSENT, ANY, FileStats, IfVersion, Page, Traits
from session_store.files.paths import check_path
from session_store.index.manager import Recount
from session_store.index.table import TableIndex
from session_store.runtime import Runtime

from . import scripts
from .client import Client, together
from .table import RedisTable
from .watching import Watching

END: Final = 1 << 52


class Outcome(NamedTuple):
    """What a script answers: what was done, and the file as it is then."""

    status: int
    nonce: bytes = b""
    size: int = 0
    changes: int = 0
    mtime_ms: bytes = b"0"
    fresh: int = 0

    @property
    def version(self) -> str | None:
        """The version of the file, None for no file: a nonce is drawn whenever one is made."""
        return f"{self.nonce.decode()}.{self.changes}" if self.nonce else None

    @property
    def stats(self) -> FileStats:
        """What is known of the file."""
        assert self.version is not None
        return FileStats(size=self.size, mtime_ms=int(self.mtime_ms), version=self.version)


class RedisFileSystem:
    """Files in the keys of a server or a cluster, shared by every host that reaches it.

    With `appendfsync always` what was appended survives a power cut as soon as it is answered.
    """

    def __init__(self, client: Client) -> None:
        self._client = client
        self._names = client.names
        self._watching = Watching(client)

    def session_index(
        self, runtime: Runtime, *, recount: Recount, save_delay_ms: int
    ) -> TableIndex:
        """See `OwnIndex.session_index`."""
        return TableIndex(
            RedisTable(self._client),
            self,
            runtime,
            recount=recount,
            save_delay_ms=save_delay_ms,
            io_timeout_ms=self._client.io_timeout_ms,
        )

    @property
    def traits(self) -> Traits:
        """Facts about this engine; before the first call it is taken to be durable."""
        lasting = self._client.lasting
        return Traits(scope="network", durable=lasting, blocking=False, durable_appends=True)

    async def stat(self, path: str) -> FileStats:
        """See `FileSystem.stat`."""
        outcome = await self._look(path)
        if not outcome.nonce:
            raise NotFoundError(path)
        return outcome.stats

    async def exists(self, path: str) -> bool:
        """See `FileSystem.exists`."""
        return bool((await self._look(path)).nonce)

    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        """See `FileSystem.read`."""
        check_path(path)
        stop = END if end is None else min(end, END)
        while True:
            data = await self._read(path, start, stop)
            if data is not None:
                return data

    async def _read(self, path: str, start: int, stop: int) -> bytes | None:
        """Return the bytes, None if the file was replaced between two calls."""
        parts: list[bytes] = []
        at, nonce = start, b""
        while True:
            pair = self._names.pair(path)
            answer = await self._client.run(
                path, scripts.READ, pair, path, at, stop, nonce, changes=False
            )
            if answer[0] == scripts.ABSENT:
                raise NotFoundError(path)
            if answer[0] == scripts.MOVED:
                return None
            _, nonce, size, data = answer
            parts.append(data)
            at += len(data)
            if not data or at >= min(stop, size):
                return b"".join(parts)

    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        """See `FileSystem.write`."""
        outcome = await self._put(path, scripts.WRITE, data, _wanted(if_version))
        if outcome.status == scripts.CONFLICT:
            raise ConflictError(path, expected=if_version, actual=outcome.version)
        return outcome.stats

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        """See `FileSystem.append`."""
        expected = "" if if_size is None else str(if_size)
        outcome = await self._put(path, scripts.APPEND, data, expected, grows=bool(if_size))
        if outcome.status == scripts.CONFLICT:
            raise ConflictError(path, expected=if_size, actual=outcome.size)
        return outcome.size

    async def delete(self, path: str, *, if_version: IfVersion = ANY) -> None:
        """See `FileSystem.delete`."""
        check_path(path)
        pair, channel = self._names.pair(path), self._names.channel
        answer = await self._client.run(
            path, scripts.REMOVE, pair, path, _wanted(if_version), channel
        )
        outcome = Outcome(*answer)
        if outcome.status == scripts.CONFLICT:
            raise ConflictError(path, expected=if_version, actual=outcome.version)

    async def delete_tree(self, path: str) -> None:
        """See `FileSystem.delete_tree`."""
        check_path(path)
        pair, channel = self._names.pair(path), self._names.channel
        left = await self._client.run(path, scripts.REMOVE_TREE, pair, path, channel)
        if not left:
            await self._unlist(path)

    async def list(self, path: str, *, after: str = "", limit: int = 1000) -> Page:
        """See `FileSystem.list`."""
        if path:
            check_path(path)
            values = (path, after, limit + 1)
            pair = self._names.pair(path)
            found = await self._client.run(path, scripts.LIST, pair, *values, changes=False)
            names: Sequence[str] = [name.decode() for name in found]
        else:
            names = await self._root(after, limit + 1)
        page = [*names[:limit]]
        return Page(page, after=page[-1] if len(names) > limit else None)

    async def mkdir(self, path: str) -> None:
        """See `FileSystem.mkdir`; here a folder is what its files are named with."""
        if path:
            check_path(path)
        self._client.check_open()

    async def sync(self, path: str) -> None:
        """See `FileSystem.sync`; what was answered is as durable as the server makes it."""
        if not await self.exists(path):
            raise NotFoundError(path)

    def changed(self, path: str, size: int, timeout: float) -> Awaitable[None]:
        """See `Watch.changed`; told by the server, also of what another host does."""
        check_path(path)
        return self._watching.changed(path, size, timeout, self.stat)

    async def close(self) -> None:
        """See `FileSystem.close`."""
        await self._watching.close()
        await self._client.close()

    async def _look(self, path: str) -> Outcome:
        check_path(path)
        pair = self._names.pair(path)
        return Outcome(*await self._client.run(path, scripts.STAT, pair, path, changes=False))

    async def _put(
        self, path: str, script: str, data: bytes, expected: str, *, grows: bool = False
    ) -> Outcome:
        """Return what a script did that may make a file, whose folder is listed in the root."""
        check_path(path)
        if not grows:
            await self._enlist(path)
        now = str(time_ns() // 1_000_000)
        values = (path, data, expected, token_hex(8), now, self._names.channel)
        answer = await self._client.run(path, script, self._names.pair(path), *values)
        return await self._finish(path, Outcome(*answer))

    async def _finish(self, path: str, outcome: Outcome) -> Outcome:
        """Return what was done, or raise what hindered it."""
        if outcome.status == scripts.DELETED:
            raise NotFoundError(path)
        if outcome.fresh:
            # Once more: who removed the folder before may have taken it from the list since.
            await self._enlist(path, again=True)
        return outcome

    async def _enlist(self, path: str, *, again: bool = False) -> None:
        """Have the first component of a path in the list of the root, before it is there."""
        name, slash, _ = path.partition("/")
        entry = name + slash if slash else name
        if again or self._client.is_new(entry):
            await self._client.ask(
                path, lambda client: client.zadd(self._names.root, {entry: 0}), changes=True
            )
            self._client.learn(entry)

    async def _unlist(self, path: str) -> None:
        name = path.partition("/")[0]
        self._client.unlearn(f"{name}/")

        async def take_out(client: Any) -> None:
            await client.zrem(self._names.root, f"{name}/")
            # Made again meanwhile.
            if await client.exists(f"{self._names.top(name)}:names"):
                await client.zadd(self._names.root, {f"{name}/": 0})

        await self._client.ask(path, take_out, changes=True)

    async def _root(self, after: str, limit: int) -> Sequence[str]:
        """Return the names in the root; what is listed and not there is left out."""
        names: list[str] = []
        start = f"({after}" if after else "-"

        async def look(client: Any) -> list[tuple[str, bool]]:
            found = await client.zrangebylex(self._names.root, start, "+", start=0, num=limit)
            entries = [name.decode() for name in found]
            there = await together([self._is_there(client, entry) for entry in entries])
            return list(zip(entries, map(bool, there), strict=True))

        while len(names) < limit:
            entries = await self._client.ask("", look)
            names += [name for name, there in entries if there]
            if len(entries) < limit:
                break
            start = f"({entries[-1][0]}"
        return names

    async def _is_there(self, client: Any, entry: str) -> int:
        """Return whether an entry of the list is more than a name."""
        name = entry.removesuffix("/")
        top = self._names.top(name)
        if name == entry:
            found: int = await client.hexists(f"{top}:files", name)
        else:
            found = await client.zlexcount(f"{top}:names", f"[{entry}", f"({name}0")
        return found


def _wanted(if_version: IfVersion) -> str:
    if if_version is ANY:
        return ""
    return "absent" if if_version is ABSENT else str(if_version)


__all__ = ["RedisFileSystem"]
