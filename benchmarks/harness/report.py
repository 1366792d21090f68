"""The tables in Markdown, and the machine they were measured on: no names, no paths."""

import datetime
import os
import platform
import sqlite3
from importlib.metadata import version
from pathlib import Path
from typing import Any

from .bench import Bench, Case, Results, load, shown, values
from .environments import versions
from .peers import EVERY
from .plan import WORKLOADS
from .scale import Scale


def machine(bench: Bench) -> list[str]:
    """Return what was there before the run began."""
    return [
        f"- {datetime.datetime.now(datetime.UTC):%Y-%m-%d}",
        f"- {_processor()}, {os.cpu_count()} cores, {_memory():.0f} GB",
        f"- {platform.system()} {platform.release().split('-')[0]}, {_file_system(bench.home)}",
        f"- load when it began: {load():.1f}",
        f"- Python {platform.python_version()}, msgspec {version('msgspec')}, "
        f"uuid-utils {version('uuid-utils')}, session-store {version('session-store')}, "
        f"SQLite of Python {sqlite3.sqlite_version}",
    ]


def report(
    bench: Bench, facts: list[str], cases: list[Case], results: Results, reached: str
) -> str:
    """Return the whole page."""
    lines = ["# What was measured", "", *facts]
    used = {case.row.name for case in cases}
    pinned = [versions(row) for row in EVERY if row.name in used]
    lines += [f"- {text}" for text in dict.fromkeys(pinned) if text]
    lines += [f"- load when it ended: {load():.1f}", ""]
    for label, reason in bench.left_out.items():
        lines += [f"Left out: {label}: {reason}", ""]
    lines += ["[README.md](README.md) says what each number means and how to repeat it.", ""]
    lines += ["## Figures to reach", "", reached]
    for letter, function in WORKLOADS.items():
        mine = [case for case in cases if case.letter == letter]
        if mine:
            lines += [f"## {(function.__doc__ or letter).removeprefix('Yield ').strip(' .')}", ""]
            lines += [*_tables(mine, results), ""]
    return "\n".join(lines).rstrip() + "\n"


def _tables(cases: list[Case], results: Results) -> list[str]:
    """Return one table for each set of columns."""
    lines: list[str] = []
    for names in dict.fromkeys(tuple(metric.name for metric in case.metrics) for case in cases):
        mine = [case for case in cases if tuple(one.name for one in case.metrics) == names]
        if lines:
            lines.append("")
        lines.append(f"| | {' | '.join(names)} | |")
        lines.append("|---|" + "--:|" * len(names) + "---|")
        for case in mine:
            answers = results[case.id]
            cells = [shown(metric, answers) for metric in case.metrics]
            lines.append(f"| {case.label} | {' | '.join(cells)} | {_remark(answers)} |")
    return lines


def _remark(answers: list[dict[str, Any]]) -> str:
    for answer in answers:
        if "error" in answer:
            return _plain(str(answer["error"]))
        if not answer.get("valid"):
            return _plain(f"invalid: {answer.get('why')}")
    whys = [str(answer["why"]) for answer in answers if answer.get("why")]
    return _plain(whys[0]) if whys else ""


def _plain(text: str) -> str:
    """Return one line without paths of this machine and without what would end a cell."""
    words = ["…" if word.strip("'\"():,").startswith("/") else word for word in text.split()]
    return " ".join(words).replace("|", "/")[:160]


def raw(scale: Scale, cases: list[Case], results: Results) -> dict[str, Any]:
    """Return the numbers of every repetition."""
    return {
        "scale": scale.name,
        "cases": {
            case.id: {metric.name: values(metric, results[case.id]) for metric in case.metrics}
            for case in cases
        },
    }


def _processor() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.split(":", 1)[1].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def _memory() -> float:
    return float(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9)


def _file_system(folder: Path) -> str:
    """Return the kind of file system that was written to."""
    best, kind = "", "unknown file system"
    try:
        for line in Path("/proc/mounts").read_text().splitlines():
            _, where, name, *_ = line.split()
            inside = str(folder).startswith(where.rstrip("/") + "/")
            if inside and len(where) >= len(best):
                best, kind = where, name
    except OSError:
        pass
    return kind
