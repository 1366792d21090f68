"""The statements by which the verbs are asked for, each in one round trip."""

from typing import Final

APPEND: Final = """
WITH grown AS (
    UPDATE {s}.file AS f
    SET size = f.size + length($3::bytea), changes = f.changes + 1, mtime_ms = {s}.now_ms()
    WHERE f.folder = $1 AND f.name = $2 AND ($4::bigint IS NULL OR f.size = $4)
    RETURNING f.number, f.size, f.told_until
), put AS (
    INSERT INTO {s}.chunk SELECT number, size - length($3), $3 FROM grown WHERE length($3) > 0
)
SELECT {done}, size, CASE WHEN told_until > {s}.now_ms() AND pg_notification_queue_usage() < 0.5
    THEN pg_notify('{channel}', number::text) END FROM grown
UNION ALL
SELECT status, size, NULL FROM {s}.append($1, $2, ARRAY[$3], $4)
WHERE NOT EXISTS (SELECT 1 FROM grown)
"""
"""Add $3 to a file that is there; all else is the function's, which costs more.

Of two who find one size the second waits for the row, finds it changed, and adds nothing. It
also finds who has said meanwhile that he waits for changes.
"""

APPEND_PIECES: Final = "SELECT status, size, NULL FROM {s}.append($1, $2, $3, $4)"

WRITE: Final = "SELECT status, number, changes, size, mtime_ms FROM {s}.write($1, $2, $3, $4, $5)"

REMOVE: Final = "SELECT status, number, changes, size, mtime_ms FROM {s}.remove($1, $2, $3, $4)"

REMOVE_TREE: Final = "SELECT {s}.remove_tree($1)"

SWEEP: Final = "SELECT {s}.sweep()"

MAKE_FOLDER: Final = "SELECT {s}.mkdir($1)"

FIND: Final = """
SELECT {done}, number, changes, size, mtime_ms FROM {s}.file WHERE folder = $1 AND name = $2
"""

READ: Final = """
SELECT f.size,
    CASE WHEN c.start >= $3 AND c.start + length(c.data) <= $4 THEN c.data
    ELSE substring(
        c.data FROM least(greatest($3 - c.start, 0), length(c.data))::integer + 1
        FOR greatest(least($4 - c.start, length(c.data)) - greatest($3 - c.start, 0), 0)::integer
    ) END
FROM {s}.file AS f LEFT JOIN {s}.chunk AS c
    ON c.file = f.number AND c.start < $4 AND c.start >= coalesce(
        (SELECT max(start) FROM {s}.chunk WHERE file = f.number AND start <= $3), 0
    )
WHERE f.folder = $1 AND f.name = $2
ORDER BY c.start
"""
"""The size of a file, and its bytes from $3 up to $4: of the chunks only those that hold them.

A row a chunk: to put 1 MiB together at the server takes three times as long.
"""

TELL: Final = """
UPDATE {s}.file SET told_until = greatest(told_until, {s}.now_ms() + $3)
WHERE folder = $1 AND name = $2 RETURNING number
"""
"""Have the changes of a file told for $3 ms. An append that was under way before has ended by
then, as the size shows, and every later one tells."""

NAMES: Final = """
SELECT name FROM (
    (SELECT name FROM {s}.file WHERE folder = $1 AND name > $2 ORDER BY name LIMIT $3)
    UNION ALL
    (SELECT name FROM {s}.folder WHERE parent = $1 AND name > $2 ORDER BY name LIMIT $3)
) AS every ORDER BY name LIMIT $3
"""
