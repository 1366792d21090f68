"""The schema of a database that is the store's: made, brought up to date, and dropped."""

import re
from typing import Any, Final

import asyncpg

from session_store.errors import ConfigError

from .functions import FUNCTIONS
from .tables import FILES, INDEX, VIEW

DONE: Final = 0
CONFLICT: Final = 1
DELETED: Final = 2
FOLDER: Final = 3
FILE: Final = 4

_VERSIONS: Final = (FILES + INDEX + FUNCTIONS + VIEW,)
VERSION: Final = len(_VERSIONS)

PIECE_BYTES: Final = 1 << 20
"""What one call gives is stored in pieces of at most so much."""

_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,47}")


_TABLES: Final = (
    "FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = $1"
)


def check_name(schema: str) -> str:
    """Return the name of a schema, or raise `ConfigError`: it is put into SQL as it is."""
    if not _NAME.fullmatch(schema):
        reason = "a schema is named with a-z, 0-9 and _, not beginning with a digit; at most 48"
        raise ConfigError("url", reason)
    return schema


def channel(schema: str) -> str:
    """Return the channel on which changes are told."""
    return f"{schema}_changed"


async def prepare(connection: Any, schema: str) -> None:
    """Make the schema, or bring it up to this version; of many who do so at once one does it.

    Raises `ConfigError` for somebody else's schema, for a newer one, and without the right to.
    """
    try:
        async with connection.transaction():
            await _prepare(connection, schema)
    except asyncpg.InsufficientPrivilegeError as error:
        raise ConfigError(
            "url",
            f"this user may not make or read the schema {schema!r} ({error}): "
            f"let the owner of the database run GRANT CREATE ON DATABASE … TO this user, "
            f"or CREATE SCHEMA {schema} AUTHORIZATION this user",
        ) from None


async def drop(dsn: str, schema: str) -> None:
    """Drop the schema with all that is in it."""
    connection = await asyncpg.connect(dsn)
    try:
        await connection.execute(f"DROP SCHEMA IF EXISTS {schema} CASCADE")
    finally:
        await connection.close()


async def _prepare(connection: Any, schema: str) -> None:
    if await _version(connection, schema) == VERSION:
        return
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 1))", schema)
    version = await _version(connection, schema)
    if version is None:
        if await connection.fetchval(f"SELECT count(*) {_TABLES}", schema):
            reason = f"the schema {schema!r} belongs to something else; name another: ?schema=…"
            raise ConfigError("url", reason)
        if not await connection.fetchval("SELECT to_regnamespace($1) IS NOT NULL", schema):
            await connection.execute(f"CREATE SCHEMA {schema}")
        await connection.execute(f"CREATE TABLE {schema}.store_version (version integer NOT NULL)")
        await connection.execute(f"INSERT INTO {schema}.store_version VALUES (0)")
    for number in range(version or 0, VERSION):
        script = _VERSIONS[number].format(
            s=schema,
            channel=channel(schema),
            piece=PIECE_BYTES,
            done=DONE,
            conflict=CONFLICT,
            deleted=DELETED,
            folder=FOLDER,
            file=FILE,
        )
        await connection.execute(script)
    await connection.execute(f"UPDATE {schema}.store_version SET version = {VERSION}")


async def _version(connection: Any, schema: str) -> int | None:
    """Return the version of the tables, None if there are none."""
    # Not `to_regclass`: that may remember that it was not there, from before the lock.
    if not await connection.fetchval(f"SELECT 1 {_TABLES} AND relname = 'store_version'", schema):
        return None
    version = int(await connection.fetchval(f"SELECT version FROM {schema}.store_version"))
    if version > VERSION:
        reason = f"the schema {schema!r} has version {version}, this release knows up to {VERSION}"
        raise ConfigError("url", f"{reason}: pip install -U session-store")
    return version
