"""`python -m benchmarks.engines`: each engine on a real server, beside its bare client and peers.

One table an engine: single appends, reads of 1,000 messages, the last 20 of them. All rows of an
engine do the same in turn, repetition after repetition, on the same server; the figures are
ratios of their medians. The servers are those that the tests start.
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
from .harness.scale import FULL, QUICK, Scale

sys.path.insert(0, str(Path(__file__).parents[1] / "tests" / "engines"))

APPEND_SECONDS: Final = 2.0
MESSAGES: Final = 1_000
OURS: Final = Row("ours_engine", "session-store")
OURS_BLOCKING: Final = Row("ours_engine_blocking", "session-store, blocking")
SAME_IN_THREADS: Final = Row("same_sqlite", "apsw, the same, in threads")


class Engine(NamedTuple):
    """What is measured on one server.

    `bare` does the least that keeps a message, `same` makes the round trips that the engine
    makes, and `awaited` does so without holding up an event loop, where that is another.
    """

    title: str
    serve: Callable[[Path], Iterator[dict[str, Any]]]
    bare: Row
    same: Row
    peers: tuple[Row, ...]
    note: str
    awaited: Row | None = None

    def same_as(self, row: Row) -> Row:
        """Return which bare client makes the same round trips as this row."""
        return self.same if self.awaited is None or row != OURS else self.awaited


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
        " and noted as well",
    ),
    "redis": Engine(
        "Valkey",
        _redis,
        Row("bare_redis", "redis-py"),
        Row("same_redis", "redis-py, the same scripts"),
        (Row("openai_redis", "openai-agents RedisSession", "openai-agents-servers"),),
        "bare: redis-py with hiredis, one APPEND a message, appendfsync always; the same: a script"
        " that asks for the size and notes it as well",
    ),
    "s3": Engine(
        "S3 (SeaweedFS)",
        _s3,
        Row("bare_s3", "obstore"),
        Row("same_s3", "obstore, the same PUTs"),
        (),
        "bare: obstore, one conditional PUT of the message alone; the same: of a tail that grows"
        " to 32 KiB",
    ),
}
COLUMNS: Final = ("append, /s", "read 1,000, ms", "last 20, ms")
RATIOS: Final = ("append / bare", "append / same", "read: bare / it", "read: same / it")


def main() -> int:
    """Measure what was asked for, and print the tables."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engines", description=__doc__)
    parser.add_argument("--engine", nargs="+", default=list(ENGINES), choices=list(ENGINES))
    parser.add_argument("--quick", action="store_true", help="one repetition, no peers")
    parser.add_argument("--out", type=Path, help="a folder for engines.md")
    given = parser.parse_args()
    from servers.seaweed import ENVIRONMENT

    # Now, for the processes of the rows live through all engines.
    os.environ.update(ENVIRONMENT)
    scale = QUICK if given.quick else FULL
    with Bench(scale, None) as bench:
        lines = ["# Engines beside their bare clients", "", *machine(bench), ""]
        for name in given.engine:
            lines += _table(bench, scale, ENGINES[name], peers=not given.quick)
    text = "\n".join(lines).rstrip() + "\n"
    sys.stdout.write(text)
    if given.out is not None:
        (given.out / "engines.md").write_text(text, "utf-8")
    return 0


def _table(bench: Bench, scale: Scale, engine: Engine, *, peers: bool) -> list[str]:
    own = [OURS, OURS_BLOCKING]
    bare = [row for row in (engine.bare, engine.same, engine.awaited) if row is not None]
    rows = [row for row in (*own, *bare, *(engine.peers if peers else ())) if bench.available(row)]
    found: dict[str, list[list[float]]] = {row.label: [] for row in rows}
    said: dict[str, str] = {}
    # On the disk that is to be measured, not in memory.
    with tempfile.TemporaryDirectory() as at, served(engine, Path(at)) as settings:
        for repetition in range(1 if not peers else scale.repetitions):
            turn = repetition % len(rows)
            for row in rows[turn:] + rows[:turn]:
                given = settings.get("ours" if row in own else "theirs", {})
                if row == engine.awaited:
                    given = {**given, "threads": True}
                try:
                    found[row.label].append(_measure(bench, row, given))
                except RuntimeError as error:
                    said[row.label] = str(error)
                sys.stderr.write(f"{engine.title}: {row.label}: {found[row.label][-1:]}\n")
    lines = [f"## {engine.title}", "", f"{engine.note}.", ""]
    lines += [f"| | {' | '.join((*COLUMNS, *RATIOS))} |"]
    lines += ["|---|" + "--:|" * len((*COLUMNS, *RATIOS))]
    for row in rows:
        if not found[row.label]:
            lines.append(f"| {row.label} | {said[row.label]} {'| ' * len(RATIOS)}| | |")
            continue
        mine, limit, same = (
            _medians(found[one.label]) for one in (row, engine.bare, engine.same_as(row))
        )
        spread = [f"{min(v):,.1f}-{max(v):,.1f}" for v in zip(*found[row.label], strict=True)]
        cells = [f"{value:,.1f} ({span})" for value, span in zip(mine, spread, strict=True)]
        lines.append(
            f"| {row.label} | {' | '.join(cells)} |"
            f" {mine[0] / limit[0]:.2f} | {mine[0] / same[0]:.2f} |"
            f" {limit[1] / mine[1]:.2f} | {same[1] / mine[1]:.2f} |"
        )
    used = [versions(row) for row in rows if row.environment]
    return [*lines, "", *(f"{text}. " for text in dict.fromkeys(used)), ""]


@contextmanager
def served(engine: Engine, folder: Path) -> Iterator[dict[str, Any]]:
    """Run the server of an engine, and give the settings of its rows."""
    yield from engine.serve(folder)


def _measure(bench: Bench, row: Row, settings: dict[str, Any]) -> list[float]:
    """Return appends a second, and how many ms it takes to read all and the last."""
    with bench.scratch() as folder:
        given = {"folder": str(folder / "store"), "settings": settings}
        append = _good(
            bench.ask(row, "append", {**given, "count": 100_000, "budget": APPEND_SECONDS})
        )
    with bench.scratch() as folder:
        given = {"folder": str(folder / "store"), "settings": settings, "session": "long"}
        _good(bench.ask(row, "fill", {**given, "count": MESSAGES}))
        _good(bench.ask(row, "fill", {**given, "session": "short", "count": 1}))
        read = _good(bench.ask(row, "read", {**given, "after": "short", "expect": MESSAGES}))
        last = _good(bench.ask(row, "last", {**given, "expect": MESSAGES}))
    rate = append["operations"] / append["seconds"]
    return [rate, read["seconds"] * 1e3, last["seconds"] * 1e3]


def _good(answer: dict[str, Any]) -> dict[str, Any]:
    if "error" in answer or not answer.get("valid", True):
        raise RuntimeError(str(answer.get("error") or answer.get("why")))
    return answer


def _medians(values: list[list[float]]) -> list[float]:
    return [statistics.median(column) for column in zip(*values, strict=True)]


if __name__ == "__main__":
    sys.exit(main())
