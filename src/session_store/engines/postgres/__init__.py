"""PostgreSQL: a schema of a database that a team already has, for many hosts."""

from typing import Final
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

from session_store.errors import ConfigError, MissingExtraError

try:
    from .connections import Connections
    from .files import PostgresFileSystem
except ModuleNotFoundError as error:
    if error.name != "asyncpg":
        raise
    raise MissingExtraError("postgres") from error

from . import schema

_SCHEMA: Final = "session_store"


def open_files(url: str, *, io_timeout_ms: int) -> PostgresFileSystem:
    """Return the files in the schema that a `postgresql:` URL names.

    Of its query, `schema` and `statement_cache_size` (0 behind a pgbouncer that shares
    connections between transactions) are ours; the rest is asyncpg's and the server's.
    """
    dsn, given = _parsed(url)
    name = schema.check_name(given.get("schema", _SCHEMA))
    cached = given.get("statement_cache_size", "100")
    if not cached.isdigit():
        raise ConfigError("url", "statement_cache_size is a number, 0 for none")
    return PostgresFileSystem(Connections(dsn, name, io_timeout_ms, int(cached)))


def place_in(url: str, name: str) -> str:
    """Return the URL of a schema of its own in the same database."""
    dsn, given = _parsed(url)
    within = f"{given.pop('schema', _SCHEMA)}_{name}".lower().replace("-", "_")
    more = urlencode({**given, "schema": within})
    return f"{dsn}{'&' if '?' in dsn else '?'}{more}"


async def erase(url: str) -> None:
    """Drop the schema at `url` with all that is in it."""
    dsn, given = _parsed(url)
    name = schema.check_name(given.get("schema", _SCHEMA))
    await schema.drop(dsn, name)


def _parsed(url: str) -> tuple[str, dict[str, str]]:
    """Return the URL for asyncpg, and what of its query is ours."""
    try:
        parts = urlsplit(url)
        pairs = parse_qsl(parts.query, keep_blank_values=True, strict_parsing=bool(parts.query))
        _ = parts.port
    except ValueError:
        # Not repeated: it may hold a password.
        raise ConfigError("url", "no URL: postgresql://user:password@host:5432/database") from None
    ours = {name: value for name, value in pairs if name in {"schema", "statement_cache_size"}}
    rest = [(name, value) for name, value in pairs if name not in ours]
    scheme = "postgresql"
    return urlunsplit((scheme, parts.netloc, parts.path, urlencode(rest), "")), ours


__all__ = ["PostgresFileSystem", "erase", "open_files", "place_in"]
