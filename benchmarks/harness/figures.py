"""The figures to reach: ratios within one repetition, their median and spread, and the verdict."""

import operator
import statistics
from collections.abc import Callable, Iterator
from typing import NamedTuple

from benchmarks.kit.protocol import Answer

from .bench import Results
from .cases import label
from .peers import PEERS
from .scale import Scale

Number = Callable[[Answer], float]


class Figure(NamedTuple):
    """One line of the table; `found` has a number for each repetition that has one."""

    what: str
    bound: float
    sign: str
    found: list[float]
    unit: str = ""

    @property
    def reached(self) -> bool | None:
        """Return whether the median is within the bound; None if nothing was measured."""
        if not self.found:
            return None
        compare = {"≥": operator.ge, "≤": operator.le, ">": operator.gt, "=": operator.eq}
        return bool(compare[self.sign](statistics.median(self.found), self.bound))


def rate(answer: Answer) -> float:
    """Return operations in a second."""
    return float(answer["operations"] / answer["seconds"])


def seconds(answer: Answer) -> float:
    """Return how long it took."""
    return float(answer["seconds"])


def key(name: str, factor: float = 1.0) -> Number:
    """Return the number of that name, in another unit."""
    return lambda answer: float(answer[name]) * factor


class Table:
    """Looks up the answers of one run, repetition by repetition."""

    def __init__(self, results: Results) -> None:
        self._results = results
        self._turns = max((len(answers) for answers in results.values()), default=0)

    def one(self, case: str, number: Number) -> list[float | None]:
        """Return the number of a case in each repetition; None where it is not there."""
        answers = self._results.get(case, [])
        found: list[float | None] = []
        for turn in range(self._turns):
            answer = answers[turn] if turn < len(answers) else {}
            try:
                found.append(number(answer) if answer.get("valid") else None)
            except (KeyError, ZeroDivisionError):
                found.append(None)
        return found

    def best(self, cases: list[str], number: Number) -> list[float | None]:
        """Return the largest number of several cases."""
        columns = [self.one(case, number) for case in cases]
        rows = [[value for value in row if value is not None] for row in zip(*columns, strict=True)]
        return [max(row) if row else None for row in rows]

    def values(self, case: str, number: Number) -> list[float]:
        """Return the numbers that are there."""
        return [value for value in self.one(case, number) if value is not None]


def ratio(above: list[float | None], below: list[float | None]) -> list[float]:
    """Return the quotients of the repetitions that have both."""
    pairs = zip(above, below, strict=True)
    return [one / other for one, other in pairs if one is not None and other]


def figures(scale: Scale, results: Results) -> list[Figure]:
    """Return every figure of the table, in its order."""
    table = Table(results)
    parts = (_append, _together, _read, _tree, _sessions, _memory, _crowd, _live, _growth)
    return [figure for part in parts for figure in part(scale, table)]


def _append(_scale: Scale, table: Table) -> Iterator[Figure]:
    python = [f"A {label(row)}" for row in PEERS if row.language == "Python"]
    power = [f"A {label(row)}" for row in PEERS if row.promise == "power"]
    others = [f"A {label(row)}" for row in PEERS if row.language != "Python"]
    for face in ("session-store", "session-store, blocking"):
        ours = table.one(f"A {face} · os", rate)
        encode = table.one("A limit · encode + write", rate)
        yield Figure(f"A, os, {face} / encode + write", 0.20, "≥", ratio(ours, encode))
        fastest = table.best(python, rate)
        yield Figure(f"A, os, {face} / fastest Python peer", 10, "≥", ratio(ours, fastest))
        tree = table.best(others, rate)
        yield Figure(f"A, os, {face} / TypeScript JSONL tree", 1, ">", ratio(ours, tree))
    for face in ("session-store", "session-store, blocking"):
        ours = table.one(f"A {face} · fsync", rate)
        bare = table.one("A limit · write + fdatasync", rate)
        yield Figure(f"A, fsync, {face} / write + fdatasync", 0.85, "≥", ratio(ours, bare))
        same = table.best(power, rate)
        what = f"A, fsync, {face} / fastest peer with the same promise"
        yield Figure(what, 1.7, "≥", ratio(ours, same))
    bare = table.one("B limit · write through descriptors", rate)
    for face in ("session-store", "session-store, blocking"):
        ours = table.one(f"B {face} · os", rate)
        yield Figure(f"B, os, {face} / writes to 500 descriptors", 0.5, "≥", ratio(ours, bare))


def _together(_scale: Scale, table: Table) -> Iterator[Figure]:
    groups = table.one("I limit · write + fdatasync per 32", rate)
    threads = table.one("I limit · best number of threads, own files", rate)
    for who in ("session-store · 64 tasks", "session-store, blocking · 64 threads"):
        ours = table.one(f"I {who}, 1 session", rate)
        yield Figure(f"I, {who}, one session / groups of 32", 0.6, "≥", ratio(ours, groups))
    for who in ("session-store · 64 tasks", "session-store, blocking · 64 threads"):
        ours = table.one(f"I {who}, 64 sessions", rate)
        what = f"I, {who}, 64 sessions / best bare threads"
        yield Figure(what, 0.8, "≥", ratio(ours, threads))
    ours = table.one("A session-store · append_many of 100, os", rate)
    bare = table.one("A limit · encode + one write per 100", rate)
    yield Figure("`append_many` of 100, os / encode + one write", 0.5, "≥", ratio(ours, bare))


def _read(scale: Scale, table: Table) -> Iterator[Figure]:
    for size in scale.read_sizes:
        ours = f"C session-store · {size:,}"
        cold = table.one(ours, seconds)
        bare = table.one(f"C limit · read + decode · {size:,}", seconds)
        yield Figure(f"C, {size:,} cold / read + decode", 0.4, "≥", ratio(bare, cold))
        warm = table.one(ours, key("warm_seconds"))
        yield Figure(f"C, {size:,} warm, times as fast as cold", 20, "≥", ratio(cold, warm))
    last = f"D session-store · {scale.largest:,}"
    what = f"D, last 20 of {scale.largest:,}, cold"
    yield Figure(what, 3, "≤", table.values(last, key("seconds", 1e3)), "ms")
    yield Figure(f"{what}, read", 256, "≤", table.values(last, key("read_bytes", 1 / 1024)), "KiB")
    small = table.one("D session-store · 1,000", seconds)
    times = ratio(table.one(last, seconds), small)
    yield Figure(f"D, last 20 of {scale.largest:,} / of 1,000", 1.5, "≤", times)


def _tree(scale: Scale, table: Table) -> Iterator[Figure]:
    for size in scale.trees:
        ours = table.one(f"E session-store · {size:,}", seconds)
        scan = table.one(f"E limit · id-only scan · {size:,}", seconds)
        yield Figure(f"E, {size:,}, cold / id-only scan", 0.4, "≥", ratio(scan, ours))

    def step(answer: Answer) -> float:
        return float(answer["warm_seconds"] / answer["path"])

    small, large = (table.one(f"E session-store · {size:,}", step) for size in scale.trees)
    what = f"E, warm, cost of a message of the path in {scale.trees[1]:,} / in {scale.trees[0]:,}"
    yield Figure(what, 1.3, "≤", ratio(large, small))


def _sessions(scale: Scale, table: Table) -> Iterator[Figure]:
    many = f"F session-store · {scale.largest:,} sessions"
    end = f"of {scale.largest:,} sessions"
    known = table.values(many, key("resolve_seconds", 1e6))
    yield Figure(f"F, resolve a known key {end}", 4, "≤", known, "µs")
    for durability, bare in (("os", "encode + write"), ("fsync", "write + fdatasync")):
        new = table.one(f"F session-store · resolve a new key, {durability}", rate)
        limit = table.one(f"F limit · {bare}", rate)
        yield Figure(f"F, new key, {durability} / {bare}", 0.7, "≥", ratio(new, limit))
    yield Figure(f"F, open a store {end}", 3, "≤", table.values(many, seconds), "s")
    peak = table.values(many, key("peak_kib", 1024 / 1e6))
    yield Figure(f"F, open {end}, peak", 1000, "≤", peak, "MB")
    steady = table.values(many, key("steady_kib", 1024 / 1e6))
    yield Figure(f"F, open {end}, steady", 700, "≤", steady, "MB")
    for when, name in (("first", "latest_first_seconds"), ("again", "latest_seconds")):
        latest = table.values(many, key(name, 1e3))
        yield Figure(f"F, the 50 latest {end}, {when}", 5, "≤", latest, "ms")
    written = table.values(many, key("amplification"))
    yield Figure(f"F, bytes written for {scale.largest:,} sessions / journal", 5, "≤", written)


def _memory(scale: Scale, table: Table) -> Iterator[Figure]:
    for what in ("append", "last", "stream", "check"):
        case = f"G session-store · {what} · {scale.largest:,} messages"
        above = table.values(case, key("peak_kib", 1024 / 1e6))
        yield Figure(f"G, {what}, {scale.largest:,} messages, above idle", 60, "≤", above, "MB")
    case = f"G session-store · read · {scale.largest:,} messages"
    part = table.values(case, lambda one: float(one["peak_kib"] * 1024 / one["file_bytes"]))
    yield Figure(f"G, get_messages, {scale.largest:,} messages / file", 3.5, "≤", part)


def _crowd(scale: Scale, table: Table) -> Iterator[Figure]:
    def wrong(answer: Answer) -> float:
        return float(answer["lost"] + answer["duplicated"] + answer["failed"])

    every: list[float] = []
    for number in scale.crowds:
        for where in ("one session", "own sessions"):
            for durability in ("os", "fsync"):
                case = f"H session-store · {durability} · {number} processes, {where}"
                every += table.values(case, wrong)
    worst = [max(every)] if every else []
    yield Figure("H, lost, double or failed, at worst", 0, "=", worst)
    end = "4 processes, one session"
    for durability, bare, least in (
        ("fsync", "flock + write + fdatasync", 0.5),
        ("os", "flock + write", 0.15),
    ):
        ours = table.one(f"H session-store · {durability} · {end}", rate)
        limit = table.one(f"H limit · {bare} · {end}", rate)
        yield Figure(f"H, {durability}, {end} / {bare}", least, "≥", ratio(ours, limit))


def _live(_scale: Scale, table: Table) -> Iterator[Figure]:
    delay = table.values("J session-store · append to delivery", key("median_seconds", 1e3))
    yield Figure("J, from append to delivery, median", 5, "≤", delay, "ms")
    share = table.values("J session-store · 100 idle subscribers", key("cpu_share", 100))
    yield Figure("J, CPU of 100 idle subscribers", 2, "≤", share, "%")


def _growth(scale: Scale, table: Table) -> Iterator[Figure]:
    large = f"{scale.largest:,}"

    def cost(answer: Answer) -> float:
        return float(answer["seconds"] / answer["operations"])

    for what, case, number in (
        ("append", "K session-store · append at {}", cost),
        ("last 20", "D session-store · {}", seconds),
        ("resolve", "F session-store · {} sessions", key("resolve_seconds")),
    ):
        pair = [table.one(case.format(size), number) for size in (large, "1,000")]
        yield Figure(f"K, {what} at {large} / at 1,000", 1.3, "≤", ratio(*pair))
    size = f"{scale.read_sizes[-1]:,}"
    scan = table.one(f"K limit · id-only scan at {size}", seconds)
    for how in ("explicit id", "far parent", "idle branch"):
        case = f"K session-store · {how} at {size}"
        first, again = table.one(case, seconds), table.one(case, key("again_seconds"))
        # As E: 0.4 of the scan, that is two and a half times as long.
        yield Figure(f"K, {how} at {size}, first / id-only scan", 2.5, "≤", ratio(first, scan))
        yield Figure(f"K, {how} at {size}, again / first", 0.1, "≤", ratio(again, first))
    start = table.values("import session-store · import", key("seconds", 1e3))
    yield Figure("`import session_store`, beyond the interpreter", 60, "≤", start, "ms")


def figures_table(found: list[Figure], scale: Scale) -> str:
    """Return the table in Markdown."""
    lines = [
        f"Scale: {scale.name}, {scale.repetitions} repetitions; median (lowest–highest).",
        "",
        "| figure | at least / at most | found | |",
        "|---|---|---|---|",
    ]
    for figure in found:
        verdict = {None: "not measured", True: "reached", False: "**not reached**"}[figure.reached]
        unit = f" {figure.unit}" if figure.unit else ""
        bound = f"{figure.sign} {figure.bound:g}{unit}"
        lines.append(f"| {figure.what} | {bound} | {_shown(figure.found)}{unit} | {verdict} |")
    done = sum(figure.reached is True for figure in found)
    measured = sum(figure.reached is not None for figure in found)
    return "\n".join([*lines, "", f"{done} of {measured} reached.", ""])


def _shown(found: list[float]) -> str:
    if not found:
        return "–"
    middle = statistics.median(found)
    digits = 0 if abs(middle) >= 100 else 2 if abs(middle) >= 0.1 else 4
    median = f"{middle:,.{digits}f}"
    if len(found) == 1:
        return median
    return f"{median} ({min(found):,.{digits}f}–{max(found):,.{digits}f})"
