"""`python -m benchmarks.engines`: each engine on a real server, beside its bare client and peers.

One table an engine: single appends, reads of 1,000 messages, the last 20 of them. All rows of an
engine do the same in short turns, one after the other, on the same server; a ratio is formed within
a turn, and then its median is taken. The servers are those that the tests start.
"""

import argparse
import os
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

from .harness.bench import Bench
from .harness.environments import versions
from .harness.peers import Row
from .harness.report import machine
from .harness.scale import FULL, QUICK
from .kit.protocol import Params

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "engines"))

TURNS: Final = 15
APPEND_SECONDS: Final = 0.4
READS: Final = 5
"""So many sessions are read in a turn; what counts is the median."""
MESSAGES: Final = 1_000
LONG: Final = tuple(f"long-{number}" for number in range(READS))
OURS: Final = Row("ours_engine", "session-store")
OURS_BLOCKING: Final = Row("ours_engine_blocking", "session-store, blocking")
SAME_IN_THREADS: Final = Row("same_sqlite", "apsw, the same, in threads")


class Engine(NamedTuple):
    """What is measured on one server.

    `bare` does the least that keeps a message, `same` makes the round trips that the engine
    makes. `other` makes them for the face that the client is not made for: without holding up an
    event loop where it blocks, for a thread without one where it needs one.
    """

    title: str
    serve: Callable[[Path], Iterator[dict[str, Any]]]
    bare: Row
    same: Row
    peers: tuple[Row, ...]
    note: str
    other: Row
    blocks: bool = False
    """Whether the client blocks: then it is the async face that it is not made for."""

    def same_as(self, row: Row) -> Row:
        """Return which bare client makes the same round trips as this row, for the same face."""
        return self.other if row == (OURS if self.blocks else OURS_BLOCKING) else self.same


def _sqlite(folder: Path) -> Iterator[dict[str, Any]]:
    yield {"ours": {"url": f"sqlite:///{folder}/store.db"}}


def _postgres(folder: Path) -> Iterator[dict[str, Any]]:
    from servers import PostgresServer

    server = PostgresServer(folder)
    server.start()
    yield {"ours": {"url": server.url}, "theirs": {"url": server.url}}
    server.stop()


def _redis(folder: Path) -> Iterator[dict[str, Any]]:
    from servers import ValkeyServer

    server = ValkeyServer(folder)
    server.start()
    yield {"ours": {"url": server.url}, "theirs": {"url": server.url}}
    server.stop()


def _s3(folder: Path) -> Iterator[dict[str, Any]]:
    from servers import SeaweedServer

    server = SeaweedServer(folder)
    server.start()
    yield {"ours": {"url": server.url}, "theirs": {"url": server.url}}
    server.stop()


ENGINES: Final = {
    "sqlite": Engine(
        "SQLite",
        _sqlite,
        Row("bare_sqlite", "apsw"),
        Row("same_sqlite", "apsw, the same transactions"),
        (
            Row("openai_sqlite", "openai-agents SQLiteSession", "openai-agents"),
            Row("langgraph", "langgraph SqliteSaver", "langgraph"),
        ),
        "bare: apsw, one INSERT a message, WAL, synchronous FULL; the same: the size is asked for"
        " and noted as well, for the async face in threads",
        SAME_IN_THREADS,
        blocks=True,
    ),
    "postgres": Engine(
        "PostgreSQL",
        _postgres,
        Row("bare_postgres", "asyncpg"),
        Row("same_postgres", "asyncpg, the same statements"),
        (
            Row("openai_sqlalchemy", "openai-agents SQLAlchemySession", "openai-agents-servers"),
            Row("langgraph_postgres", "langgraph PostgresSaver", "langgraph-postgres"),
        ),
        "bare: asyncpg, one prepared INSERT a message, fsync on; the same: the size is asked for"
        " and noted as well, for the blocking face from a thread",
        Row("same_postgres_blocking", "asyncpg, the same, from a thread"),
    ),
    "redis": Engine(
        "Valkey",
        _redis,
        Row("bare_redis", "redis-py"),
        Row("same_redis", "redis-py, the same scripts"),
        (Row("openai_redis", "openai-agents RedisSession", "openai-agents-servers"),),
        "bare: redis-py with hiredis, one APPEND a message, appendfsync always; the same: a script"
        " that asks for the size and notes it as well, for the blocking face from a thread",
        Row("same_redis_blocking", "redis-py, the same, from a thread"),
    ),
    "s3": Engine(
        "S3 (SeaweedFS)",
        _s3,
        Row("bare_s3", "obstore"),
        Row("same_s3", "obstore, the same PUTs"),
        (),
        "bare: obstore, one conditional PUT of the message alone; the same: of a tail that grows"
        " to 32 KiB, for the blocking face from a thread",
        Row("same_s3_blocking", "obstore, the same, from a thread"),
    ),
}
COLUMNS: Final = ("append, /s", "read 1,000, ms", "last 20, ms")
RATIOS: Final = ("append / bare", "append / same", "read: bare / it", "read: same / it")


def main() -> int:
    """Measure what was asked for, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engines", description=__doc__)
    parser.add_argument("--engine", nargs="+", default=list(ENGINES), choices=list(ENGINES))
    parser.add_argument("--quick", action="store_true", help="one turn, no peers")
    parser.add_argument("--out", type=Path, help="a folder for engines.md")
    given = parser.parse_args()
    from servers.seaweed import ENVIRONMENT

    # Now, for the processes of the rows live through all engines.
    os.environ.update(ENVIRONMENT)
    with Bench(QUICK if given.quick else FULL, None) as bench:
        lines = ["# Engines beside their bare clients", "", *machine(bench), ""]
        for name in given.engine:
            lines += _table(bench, ENGINES[name], peers=not given.quick)
    text = "\n".join(lines).rstrip() + "\n"
    sys.stdout.write(text)
    if given.out is not None:
        (given.out / "engines.md").write_text(text, "utf-8")
    return 0


def _table(bench: Bench, engine: Engine, *, peers: bool) -> list[str]:
    wanted = [OURS, OURS_BLOCKING, engine.bare, engine.same, engine.other]
    rows = [row for row in (*wanted, *(engine.peers if peers else ())) if bench.available(row)]
    found: dict[Row, list[list[float]]] = {row: [] for row in rows}
    # On the disk that is to be measured, not in memory.
    with tempfile.TemporaryDirectory() as at, served(engine, Path(at)) as settings:
        filled = {row: _fill(bench, row, _settings(row, settings)) for row in rows}
        for turn in range(TURNS if peers else 1):
            first = turn % len(rows)
            for row in rows[first:] + rows[:first]:
                found[row].append(_measure(bench, row, filled[row]))
                sys.stderr.write(f"{engine.title}: {row.label}: {found[row][-1:]}\n")
    lines = [f"## {engine.title}", "", f"{engine.note}.", ""]
    lines += [f"| | {' | '.join((*COLUMNS, *RATIOS))} |"]
    lines += ["|---|" + "--:|" * len((*COLUMNS, *RATIOS))]
    for row in rows:
        cells = [_cell([turn[column] for turn in found[row]]) for column in range(len(COLUMNS))]
        limits = (found[engine.bare], found[engine.same_as(row)])
        ratios = [_ratio(found[row], limit, 0) for limit in limits]
        ratios += [_ratio(limit, found[row], 1) for limit in limits]
        lines.append(f"| {' | '.join([row.label, *cells, *ratios])} |")
    used = [versions(row) for row in rows if row.environment]
    return [*lines, "", *(f"{text}. " for text in dict.fromkeys(used)), ""]


def _settings(row: Row, settings: dict[str, Any]) -> dict[str, Any]:
    given = settings.get("ours" if row in (OURS, OURS_BLOCKING) else "theirs", {})
    return {**given, "threads": True} if row == SAME_IN_THREADS else given


def _cell(values: list[float]) -> str:
    """Return the median, and between what half of the values lie."""
    if len(values) < 2:
        return f"{values[0]:,.1f}"
    low, median, high = statistics.quantiles(values, n=4, method="inclusive")
    return f"{median:,.1f} ({low:,.1f}-{high:,.1f})"


def _ratio(one: list[list[float]], other: list[list[float]], column: int) -> str:
    """Return the median of the ratios of each turn."""
    ratios = [mine[column] / limit[column] for mine, limit in zip(one, other, strict=True)]
    return f"{statistics.median(ratios):.2f}"


@contextmanager
def served(engine: Engine, folder: Path) -> Iterator[dict[str, Any]]:
    """Run the server of an engine, and give the settings of its rows."""
    yield from engine.serve(folder)


def _fill(bench: Bench, row: Row, settings: dict[str, Any]) -> Params:
    """Make the sessions that are read, and return where they are."""
    folder = bench.home / f"filled-{row.name}-{len(settings)}"
    given = {"folder": str(folder / "store"), "settings": settings}
    for session, count in [("short", 1), *((name, MESSAGES) for name in LONG)]:
        _good(bench.ask(row, "fill", {**given, "session": session, "count": count}))
    return given


def _measure(bench: Bench, row: Row, filled: Params) -> list[float]:
    """Return appends a second, and how many ms it takes to read all and the last."""
    with bench.scratch() as folder:
        given = {"folder": str(folder / "store"), "settings": filled["settings"]}
        append = _good(
            bench.ask(row, "append", {**given, "count": 100_000, "budget": APPEND_SECONDS})
        )
    reads = [
        _good(
            bench.ask(
                row, "read", {**filled, "session": name, "after": "short", "expect": MESSAGES}
            )
        )["seconds"]
        for name in LONG
    ]
    last = _good(bench.ask(row, "last", {**filled, "session": LONG[0], "expect": MESSAGES}))
    rate = append["operations"] / append["seconds"]
    return [rate, statistics.median(reads) * 1e3, last["seconds"] * 1e3]


def _good(answer: dict[str, Any]) -> dict[str, Any]:
    if "error" in answer or not answer.get("valid", True):
        raise RuntimeError(str(answer.get("error") or answer.get("why")))
    return answer


if __name__ == "__main__":
    sys.exit(main())
