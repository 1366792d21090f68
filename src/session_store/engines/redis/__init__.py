"""Redis or Valkey, one server or a cluster: the lowest latency, for many hosts."""

from typing import Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from session_store.errors import ConfigError, MissingExtraError

try:
    from .client import Client
    from .files import RedisFileSystem
except ModuleNotFoundError as error:
    if error.name != "redis":
        raise
    raise MissingExtraError("redis") from error

from .names import check_prefix

_PREFIX: Final = "session-store"


def open_files(url: str, *, io_timeout_ms: int) -> RedisFileSystem:
    """Return the files under the prefix that a `redis:` URL names (`?prefix=…`)."""
    place, prefix = _parsed(url)
    return RedisFileSystem(Client(place, check_prefix(prefix), io_timeout_ms))


def place_in(url: str, name: str) -> str:
    """Return the URL of a prefix of its own on the same server."""
    place, prefix = _parsed(url)
    return f"{place}{'&' if '?' in place else '?'}{urlencode({'prefix': f'{prefix}-{name}'})}"


async def is_made(url: str) -> bool:
    """Return whether there is a store at `url`; none is made."""
    place, prefix = _parsed(url)
    return await Client(place, check_prefix(prefix), 10_000).is_made()


async def erase(url: str) -> None:
    """Remove every key under the prefix at `url`."""
    place, prefix = _parsed(url)
    client = Client(place, check_prefix(prefix), 10_000)

    async def remove(redis: Any) -> None:
        for pattern in (f"{prefix}:*", f"{{{prefix}:*"):
            async for key in redis.scan_iter(match=pattern, count=1000):
                await redis.delete(key)

    try:
        await client.ask("", remove, changes=True)
    finally:
        await client.close()


def _parsed(url: str) -> tuple[str, str]:
    """Return the URL for the client, and the prefix."""
    try:
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        _ = parts.port
        _ = int(parts.path.strip("/") or 0)
    except ValueError:
        # Not repeated: it may hold a password.
        raise ConfigError("url", "no URL: redis://user:password@host:6379/0") from None
    prefixes = [value for name, value in pairs if name == "prefix"]
    rest = [(name, value) for name, value in pairs if name != "prefix"]
    return urlunsplit(parts._replace(query=urlencode(rest))), (prefixes or [_PREFIX])[-1]


__all__ = ["RedisFileSystem", "erase", "is_made", "open_files", "place_in"]
