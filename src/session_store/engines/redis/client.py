"""Asking a server or a cluster: one client an event loop, no retries, every error typed."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from hashlib import sha1
from typing import Any, Final, TypeVar
from urllib.parse import urlsplit, urlunsplit

import redis
import redis.asyncio
import redis.asyncio.cluster
import redis.exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from session_store.errors import (
    ClosedError,
    ConfigError,
    SessionStoreError,
    StorageFullError,
    UnavailableError,
)
from session_store.runtime import on_fork

from .names import Names

T = TypeVar("T")

VERSION: Final = 1
"""Of the keys and what is in them; stands under `<prefix>:version`."""
MOST: Final = 32
"""So many connections at once; who comes then waits for one."""

KNOWN_MAX: Final = 100_000
STEPS: Final = 3
"""A node of a cluster that is silent for such a part of the time-out counts as dead."""
MOVING_SECONDS: Final = 0.05
"""What belongs to a slot that is just moving to another node is asked for again after this."""

# What a server answers for sure without having done anything.
_UNDONE: Final = (redis.exceptions.ResponseError, redis.exceptions.ClusterDownError)


BROKEN: Final = (
    redis.exceptions.RedisError,
    # Not a kind of the first: no node of a cluster is there, or none of those that are needed.
    redis.exceptions.RedisClusterException,
    OSError,
)


class Cluster(redis.asyncio.cluster.RedisCluster):
    """A client of a cluster where who comes when all connections are in use waits for one.

    The client by itself refuses him.
    """

    def __init__(self, *args: Any, **given: Any) -> None:
        super().__init__(*args, **given)
        self._room = asyncio.Semaphore(MOST)

    async def execute_command(self, *args: Any, **options: Any) -> Any:
        """Return the answer, also of what is just moving from one node to another."""
        while True:
            try:
                async with self._room:
                    return await super().execute_command(*args, **options)
            except redis.exceptions.ClusterError as error:
                # Its kinds say something else; itself, that nobody who was asked has done it.
                if type(error) is not redis.exceptions.ClusterError:
                    raise
            await asyncio.sleep(MOVING_SECONDS)


class Client:
    """Connections of one process in one event loop; another loop or a child begins anew."""

    def __init__(self, url: str, prefix: str, io_timeout_ms: int) -> None:
        self.names = Names(prefix)
        self.io_timeout_ms = io_timeout_ms
        self.lasting = True
        self._url = url
        self._closed = False
        self._start()
        on_fork(self)

    def __repr__(self) -> str:
        return f"Client(prefix={self.names.prefix!r})"

    def _start(self) -> None:
        self._client: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._opening = asyncio.Lock()
        self._known: set[str] = set()

    def after_fork(self) -> None:
        """Begin anew in a child: the parent goes on with what is open."""
        _left_to_the_parent.append(self._client)
        self._start()

    async def ask(
        self, path: str, question: Callable[[Any], Awaitable[T]], *, changes: bool = False
    ) -> T:
        """Return `question(client)` within the time-out; `path` is what errors name.

        If the answer of what `changes` something was lost it raises `UnavailableError` with
        `unknown`.
        """
        sent = False
        try:
            async with asyncio.timeout(self.io_timeout_ms / 1000):
                client = await self.open()
                sent = True
                return await question(client)
        except TimeoutError:
            reason = f"no answer within {self.io_timeout_ms} ms"
            raise UnavailableError(path, reason, unknown=sent and changes) from None
        except BROKEN as error:
            if isinstance(error, redis.exceptions.ReadOnlyError):
                await self._turn_away()
            raise _typed(path, error, unknown=sent and changes) from error

    async def _turn_away(self) -> None:
        """Connect anew: who answers is master no more, and its address may lead elsewhere by now.

        A cluster says itself who is master now.
        """
        pool = getattr(self._client, "connection_pool", None)
        if pool is not None:
            await pool.update_active_connections_for_reconnect()
            await pool.disconnect(inuse_connections=False)

    async def is_made(self) -> bool:
        """Return whether there is a store under the prefix; none is made."""
        client = self._make()
        try:
            async with asyncio.timeout(self.io_timeout_ms / 1000):
                return bool(await client.exists(self.names.version))
        except TimeoutError:
            raise UnavailableError("", f"no answer within {self.io_timeout_ms} ms") from None
        except BROKEN as error:
            raise _typed("", error, unknown=False) from error
        finally:
            await client.aclose()

    async def run(
        self,
        path: str,
        script: str,
        keys: Sequence[str],
        *values: str | bytes | float,
        changes: bool = True,
    ) -> Any:
        """Return what a script answers, in one round trip once the server knows it."""

        async def question(client: Any) -> Any:
            return await evaluate(client, script, keys, *values)

        return await self.ask(path, question, changes=changes)

    async def open(self) -> Any:
        """Return the client of this event loop, the server having been asked who it is."""
        self.check_open()
        loop = asyncio.get_running_loop()
        if self._loop is not loop:
            self._start()
            self._loop = loop
        if self._client is None:
            async with self._opening:
                if self._client is None:
                    client = self._make()
                    try:
                        await self._prepare(client)
                    except BaseException:
                        await client.aclose()
                        raise
                    self._client = client
        return self._client

    def check_open(self) -> None:
        """Raise `ClosedError` after `close`."""
        if self._closed:
            raise ClosedError

    def _make(self) -> Any:
        seconds = self.io_timeout_ms / 1000
        given: dict[str, Any] = {
            # `ask` gives up in time; the client would make a task for each command to do so.
            "socket_timeout": None,
            "socket_connect_timeout": seconds,
            # By default an append whose answer was lost would be sent again, and stand twice.
            "retry": Retry(NoBackoff(), 0),
            "max_connections": MOST,
        }
        parts = urlsplit(self._url)
        if "+cluster" in parts.scheme:
            url = urlunsplit(parts._replace(scheme=parts.scheme.replace("+cluster", "")))
            # A node that says nothing has to be given up while there is time to ask who took its
            # place: what `ask` gives up, the client does not hear of.
            given["socket_timeout"] = given["socket_connect_timeout"] = seconds / STEPS
            # One more to a node that has just lost some, and for who listens there.
            given["max_connections"] = 2 * MOST
            # Whoever follows a slot that moves would close all connections, those of others too.
            return Cluster.from_url(url, reinitialize_steps=0, **given)
        pool = redis.asyncio.BlockingConnectionPool.from_url(self._url, timeout=seconds, **given)
        client = redis.asyncio.Redis(connection_pool=pool, retry=Retry(NoBackoff(), 0))
        client.auto_close_connection_pool = True
        return client

    async def _prepare(self, client: Any) -> None:
        """See that the keys are of this version, and what the server promises."""
        await self._see_version(client)
        # Of a cluster every master is asked.
        every = {"target_nodes": Cluster.PRIMARIES} if isinstance(client, Cluster) else {}
        for memory in _each(await client.info("memory", **every)):
            policy = memory.get("maxmemory_policy", "noeviction")
            if memory.get("maxmemory") and policy != "noeviction":
                reason = f"the server throws keys away when its memory is full ({policy})"
                raise ConfigError("url", f"{reason}: CONFIG SET maxmemory-policy noeviction")
        try:
            settings = _each(await client.config_get("appendonly", "appendfsync", **every))
        except redis.exceptions.ResponseError:
            settings = [{}]  # some providers forbid it
        self.lasting = all(
            one.get("appendonly") == "yes" and one.get("appendfsync") == "always"
            for one in settings
        )

    async def _see_version(self, client: Any) -> None:
        try:
            # Looked at before it is made: a server whose memory is full can still be read.
            made = await client.get(self.names.version)
            if made is None:
                made = await client.set(self.names.version, VERSION, nx=True, get=True)
            version = VERSION if made is None else int(made) if made.isdigit() else 0
        except redis.exceptions.ResponseError as error:
            if not str(error).startswith("WRONGTYPE"):
                raise
            version = 0
        if not version:
            reason = f"the keys {self.names.prefix}:… belong to something else"
            raise ConfigError("url", f"{reason}: name another prefix with ?prefix=…")
        if version > VERSION:
            reason = f"the store has version {version}, this release knows up to {VERSION}"
            raise ConfigError("url", f"{reason}: pip install -U session-store")

    def is_new(self, entry: str) -> bool:
        """Return whether this process has not yet seen the entry in the list of the root."""
        return entry not in self._known

    def learn(self, entry: str) -> None:
        """Remember that the entry is in the list of the root."""
        if len(self._known) >= KNOWN_MAX:
            self._known.clear()
        self._known.add(entry)

    def unlearn(self, entry: str) -> None:
        """Forget it."""
        self._known.discard(entry)

    async def close(self) -> None:
        """Close what is open; later calls raise `ClosedError`."""
        self._closed = True
        client, self._client = self._client, None
        if client is not None and self._loop is asyncio.get_running_loop():
            await client.aclose()


_left_to_the_parent: list[Any] = []
_hashes: dict[str, str] = {}


async def evaluate(
    client: Any, script: str, keys: Sequence[str], *values: str | bytes | float
) -> Any:
    """Return what a script answers."""
    digest = _hashes.get(script)
    if digest is None:
        digest = _hashes[script] = sha1(script.encode(), usedforsecurity=False).hexdigest()
    try:
        return await client.evalsha(digest, len(keys), *keys, *values)
    except redis.exceptions.NoScriptError:
        return await client.eval(script, len(keys), *keys, *values)


async def together(calls: Sequence[Awaitable[T]]) -> list[T]:
    """Return what the calls return, made at once; the first error is raised when all are over."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers  # type: ignore[return-value]


def _each(facts: Any) -> list[dict[str, Any]]:
    """Return the facts of a server; of a cluster, those of each that was asked."""
    if facts and all(isinstance(each, dict) for each in facts.values()):
        return list(facts.values())
    return [facts]


def _typed(path: str, error: Exception, *, unknown: bool) -> SessionStoreError:
    """Return what an error of the client or the server means to a store."""
    reason = str(error) or type(error).__name__
    if isinstance(error, redis.exceptions.AuthenticationError):
        return ConfigError("url", "the server refuses user or password")
    if isinstance(error, redis.exceptions.NoPermissionError):
        return ConfigError("url", f"this user lacks a right: {reason}")
    if isinstance(error, redis.exceptions.OutOfMemoryError) or reason.startswith("MISCONF"):
        return StorageFullError(path, reason)
    if reason.startswith("DB index is out of range"):
        return ConfigError("url", "the server has no database of this number")
    if isinstance(error, redis.exceptions.InvalidResponse):
        reason = f"what answers there does not speak as Redis does ({reason})"
    if "Cluster mode is not enabled" in reason:
        return ConfigError("url", "this server is no cluster: name it with redis://")
    return UnavailableError(path, reason, unknown=unknown and not isinstance(error, _UNDONE))


__all__ = ["BROKEN", "Client", "evaluate", "together"]
