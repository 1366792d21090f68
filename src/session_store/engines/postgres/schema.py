"""The tables and functions of the store in one schema of a database, and the view for people.

Each verb that has a precondition is one function, so that it is one round trip. What is made
anew in a folder, and what ends a session, takes the lock of the folder's first component; a file
that is there is locked by its row alone.
"""

import re
from typing import Any, Final

import asyncpg

from session_store.errors import ConfigError

DONE: Final = 0
CONFLICT: Final = 1
DELETED: Final = 2
FOLDER: Final = 3
FILE: Final = 4

_FILES: Final = """
CREATE TABLE {s}.folder (
    path text COLLATE "C" PRIMARY KEY,
    parent text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL -- with a / at its end, as it is listed
);
CREATE UNIQUE INDEX folder_name ON {s}.folder (parent, name);
CREATE TABLE {s}.file (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    folder text COLLATE "C" NOT NULL,
    name text COLLATE "C" NOT NULL,
    size bigint NOT NULL,
    changes bigint NOT NULL,
    mtime_ms bigint NOT NULL
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX file_name ON {s}.file (folder, name);
CREATE TABLE {s}.chunk (
    file bigint NOT NULL,
    start bigint NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (file, start)
);
-- Uncompressed, so that a part of it can be read without the rest.
ALTER TABLE {s}.chunk ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE UNLOGGED TABLE {s}.subscriber (
    path text COLLATE "C" NOT NULL,
    client text COLLATE "C" NOT NULL,
    until timestamptz NOT NULL,
    PRIMARY KEY (path, client)
);
"""

_INDEX: Final = """
CREATE TABLE {s}.session (
    id text COLLATE "C" PRIMARY KEY,
    created double precision NOT NULL,
    updated double precision NOT NULL,
    user_id text COLLATE "C",
    metadata jsonb,
    version bigint NOT NULL,
    stored text NOT NULL
) WITH (fillfactor = 80);
CREATE INDEX session_created ON {s}.session (created, id);
CREATE INDEX session_updated ON {s}.session (updated, id);
CREATE INDEX session_user_id ON {s}.session (user_id, updated, id) WHERE user_id IS NOT NULL;
CREATE INDEX session_metadata ON {s}.session USING gin (metadata jsonb_path_ops);
CREATE TABLE {s}.session_key (
    number bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    key bytea NOT NULL UNIQUE, -- UTF-8: a text of PostgreSQL's cannot hold U+0000
    session text COLLATE "C" NOT NULL
);
CREATE INDEX session_key_session ON {s}.session_key (session, number);
CREATE TABLE {s}.deleted_session (
    id text COLLATE "C" PRIMARY KEY
);
"""

_FUNCTIONS: Final = r"""
CREATE TYPE {s}.outcome AS (
    status integer, number bigint, size bigint, changes bigint, mtime_ms bigint
);

CREATE FUNCTION {s}.now_ms() RETURNS bigint LANGUAGE sql
AS $$ SELECT (extract(epoch FROM clock_timestamp()) * 1000)::bigint $$;

CREATE FUNCTION {s}.lock_top(path text) RETURNS void LANGUAGE sql
AS $$ SELECT pg_advisory_xact_lock(
    hashtextextended('{s}/' || split_part(path, '/', 1), 0)) $$;

CREATE FUNCTION {s}.base(path text) RETURNS text LANGUAGE sql IMMUTABLE
AS $$ SELECT regexp_replace(path, '^.*/', '') $$;

CREATE FUNCTION {s}.above(path text) RETURNS text LANGUAGE sql IMMUTABLE
AS $$ SELECT rtrim(left(path, length(path) - length({s}.base(path))), '/') $$;

CREATE FUNCTION {s}.put_chunks(file bigint, start bigint, data bytea) RETURNS void
LANGUAGE plpgsql AS $$
BEGIN
    IF length(data) <= {piece} THEN
        IF length(data) > 0 THEN
            INSERT INTO {s}.chunk VALUES (file, start, data);
        END IF;
    ELSE
        INSERT INTO {s}.chunk
        SELECT file, start + at, substring(data FROM at + 1 FOR {piece})
        FROM generate_series(0, length(data) - 1, {piece}) AS at;
    END IF;
END $$;

-- Makes the folder and those above it, or nothing if one of them is a file.
CREATE FUNCTION {s}.make_folder(given text) RETURNS integer LANGUAGE plpgsql AS $$
DECLARE
    here text := given;
    missing text[] := '{{}}';
BEGIN
    WHILE here <> '' AND NOT EXISTS (SELECT 1 FROM {s}.folder AS f WHERE f.path = here) LOOP
        IF EXISTS (SELECT 1 FROM {s}.file AS f
                   WHERE f.folder = {s}.above(here) AND f.name = {s}.base(here)) THEN
            RETURN {file};
        END IF;
        missing := missing || here;
        here := {s}.above(here);
    END LOOP;
    FOREACH here IN ARRAY missing LOOP
        INSERT INTO {s}.folder VALUES (here, {s}.above(here), {s}.base(here) || '/')
        ON CONFLICT DO NOTHING;
    END LOOP;
    RETURN {done};
END $$;

CREATE FUNCTION {s}.mkdir(path text) RETURNS integer LANGUAGE plpgsql AS $$
BEGIN
    PERFORM {s}.lock_top(path);
    RETURN {s}.make_folder(path);
END $$;

-- An empty file that was not there; the caller holds the lock of the folder's first component.
CREATE FUNCTION {s}.create_file(folder text, name text) RETURNS {s}.outcome
LANGUAGE plpgsql AS $$
DECLARE
    whole text := CASE WHEN folder = '' THEN name ELSE folder || '/' || name END;
    made {s}.outcome;
BEGIN
    IF EXISTS (SELECT 1 FROM {s}.folder AS f WHERE f.path = whole) THEN
        made.status := {folder};
        RETURN made;
    END IF;
    made.status := {s}.make_folder(folder);
    IF made.status = {done} THEN
        INSERT INTO {s}.file (folder, name, size, changes, mtime_ms)
        VALUES (create_file.folder, create_file.name, 0, 0, 0)
        RETURNING number INTO made.number;
        made.size := 0;
        made.changes := 0;
    END IF;
    RETURN made;
END $$;

CREATE FUNCTION {s}.tell(folder text, name text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    whole text := CASE WHEN folder = '' THEN name ELSE folder || '/' || name END;
BEGIN
    IF EXISTS (SELECT 1 FROM {s}.subscriber AS u
               WHERE u.path = whole AND u.until > clock_timestamp()) THEN
        PERFORM pg_notify('{channel}', md5(whole));
    END IF;
END $$;

CREATE FUNCTION {s}.append(folder text, name text, data bytea, if_size bigint)
RETURNS {s}.outcome LANGUAGE plpgsql AS $$
DECLARE
    outcome {s}.outcome;
    locked boolean := false;
BEGIN
    LOOP
        UPDATE {s}.file AS f
        SET size = f.size + length(data), changes = f.changes + 1, mtime_ms = {s}.now_ms()
        WHERE f.folder = append.folder AND f.name = append.name
          AND (if_size IS NULL OR f.size = if_size)
        RETURNING {done}, f.number, f.size, f.changes, f.mtime_ms INTO outcome;
        IF FOUND THEN
            PERFORM {s}.put_chunks(outcome.number, outcome.size - length(data), data);
            PERFORM {s}.tell(folder, name);
            RETURN outcome;
        END IF;
        SELECT {conflict}, f.number, f.size, f.changes, f.mtime_ms INTO outcome
        FROM {s}.file AS f WHERE f.folder = append.folder AND f.name = append.name;
        IF FOUND THEN
            IF outcome.size <> if_size THEN
                RETURN outcome;
            END IF;
            CONTINUE;
        END IF;
        -- Only here, where no row is locked: an UPDATE that waited in vain keeps the row's lock.
        IF NOT locked THEN
            PERFORM {s}.lock_top(CASE WHEN folder = '' THEN name ELSE folder END);
            locked := true;
            CONTINUE;
        END IF;
        IF EXISTS (SELECT 1 FROM {s}.deleted_session WHERE id = split_part(folder, '/', 1)) THEN
            outcome.status := {deleted};
            RETURN outcome;
        END IF;
        IF if_size > 0 THEN
            outcome.status := {conflict};
            outcome.size := 0;
            RETURN outcome;
        END IF;
        outcome := {s}.create_file(folder, name);
        IF outcome.status <> {done} THEN
            RETURN outcome;
        END IF;
    END LOOP;
END $$;

-- `if_number` NULL: any version; -1: only if there is no file; else that file, at `if_changes`.
CREATE FUNCTION {s}.write(
    folder text, name text, data bytea, if_number bigint, if_changes bigint
) RETURNS {s}.outcome LANGUAGE plpgsql AS $$
DECLARE
    found_row {s}.outcome;
BEGIN
    PERFORM {s}.lock_top(CASE WHEN folder = '' THEN name ELSE folder END);
    IF EXISTS (SELECT 1 FROM {s}.deleted_session WHERE id = split_part(folder, '/', 1)) THEN
        found_row.status := {deleted};
        RETURN found_row;
    END IF;
    SELECT {done}, f.number, f.size, f.changes, f.mtime_ms INTO found_row
    FROM {s}.file AS f WHERE f.folder = write.folder AND f.name = write.name FOR UPDATE;
    IF if_number IS NOT NULL AND (
        coalesce(found_row.number, -1) <> if_number
        OR (if_number <> -1 AND found_row.changes <> if_changes)
    ) THEN
        found_row.status := {conflict};
        RETURN found_row;
    END IF;
    IF found_row.number IS NULL THEN
        found_row := {s}.create_file(folder, name);
        IF found_row.status <> {done} THEN
            RETURN found_row;
        END IF;
    END IF;
    DELETE FROM {s}.chunk WHERE file = found_row.number;
    PERFORM {s}.put_chunks(found_row.number, 0, data);
    UPDATE {s}.file AS f
    SET size = length(data), changes = f.changes + 1, mtime_ms = {s}.now_ms()
    WHERE f.number = found_row.number
    RETURNING {done}, f.number, f.size, f.changes, f.mtime_ms INTO found_row;
    RETURN found_row;
END $$;

CREATE FUNCTION {s}.remove(folder text, name text, if_number bigint, if_changes bigint)
RETURNS {s}.outcome LANGUAGE plpgsql AS $$
DECLARE
    found_row {s}.outcome;
BEGIN
    SELECT {done}, f.number, f.size, f.changes, f.mtime_ms INTO found_row
    FROM {s}.file AS f WHERE f.folder = remove.folder AND f.name = remove.name FOR UPDATE;
    IF found_row.number IS NULL THEN
        found_row.status := {done};
        RETURN found_row;
    END IF;
    IF if_number IS NOT NULL
       AND (found_row.number <> if_number OR found_row.changes <> if_changes) THEN
        found_row.status := {conflict};
        RETURN found_row;
    END IF;
    DELETE FROM {s}.file WHERE number = found_row.number;
    DELETE FROM {s}.chunk WHERE file = found_row.number;
    PERFORM {s}.tell(folder, name);
    RETURN found_row;
END $$;

CREATE FUNCTION {s}.remove_tree(path text) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    numbers bigint[];
BEGIN
    PERFORM {s}.lock_top(path);
    WITH gone AS (
        DELETE FROM {s}.file AS f
        WHERE f.folder = remove_tree.path
           OR (f.folder >= remove_tree.path || '/' AND f.folder < remove_tree.path || '0')
        RETURNING f.number, f.folder, f.name
    ), told AS (
        SELECT {s}.tell(gone.folder, gone.name) FROM gone
    )
    SELECT array_agg(gone.number) INTO numbers
    FROM gone, (SELECT count(*) FROM told) AS all_told;
    DELETE FROM {s}.chunk WHERE file = ANY (numbers);
    DELETE FROM {s}.folder AS f
    WHERE f.path = remove_tree.path
       OR (f.path >= remove_tree.path || '/' AND f.path < remove_tree.path || '0');
END $$;

-- NULL: a session of this id was deleted.
CREATE FUNCTION {s}.register(
    id text, key bytea, created double precision, updated double precision,
    user_id text, metadata jsonb, stored text
) RETURNS text LANGUAGE plpgsql AS $$
DECLARE
    known text;
BEGIN
    PERFORM {s}.lock_top(id);
    LOOP
        SELECT k.session INTO known FROM {s}.session_key AS k WHERE k.key = register.key;
        IF known IS NOT NULL THEN
            RETURN known;
        END IF;
        IF EXISTS (SELECT 1 FROM {s}.deleted_session AS d WHERE d.id = register.id) THEN
            RETURN NULL;
        END IF;
        EXIT WHEN key IS NULL;
        INSERT INTO {s}.session_key (key, session) VALUES (register.key, register.id)
        ON CONFLICT DO NOTHING;
        EXIT WHEN FOUND;
    END LOOP;
    INSERT INTO {s}.session (id, created, updated, user_id, metadata, version, stored)
    VALUES (register.id, register.created, register.updated, register.user_id,
            register.metadata, 0, register.stored)
    ON CONFLICT DO NOTHING;
    RETURN id;
END $$;

CREATE FUNCTION {s}.add_key(key bytea, id text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM 1 FROM {s}.session AS s WHERE s.id = add_key.id FOR SHARE;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    IF NOT EXISTS (SELECT 1 FROM {s}.session_key AS k
                   WHERE k.key = add_key.key AND k.session = add_key.id) THEN
        -- As the newest of its session, also if it named another before.
        DELETE FROM {s}.session_key AS k WHERE k.key = add_key.key;
        INSERT INTO {s}.session_key (key, session) VALUES (add_key.key, add_key.id)
        ON CONFLICT ON CONSTRAINT session_key_key_key DO UPDATE SET session = add_key.id;
    END IF;
    RETURN true;
END $$;

CREATE FUNCTION {s}.end_session(id text) RETURNS boolean LANGUAGE plpgsql AS $$
BEGIN
    PERFORM {s}.lock_top(id);
    DELETE FROM {s}.session AS s WHERE s.id = end_session.id;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    DELETE FROM {s}.session_key AS k WHERE k.session = end_session.id;
    INSERT INTO {s}.deleted_session VALUES (end_session.id) ON CONFLICT DO NOTHING;
    PERFORM {s}.remove_tree(id);
    RETURN true;
END $$;
"""

_VIEW: Final = r"""
CREATE FUNCTION {s}.text_of(content jsonb) RETURNS text LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE jsonb_typeof(content)
        WHEN 'string' THEN content #>> '{{}}'
        WHEN 'array' THEN (SELECT string_agg(block ->> 'text', chr(10))
                           FROM jsonb_array_elements(content) AS block)
    END
$$;

-- NULL for what is no JSON, or holds what jsonb cannot (U+0000).
CREATE FUNCTION {s}.record_of(line text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN line::jsonb;
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END $$;

CREATE FUNCTION {s}.text_from(data bytea) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN convert_from(data, 'UTF8');
EXCEPTION WHEN OTHERS THEN
    RETURN '';
END $$;

CREATE VIEW {s}.messages AS
SELECT file.folder AS session_id,
       (SELECT convert_from(k.key, 'UTF8') FROM {s}.session_key AS k
        WHERE k.session = file.folder AND position('\x00'::bytea IN k.key) = 0
        ORDER BY k.number LIMIT 1) AS key,
       record ->> 'id' AS message_id,
       record ->> 'parentId' AS parent_id,
       record ->> 'type' AS type,
       record ->> 'role' AS role,
       {s}.text_of(record -> 'content') AS text,
       (record ->> 'timestamp')::double precision AS timestamp,
       record AS json
FROM {s}.file
JOIN {s}.chunk ON chunk.file = file.number
CROSS JOIN LATERAL (
    SELECT {s}.record_of(line) AS record
    FROM string_to_table({s}.text_from(chunk.data), chr(10)) AS line
    WHERE line <> ''
) AS lines
WHERE file.name = 'messages.jsonl' AND jsonb_typeof(record) = 'object'
  AND NOT record ? 'control';
"""

_VERSIONS: Final = (_FILES + _INDEX + _FUNCTIONS + _VIEW,)
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
