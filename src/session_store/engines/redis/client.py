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

# What a server answers for sure without having done anything.
_UNDONE: Final = (redis.exceptions.ResponseError, redis.exceptions.ClusterDownError)


BROKEN: Final = (
    redis.exceptions.RedisError,
    # Not a kind of the first: no node of a cluster is there, or none of those that are needed.
    redis.exceptions.RedisClusterException,
    OSError,
)


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
            raise _typed(path, error, unknown=sent and changes) from error

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
        self, path: str, script: str, key: str, *values: str | bytes | float, changes: bool = True
    ) -> Any:
        """Return what a script answers, in one round trip once the server knows it."""

        async def question(client: Any) -> Any:
            return await evaluate(client, script, key, *values)

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
            return redis.asyncio.cluster.RedisCluster.from_url(url, **given)
        pool = redis.asyncio.BlockingConnectionPool.from_url(self._url, timeout=seconds, **given)
        client = redis.asyncio.Redis(connection_pool=pool, retry=Retry(NoBackoff(), 0))
        client.auto_close_connection_pool = True
        return client

    async def _prepare(self, client: Any) -> None:
        """See that the keys are of this version, and what the server promises."""
        made = await client.set(self.names.version, VERSION, nx=True, get=True)
        if made is not None and not made.isdigit():
            raise ConfigError("url", "the keys there are of something else: give it ?prefix=name")
        version = VERSION if made is None else int(made)
        if version > VERSION:
            reason = f"the store has version {version}, this release knows up to {VERSION}"
            raise ConfigError("url", f"{reason}: pip install -U session-store")
        memory = _first(await client.info("memory"))
        policy = memory.get("maxmemory_policy", "noeviction")
        if memory.get("maxmemory") and policy != "noeviction":
            reason = f"the server throws keys away when its memory is full ({policy})"
            raise ConfigError("url", f"{reason}: CONFIG SET maxmemory-policy noeviction")
        try:
            settings = await client.config_get("appendonly", "appendfsync")
        except redis.exceptions.ResponseError:
            settings = {}  # some providers forbid it
        self.lasting = settings.get("appendonly") == "yes" and (
            settings.get("appendfsync") == "always"
        )

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


async def evaluate(client: Any, script: str, key: str, *values: str | bytes | float) -> Any:
    """Return what a script answers."""
    digest = _hashes.get(script)
    if digest is None:
        digest = _hashes[script] = sha1(script.encode(), usedforsecurity=False).hexdigest()
    try:
        return await client.evalsha(digest, 1, key, *values)
    except redis.exceptions.NoScriptError:
        return await client.eval(script, 1, key, *values)


async def together(calls: Sequence[Awaitable[T]]) -> list[T]:
    """Return what the calls return, made at once; the first error is raised when all are over."""
    answers = await asyncio.gather(*calls, return_exceptions=True)
    for answer in answers:
        if isinstance(answer, BaseException):
            raise answer
    return answers  # type: ignore[return-value]


def _first(facts: Any) -> dict[str, Any]:
    """Return the facts of a server; of a cluster, those of one."""
    if facts and all(isinstance(each, dict) for each in facts.values()):
        return dict(next(iter(facts.values())))
    return dict(facts)


def _typed(path: str, error: Exception, *, unknown: bool) -> SessionStoreError:
    """Return what an error of the client or the server means to a store."""
    reason = str(error) or type(error).__name__
    if isinstance(error, redis.exceptions.AuthenticationError):
        return ConfigError("url", "the server refuses user or password")
    if isinstance(error, redis.exceptions.NoPermissionError):
        return ConfigError("url", f"this user lacks a right: {reason}")
    if isinstance(error, redis.exceptions.OutOfMemoryError) or reason.startswith("MISCONF"):
        return StorageFullError(path, reason)
    if reason.startswith("WRONGTYPE"):
        return ConfigError("url", "the keys there are of something else: give it ?prefix=name")
    if "DB index is out of range" in reason:
        return ConfigError("url", "the server has no database of that number")
    if "Cluster mode is not enabled" in reason:
        return ConfigError("url", "this server is no cluster: name it with redis://")
    return UnavailableError(path, reason, unknown=unknown and not isinstance(error, _UNDONE))


__all__ = ["BROKEN", "Client", "evaluate", "together"]
