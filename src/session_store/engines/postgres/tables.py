"""The tables of the schema, and the view for people."""

from typing import Final

PLACE_BYTES: Final = 1_000
"""So much of a key is in its index as it is; of a longer one the rest is a hash there."""
USER_CHARACTERS: Final = 250
"""So much of a user's id is in an index; who asks looks at the whole one again."""

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
    mtime_ms bigint NOT NULL,
    told_until bigint NOT NULL DEFAULT 0 -- ms since 1970: until then somebody waits for changes
) WITH (fillfactor = 70);
CREATE UNIQUE INDEX file_name ON {s}.file (folder, name);
CREATE TABLE {s}.chunk (
    file bigint NOT NULL,
    start bigint NOT NULL,
    data bytea NOT NULL,
    PRIMARY KEY (file, start)
);
-- Uncompressed: a part of it can be read without the rest, and an append compresses nothing.
ALTER TABLE {s}.chunk ALTER COLUMN data SET STORAGE EXTERNAL;
CREATE TABLE {s}.dropped (
    file bigint PRIMARY KEY -- it is gone, and some of its chunks are not yet
);
"""


INDEX: Final = """
CREATE TABLE {s}.session (
    id text COLLATE "C" PRIMARY KEY,
    created double precision NOT NULL,
    updated double precision NOT NULL,
    user_id text COLLATE "C", -- its beginning
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
    key bytea NOT NULL, -- UTF-8: a text of PostgreSQL's cannot hold U+0000
    session text COLLATE "C" NOT NULL
);
-- What an index can hold ends before the longest key does.
CREATE FUNCTION {s}.place_of(key bytea) RETURNS bytea LANGUAGE sql IMMUTABLE AS $$
    SELECT CASE WHEN length(key) <= {place_bytes} THEN key
        ELSE substring(key FROM 1 FOR {place_bytes}) || sha256(key) END
$$;
CREATE UNIQUE INDEX session_key_place ON {s}.session_key ({s}.place_of(key));
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

-- What jsonb cannot hold (U+0000, half a surrogate pair) is shown as U+FFFD. NULL: no JSON.
CREATE FUNCTION {s}.record_of(line text) RETURNS jsonb LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN line::jsonb;
EXCEPTION WHEN OTHERS THEN
    BEGIN
        -- Quoted with dollars: with standard_conforming_strings off a \ is not itself in '…'.
        RETURN regexp_replace(line,
            $re$((?<!\\)(?:\\\\)*)\\u(?:0000$re$
            || $re$|[dD][89abAB][0-9a-fA-F]{{2}}(?!\\u[dD][c-fC-F])$re$
            || $re$|(?<!\\u[dD][89abAB][0-9a-fA-F]{{2}}\\u)[dD][c-fC-F][0-9a-fA-F]{{2}})$re$,
            $re$\1\\ufffd$re$, 'g')::jsonb;
    EXCEPTION WHEN OTHERS THEN
        RETURN NULL;
    END;
END $$;

-- A line that is no UTF-8 is shown by its bytes, and one with a NUL, which is no JSON, not at all.
CREATE FUNCTION {s}.text_from(line bytea) RETURNS text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN convert_from(line, 'UTF8');
EXCEPTION WHEN OTHERS THEN
    BEGIN
        RETURN convert_from(line, 'LATIN1');
    EXCEPTION WHEN OTHERS THEN
        RETURN '';
    END;
END $$;

CREATE FUNCTION {s}.lines_of(data bytea) RETURNS SETOF text LANGUAGE plpgsql IMMUTABLE AS $$
BEGIN
    RETURN QUERY SELECT string_to_table(convert_from(data, 'UTF8'), chr(10));
EXCEPTION WHEN OTHERS THEN
    -- The lines around a damaged one must not go with it. Escaped, every byte is a character.
    RETURN QUERY SELECT {s}.text_from(decode(line, 'escape'))
    FROM string_to_table(encode(data, 'escape'), chr(10)) AS line;
END $$;

CREATE VIEW {s}.messages AS
SELECT file.folder AS session_id,
       first_key.key,
       record ->> 'id' AS message_id,
       record ->> 'parentId' AS parent_id,
       record ->> 'type' AS type,
       record ->> 'role' AS role,
       {s}.text_of(record -> 'content') AS text,
       CASE jsonb_typeof(record -> 'timestamp')
           WHEN 'number' THEN (record ->> 'timestamp')::numeric
       END AS timestamp,
       record AS json,
       chunk.start + line.number - 1 AS position -- in the order of the log
FROM {s}.file
LEFT JOIN LATERAL (
    SELECT convert_from(k.key, 'UTF8') AS key FROM {s}.session_key AS k
    WHERE k.session = file.folder AND position(decode('00', 'hex') IN k.key) = 0
    ORDER BY k.number LIMIT 1
) AS first_key ON true
JOIN {s}.chunk ON chunk.file = file.number
CROSS JOIN LATERAL {s}.lines_of(chunk.data) WITH ORDINALITY AS line (text, number)
CROSS JOIN LATERAL {s}.record_of(line.text) AS record
WHERE file.name = 'messages.jsonl' AND line.text <> '' AND jsonb_typeof(record) = 'object'
  AND (record ->> 'type' = 'custom' AND record ->> 'parentId' IS NULL
       AND jsonb_typeof(record -> 'control' -> 'kind') = 'string') IS NOT TRUE;
"""
