"""Redis or Valkey, one server or a cluster: the lowest latency, for many hosts."""

import re
from pathlib import Path
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
_SHAPE: Final = "no URL: redis://user:password@host:6379/0, special characters as %-codes"
_DATABASE: Final = re.compile(r"/?\d*")
_FILES: Final = ("ssl_ca_certs", "ssl_certfile", "ssl_keyfile")
_OPTIONS: Final = ("client_name", *_FILES, "ssl_check_hostname", "ssl_cert_reqs")


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
    except ValueError:
        # Not repeated: it may hold a password.
        raise ConfigError("url", _SHAPE) from None
    if parts.fragment or not _DATABASE.fullmatch(parts.path):
        raise ConfigError("url", _SHAPE)
    if "+cluster" in parts.scheme and parts.path.strip("/0"):
        raise ConfigError("url", "a cluster has the database 0 only")
    prefixes = [value for name, value in pairs if name == "prefix"]
    rest = [(name, value) for name, value in pairs if name != "prefix"]
    for name, value in rest:
        _check_option(parts.scheme, name, value)
    return urlunsplit(parts._replace(query=urlencode(rest))), (prefixes or [_PREFIX])[-1]


def _check_option(scheme: str, name: str, value: str) -> None:
    """Refuse what is none: the client takes others too, and some would have it ask twice."""
    if name not in _OPTIONS or (name.startswith("ssl_") and not scheme.startswith("rediss")):
        known = ", ".join(["prefix", *_OPTIONS])
        raise ConfigError(
            "url", f"no option {name!r} of {scheme}: there are {known} (ssl_… of TLS)"
        )
    if name in _FILES and not Path(value).is_file():
        raise ConfigError("url", f"{name}: there is no file {value!r}")


__all__ = ["RedisFileSystem", "erase", "is_made", "open_files", "place_in"]
