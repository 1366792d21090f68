"""The functions of the schema: each verb that has a precondition is one, so one round trip.

What is made anew in a folder, and what ends a session, takes the lock of the folder's first
component; a file that is there is locked by its row alone. Each statement within sees what was
committed before it began (READ COMMITTED), so who has waited for a lock looks again.
"""

from typing import Final

FUNCTIONS: Final = r"""
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

CREATE FUNCTION {s}.put_chunks(file bigint, start bigint, pieces bytea[]) RETURNS void
LANGUAGE sql AS $$
    INSERT INTO {s}.chunk
    SELECT put_chunks.file,
           put_chunks.start + sum(length(piece)) OVER (ORDER BY number) - length(piece), piece
    FROM unnest(pieces) WITH ORDINALITY AS given (piece, number)
    WHERE length(piece) > 0
$$;

CREATE FUNCTION {s}.length_of(pieces bytea[]) RETURNS bigint LANGUAGE sql IMMUTABLE
AS $$ SELECT coalesce(sum(length(piece)), 0)::bigint FROM unnest(pieces) AS piece $$;

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

CREATE FUNCTION {s}.tell(number bigint, told_until bigint) RETURNS void LANGUAGE sql
AS $$ SELECT pg_notify('{channel}', number::text)
    -- With a full queue nothing could be committed; who waits looks for himself as well.
    WHERE told_until > {s}.now_ms() AND pg_notification_queue_usage() < 0.5 $$;

-- What `APPEND` comes to if there is no file, one of another size, or much to be put into it.
CREATE FUNCTION {s}.append(folder text, name text, pieces bytea[], if_size bigint)
RETURNS {s}.outcome LANGUAGE plpgsql AS $$
DECLARE
    outcome {s}.outcome;
    added bigint := {s}.length_of(pieces);
    told_until bigint;
    locked boolean := false;
BEGIN
    LOOP
        UPDATE {s}.file AS f
        SET size = f.size + added, changes = f.changes + 1, mtime_ms = {s}.now_ms()
        WHERE f.folder = append.folder AND f.name = append.name
          AND (if_size IS NULL OR f.size = if_size)
        RETURNING {done}, f.number, f.size, f.changes, f.mtime_ms, f.told_until
        INTO outcome.status, outcome.number, outcome.size, outcome.changes, outcome.mtime_ms,
             told_until;
        IF FOUND THEN
            PERFORM {s}.put_chunks(outcome.number, outcome.size - added, pieces);
            PERFORM {s}.tell(outcome.number, told_until);
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
    folder text, name text, pieces bytea[], if_number bigint, if_changes bigint
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
    PERFORM {s}.put_chunks(found_row.number, 0, pieces);
    UPDATE {s}.file AS f
    SET size = {s}.length_of(pieces), changes = f.changes + 1, mtime_ms = {s}.now_ms()
    WHERE f.number = found_row.number
    RETURNING {done}, f.number, f.size, f.changes, f.mtime_ms INTO found_row;
    PERFORM {s}.tell(f.number, f.told_until) FROM {s}.file AS f WHERE f.number = found_row.number;
    RETURN found_row;
END $$;

-- Removes the chunks of files that are gone, but no more than fit into a time-out.
CREATE FUNCTION {s}.drop_chunks(files bigint[]) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM {s}.chunk WHERE ctid = ANY (ARRAY(
        SELECT c.ctid FROM {s}.chunk AS c WHERE c.file = ANY (files) LIMIT {most_chunks}));
    INSERT INTO {s}.dropped SELECT number FROM unnest(files) AS number
    WHERE EXISTS (SELECT 1 FROM {s}.chunk AS c WHERE c.file = number)
    ON CONFLICT DO NOTHING;
END $$;

-- Goes on with that, and tells whether there may be more.
CREATE FUNCTION {s}.sweep() RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    gone bigint;
BEGIN
    -- Of two who sweep each takes another.
    DELETE FROM {s}.dropped WHERE file = (
        SELECT file FROM {s}.dropped LIMIT 1 FOR UPDATE SKIP LOCKED) RETURNING file INTO gone;
    PERFORM {s}.drop_chunks(ARRAY[gone]);
    RETURN gone IS NOT NULL;
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
    PERFORM {s}.tell(f.number, f.told_until) FROM {s}.file AS f WHERE f.number = found_row.number;
    DELETE FROM {s}.file WHERE number = found_row.number;
    PERFORM {s}.drop_chunks(ARRAY[found_row.number]);
    RETURN found_row;
END $$;

-- Tells whether there is something to be swept.
CREATE FUNCTION {s}.remove_tree(path text) RETURNS boolean LANGUAGE plpgsql AS $$
DECLARE
    numbers bigint[];
BEGIN
    PERFORM {s}.lock_top(path);
    WITH gone AS (
        DELETE FROM {s}.file AS f
        WHERE f.folder = remove_tree.path
           OR (f.folder >= remove_tree.path || '/' AND f.folder < remove_tree.path || '0')
        RETURNING f.number, f.told_until
    ), told AS (
        SELECT {s}.tell(gone.number, gone.told_until) FROM gone
    )
    SELECT array_agg(gone.number) INTO numbers
    FROM gone, (SELECT count(*) FROM told) AS all_told;
    PERFORM {s}.drop_chunks(numbers);
    DELETE FROM {s}.folder AS f
    WHERE f.path = remove_tree.path
       OR (f.path >= remove_tree.path || '/' AND f.path < remove_tree.path || '0');
    RETURN EXISTS (SELECT 1 FROM {s}.dropped);
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
        SELECT k.session INTO known FROM {s}.session_key AS k
        WHERE {s}.place_of(k.key) = {s}.place_of(register.key);
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
                   WHERE {s}.place_of(k.key) = {s}.place_of(add_key.key)
                     AND k.session = add_key.id) THEN
        -- As the newest of its session, also if it named another before.
        DELETE FROM {s}.session_key AS k WHERE {s}.place_of(k.key) = {s}.place_of(add_key.key);
        INSERT INTO {s}.session_key AS k (key, session) VALUES (add_key.key, add_key.id)
        ON CONFLICT ({s}.place_of(k.key)) DO UPDATE SET session = add_key.id;
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
