"""The tables, how they are made and brought up to date, and the view for people."""

from typing import Final

import apsw

from session_store.errors import ConfigError

APPLICATION_ID: Final = 0x53657353
"""`SesS`: by it `file` and other programs tell whose database this is."""

START_BITS: Final = 34
MAX_FILE_BYTES: Final = 1 << START_BITS
"""A chunk's place is its file's number and the offset of its first byte in one integer, so that
one B-tree in the order of the bytes is all there is: 2**29 files of up to 16 GiB."""

_FILES: Final = """
CREATE TABLE folder (
    path TEXT NOT NULL PRIMARY KEY,
    parent TEXT NOT NULL,
    name TEXT NOT NULL -- with a / at its end, as it is listed
) STRICT, WITHOUT ROWID;
CREATE UNIQUE INDEX folder_name ON folder (parent, name);
CREATE TABLE file (
    number INTEGER PRIMARY KEY AUTOINCREMENT,
    folder TEXT NOT NULL,
    name TEXT NOT NULL,
    size INTEGER NOT NULL,
    changes INTEGER NOT NULL,
    mtime_ms INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX file_name ON file (folder, name);
CREATE TABLE chunk (
    place INTEGER PRIMARY KEY,
    data BLOB NOT NULL
) STRICT;
"""

_INDEX: Final = """
CREATE TABLE session (
    id TEXT NOT NULL PRIMARY KEY,
    created REAL NOT NULL,
    updated REAL NOT NULL,
    user_id TEXT GENERATED ALWAYS AS (json_extract(stored, '$.userId')) VIRTUAL,
    version INTEGER NOT NULL,
    stored TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX session_created ON session (created, id);
CREATE INDEX session_updated ON session (updated, id);
CREATE INDEX session_user ON session (user_id, updated, id) WHERE user_id IS NOT NULL;
CREATE TABLE session_key (
    number INTEGER PRIMARY KEY,
    key TEXT NOT NULL UNIQUE,
    session TEXT NOT NULL
) STRICT;
CREATE INDEX session_key_session ON session_key (session, number);
CREATE TABLE deleted_session (
    id TEXT NOT NULL PRIMARY KEY
) STRICT, WITHOUT ROWID;
"""

# A chunk is what one call appended: whole lines, but for a line that is longer than what a copy
# appends at once. Line by line it is read only where one of them is no JSON, which is left out;
# and then as bytes, for to SQLite's functions a text ends at NUL. CROSS JOIN: SQLite would go
# through all files for each chunk, and be through with a hundred thousand sessions after hours.
_VIEW: Final = f"""
CREATE VIEW messages AS
SELECT file.folder AS session_id,
       (SELECT key FROM session_key WHERE session = file.folder ORDER BY number LIMIT 1) AS key,
       json_extract(line.value, '$.id') AS message_id,
       json_extract(line.value, '$.parentId') AS parent_id,
       json_extract(line.value, '$.type') AS type,
       json_extract(line.value, '$.role') AS role,
       CASE json_type(line.value, '$.content')
           WHEN 'text' THEN json_extract(line.value, '$.content')
           WHEN 'array' THEN (
               SELECT group_concat(
                   -- What is no object would be an error, of the whole query.
                   CASE block.type WHEN 'object' THEN json_extract(block.value, '$.text') END,
                   char(10)
               )
               FROM json_each(line.value, '$.content') AS block
           )
       END AS text,
       CASE WHEN json_type(line.value, '$.timestamp') IN ('integer', 'real')
           THEN json_extract(line.value, '$.timestamp')
       END AS timestamp,
       line.value AS json,
       (chunk.place & {MAX_FILE_BYTES - 1}) + line.key AS position -- in the order of the log
FROM file
CROSS JOIN chunk ON chunk.place >= file.number << {START_BITS}
                AND chunk.place < (file.number + 1) << {START_BITS}
JOIN json_each((
    SELECT CASE WHEN instr(chunk.data, x'00') = 0 AND json_valid(listed) THEN listed ELSE (
        WITH RECURSIVE each (line, rest) AS (
            SELECT x'', chunk.data
            UNION ALL
            SELECT iif(instr(rest, x'0a'), substr(rest, 1, instr(rest, x'0a') - 1), rest),
                   iif(instr(rest, x'0a'), substr(rest, instr(rest, x'0a') + 1), x'')
            FROM each WHERE rest <> x''
        )
        SELECT '[' || coalesce(group_concat(CAST(line AS TEXT), ','), '') || ']'
        FROM each WHERE instr(line, x'00') = 0 AND json_valid(CAST(line AS TEXT))
    ) END
    FROM (
        SELECT '[' || replace(rtrim(CAST(chunk.data AS TEXT), char(10)), char(10), ',') || ']'
            AS listed
    )
)) AS line
WHERE file.name = 'messages.jsonl' AND line.type = 'object'
  AND (json_extract(line.value, '$.type') = 'custom'
       AND json_extract(line.value, '$.parentId') IS NULL
       AND json_type(line.value, '$.control.kind') = 'text') IS NOT TRUE;
"""

_VERSIONS: Final = (_FILES + _INDEX + _VIEW,)
"""What leads from each version to the next; the first from an empty database to version 1."""
VERSION: Final = len(_VERSIONS)


def is_current(connection: apsw.Connection) -> bool:
    """Return whether the tables are ours and of this version."""
    found = connection.pragma("application_id"), connection.pragma("user_version")
    return found == (APPLICATION_ID, VERSION)


def check(connection: apsw.Connection) -> int:
    """Return the version of the tables, 0 if there is nothing at all.

    Raises `ConfigError` for somebody else's database and for a newer one.
    """
    application, version = connection.pragma("application_id"), connection.pragma("user_version")
    if application != APPLICATION_ID:
        empty = not connection.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchone()
        if application or version or not empty:
            reason = "the database belongs to something else; give the store a file of its own"
            raise ConfigError("url", reason)
    elif version > VERSION:
        reason = f"the database has version {version}, this release knows up to {VERSION}"
        raise ConfigError("url", f"{reason}: pip install -U session-store")
    return int(version)


def prepare(connection: apsw.Connection) -> None:
    """Make the tables in an empty database, or bring ours up to this version.

    Call it in a transaction that may write: of two processes that open a new database at once
    one makes them.
    """
    for script in _VERSIONS[check(connection) :]:
        connection.execute(script)
    connection.pragma("application_id", APPLICATION_ID)
    connection.pragma("user_version", VERSION)
