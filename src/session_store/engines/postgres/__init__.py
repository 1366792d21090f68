"""PostgreSQL: a schema of a database that a team already has, for many hosts."""

from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from session_store.errors import ConfigError, MissingExtraError

try:
    from .connections import Connections
    from .files import PostgresFileSystem
    from .schema import Schema
except ModuleNotFoundError as error:
    if error.name != "asyncpg":
        raise
    raise MissingExtraError("postgres") from error

_SCHEMA: Final = "session_store"
_IO_TIMEOUT_MS: Final = 10_000


def open_files(url: str, *, io_timeout_ms: int) -> PostgresFileSystem:
    """Return the files in the schema that a `postgresql:` URL names.

    Of its query, `schema` and `statement_cache_size` (0 behind a pgbouncer that knows no
    prepared statements) are ours; the rest is asyncpg's and the server's.
    """
    return PostgresFileSystem(_connections(url, io_timeout_ms))


def place_in(url: str, name: str) -> str:
    """Return the URL of a schema of its own in the same database."""
    dsn, query = _parsed(url)
    within = f"{query.get('schema', _SCHEMA)}_{name}".lower().replace("-", "_")
    return _with_query(dsn, {**query, "schema": within})


async def is_made(url: str) -> bool:
    """Return whether there is a store at `url`; none is made."""
    return await _connections(url, _IO_TIMEOUT_MS).is_made()


async def erase(url: str) -> None:
    """Drop the schema at `url` with all that is in it."""
    connections = _connections(url, _IO_TIMEOUT_MS)
    try:
        await connections.drop()
    finally:
        await connections.close()


def _connections(url: str, io_timeout_ms: int) -> Connections:
    dsn, query = _parsed(url)
    name, cached = query.pop("schema", _SCHEMA), query.pop("statement_cache_size", "100")
    if not cached.isascii() or not cached.isdigit():
        raise ConfigError("url", "statement_cache_size is a number, 0 for none")
    schema = Schema(name, may_lose=query.get("synchronous_commit") == "off")
    return Connections(_with_query(dsn, query), schema, io_timeout_ms, int(cached))


def _parsed(url: str) -> tuple[str, dict[str, str]]:
    """Return the URL without its query, and the query."""
    try:
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
    except ValueError:
        pairs, parts = [], None
    if parts is None or parts.fragment:
        # Not repeated: it may hold a password.
        reason = "no URL: postgresql://user:password@host:5432/database?schema=name"
        raise ConfigError("url", f"{reason}, what is special in a password quoted (%23 for #)")
    return urlunsplit(("postgresql", parts.netloc, parts.path, "", "")), dict(pairs)


def _with_query(dsn: str, query: dict[str, str]) -> str:
    return f"{dsn}?{urlencode(query)}" if query else dsn


__all__ = ["PostgresFileSystem", "erase", "is_made", "open_files", "place_in"]
