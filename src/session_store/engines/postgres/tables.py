"""The tables of the schema, and the view for people."""

from typing import Final

FILES: Final = """
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


INDEX: Final = """
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


VIEW: Final = r"""
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
