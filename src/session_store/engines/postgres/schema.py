"""The schema of a database that is the store's: made, and brought up to date."""

import re
from typing import Any, Final

import asyncpg

from session_store.errors import ConfigError

from .functions import FUNCTIONS
from .tables import FILES, INDEX, PLACE_BYTES, VIEW

DONE: Final = 0
CONFLICT: Final = 1
DELETED: Final = 2
FOLDER: Final = 3
FILE: Final = 4

_VERSIONS: Final = (FILES + INDEX + FUNCTIONS + VIEW,)
"""What leads from each version to the next; the first from an empty schema to version 1."""
VERSION: Final = len(_VERSIONS)

OLDEST_SERVER: Final = 14

MOST_CHUNKS: Final = 20_000
"""So many are removed in one call: a few tenths of a second."""

_NAME: Final = re.compile(r"[a-z_][a-z0-9_]{0,47}")

_RELATIONS: Final = (
    "FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace WHERE n.nspname = $1"
)


class Schema:
    """A schema by its name; raises `ConfigError` for one that could not be put into SQL as it is.

    With `may_lose` the user has asked for a server that answers before it has stored.
    """

    def __init__(self, name: str, *, may_lose: bool = False) -> None:
        if not _NAME.fullmatch(name):
            reason = "a schema is named with a-z, 0-9 and _, not beginning with a digit; at most 48"
            raise ConfigError("url", reason)
        self.name = name
        self.channel = f"{name}_changed"
        self.may_lose = may_lose

    def sql(self, statement: str) -> str:
        """Return the statement with the names of this schema in their places."""
        return statement.format(
            s=self.name,
            channel=self.channel,
            done=DONE,
            conflict=CONFLICT,
            deleted=DELETED,
            folder=FOLDER,
            file=FILE,
            place_bytes=PLACE_BYTES,
            most_chunks=MOST_CHUNKS,
        )

    async def prepare(self, connection: Any) -> None:
        """Make the schema, or bring it up to this version; of many who do so at once one does it.

        Raises `ConfigError` for somebody else's schema, for a newer one, and without the right to.
        """
        try:
            if await self._version(connection) != VERSION:
                async with connection.transaction():
                    await self._migrate(connection)
        except asyncpg.InsufficientPrivilegeError as error:
            raise ConfigError(
                "url",
                f"this user may not make or use the schema {self.name!r} ({error}): let an "
                f"administrator run CREATE SCHEMA {self.name} AUTHORIZATION <this user>, or, if "
                f"the schema is there, GRANT <its owner> TO <this user>",
            ) from None

    async def is_made(self, connection: Any) -> bool:
        """Return whether the schema is there, and ours."""
        return await self._version(connection) is not None

    async def drop(self, connection: Any) -> None:
        """Drop the schema with all that is in it; `ConfigError` if it is not ours."""
        async with connection.transaction():
            await self._lock(connection)
            if await self._version(connection) is None and await self._is_used(connection):
                raise self._foreign()
            await connection.execute(f"DROP SCHEMA IF EXISTS {self.name} CASCADE")

    async def check(self, connection: Any) -> None:
        """Raise `ConfigError` for a connection on which the promises would not hold.

        Of every connection: what a role or a database has set counts from the next one on.
        """
        if connection.get_server_version().major < OLDEST_SERVER:
            raise ConfigError("url", f"PostgreSQL {OLDEST_SERVER} or newer is needed")
        names = "server_encoding", "synchronous_commit", "fsync", "transaction_isolation"
        [row] = await connection.fetch(
            f"SELECT {', '.join(f'current_setting({name!r})' for name in names)}"
        )
        encoding, commit, fsync, isolation = row
        if isolation != "read committed":
            # Who has waited for a lock would go on with what he saw before: a session that was
            # deleted meanwhile would come back.
            raise ConfigError(
                "url",
                f"transactions are {isolation} here, so that writers would fail beside others; say "
                "?default_transaction_isolation=read%20committed in the URL, or ALTER ROLE "
                "<this user> SET default_transaction_isolation = 'read committed'",
            )
        if encoding != "UTF8":
            raise ConfigError("url", f"the database must have the encoding UTF8, not {encoding}")
        if commit == "off" and not self.may_lose:
            raise ConfigError(
                "url",
                "the server has synchronous_commit = off, so it loses in a crash what it has "
                "answered; say ?synchronous_commit=on in the URL, or =off if that may be",
            )
        if fsync == "off" and not self.may_lose:
            raise ConfigError(
                "url",
                "the server has fsync = off, so a power cut may cost everything; set it to on "
                "there, or say ?synchronous_commit=off in the URL if that may be",
            )

    async def _migrate(self, connection: Any) -> None:
        await self._lock(connection)
        version = await self._version(connection)
        if version is None:
            if await self._is_used(connection):
                raise self._foreign()
            if not await connection.fetchval("SELECT to_regnamespace($1) IS NOT NULL", self.name):
                await connection.execute(f"CREATE SCHEMA {self.name}")
            await connection.execute(
                f"CREATE TABLE {self.name}.store_version (version integer NOT NULL)"
            )
            await connection.execute(f"INSERT INTO {self.name}.store_version VALUES (0)")
        for script in _VERSIONS[version or 0 :]:
            await connection.execute(self.sql(script))
        await connection.execute(f"UPDATE {self.name}.store_version SET version = {VERSION}")

    async def _lock(self, connection: Any) -> None:
        await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended($1, 1))", self.name)

    async def _is_used(self, connection: Any) -> bool:
        return bool(await connection.fetchval(f"SELECT count(*) {_RELATIONS}", self.name))

    async def _version(self, connection: Any) -> int | None:
        """Return the version of the tables, None if there are none."""
        # Not `to_regclass`: that may remember that it was not there, from before the lock.
        marked = await connection.fetchval(
            f"SELECT 1 {_RELATIONS} AND relname = 'store_version'", self.name
        )
        if not marked:
            return None
        try:
            version = await connection.fetchval(f"SELECT version FROM {self.name}.store_version")
        except asyncpg.UndefinedColumnError:
            version = None
        if not isinstance(version, int):
            raise self._foreign()
        if version > VERSION:
            raise ConfigError(
                "url",
                f"the schema {self.name!r} has version {version}, this release knows up to "
                f"{VERSION}: pip install -U session-store",
            )
        return version

    def _foreign(self) -> ConfigError:
        reason = f"the schema {self.name!r} belongs to something else; name another: ?schema=…"
        return ConfigError("url", reason)
