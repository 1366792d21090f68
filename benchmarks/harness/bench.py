"""The run: cases in turn, repetition after repetition, so that no row has the quiet hours."""

import json
import os
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from benchmarks.kit.messages import POOL, dialogue
from benchmarks.kit.protocol import Answer, Params

from .child import Child, gathered
from .environments import LeftOutError, make
from .peers import Row
from .scale import Scale


class Metric(NamedTuple):
    """One number of an answer, as a column of the table."""

    name: str
    of: Callable[[Answer], float]
    digits: int = 0


class Case(NamedTuple):
    """One line of one table: a row at a workload."""

    letter: str
    label: str
    run: Callable[["Bench", int], Answer]
    metrics: tuple[Metric, ...]
    row: Row

    @property
    def id(self) -> str:
        """Return what the figures call it by."""
        return f"{self.letter} {self.label}"


RATES = ("A", "I")
"""What is measured in several turns: rates that the disk decides about."""

Results = dict[str, list[Answer]]
"""The answers of each case, one for each repetition."""


class Bench:
    """Processes, scratch folders and prepared data of one run."""

    def __init__(self, scale: Scale, folder: Path | None) -> None:
        self.scale = scale
        self.home = Path(tempfile.mkdtemp(prefix="session-store-bench-", dir=folder))
        self.left_out: dict[str, str] = {}
        self._children: dict[str, Child] = {}
        self._facts: dict[Any, Any] = {}
        self._folders = 0

    def __enter__(self) -> "Bench":
        return self

    def __exit__(self, *_: object) -> None:
        for child in self._children.values():
            child.close()
        shutil.rmtree(self.home, ignore_errors=True)

    def available(self, row: Row) -> bool:
        """Return whether the row can run here; make its environment if that is what it lacks."""
        if row.environment is not None and row.label not in self.left_out:
            try:
                make(row.environment)
            except LeftOutError as error:
                self.left_out[row.label] = str(error)
        return row.label not in self.left_out

    @contextmanager
    def scratch(self) -> Iterator[Path]:
        """Give a folder that nobody has used, and remove it."""
        self._folders += 1
        folder = self.home / f"scratch-{self._folders}"
        folder.mkdir()
        try:
            yield folder
        finally:
            shutil.rmtree(folder, ignore_errors=True)

    def ask(self, row: Row, workload: str, params: Params, *, fresh: bool = False) -> Answer:
        """Give a job to the row's process, or to a fresh one that ends with it."""
        params = {"pool": str(self.pool), **params}
        if fresh:
            child = Child(row)
            try:
                return child.ask(workload, params)
            finally:
                child.close()
        kept = self._children.get(row.name)
        if kept is None or not kept.alive:
            kept = self._children[row.name] = Child(row)
        return kept.ask(workload, params)

    @property
    def pool(self) -> Path:
        """The messages as a file, for rows that are no Python."""
        return Path(self.fact("pool", self._write_pool))

    def _write_pool(self) -> Path:

        path = self.home / "pool.json"
        path.write_text(json.dumps(list(dialogue(POOL))), "utf-8")
        return path

    def fact(self, name: Any, find: Callable[[], Any]) -> Any:
        """Return what is found out or prepared once in a run."""
        if name not in self._facts:
            self._facts[name] = find()
        return self._facts[name]

    def crowd(self, row: Row, params: Params, *, together: bool, tally: bool = True) -> Answer:
        """Let processes append at once, to one session or to their own, and count."""
        with self.scratch() as folder:
            gate = folder / "gate"
            gate.mkdir()
            store = str(folder / "store")
            number = params["processes"]
            names = ["shared" if together else f"own-{place}" for place in range(number)]
            first = {**params, "folder": store, "count": 1, "budget": None}
            if tally:
                for name in sorted(set(names)):
                    self.ask(row, "fill", {**first, "session": name, "pool": str(self.pool)})
            children = [Child(row) for _ in names]
            for place, (child, name) in enumerate(zip(children, names, strict=True)):
                own = store if together or tally else f"{store}-{place}"
                job = {**params, "folder": own, "gate": str(gate), "place": place, "session": name}
                child.tell("member", job)
            gathered(children, gate)
            answers = [child.hear(120) for child in children]
            for child in children:
                child.close()
            broken = [answer["error"] for answer in answers if "error" in answer]
            if broken:
                return {"error": broken[0]}
            total = _together(answers)
            if tally:
                sessions: dict[str, list[Any]] = {}
                for place, (name, answer) in enumerate(zip(names, answers, strict=True)):
                    member = [place, answer["operations"], answer["failed"]]
                    sessions.setdefault(name, []).append(member)
                given = {"folder": store, "sessions": sessions, **_settings(params)}
                counted = self.ask(row, "tally", given, fresh=True)
                for name in ("lost", "duplicated"):
                    total[name] = counted.get(name, -1)
                total["why"] = total["why"] or counted.get("why") or counted.get("error", "")
            return total


def _together(answers: list[Answer]) -> Answer:
    seconds = max(one["ended"] for one in answers) - min(one["began"] for one in answers)
    failed = sum(len(one["failed"]) for one in answers)
    done = sum(one["operations"] for one in answers) - failed
    why = next((one["why"] for one in answers if one["why"]), "")
    return {"seconds": seconds, "operations": done, "valid": True, "failed": failed, "why": why}


def _settings(params: Params) -> Params:
    return {"settings": params["settings"]} if "settings" in params else {}


def run(bench: Bench, cases: list[Case]) -> Results:
    """Run all cases in turn, as often as the scale says; what happens is told on stderr.

    Ctrl-C ends the run; the results are what was measured until then.
    """
    results: Results = {case.id: [] for case in cases}
    try:
        _run(bench, cases, results)
    except KeyboardInterrupt:
        sys.stderr.write("ended early: this is what was measured until now\n")
    return results


def _run(bench: Bench, cases: list[Case], results: Results) -> None:
    letters = list(dict.fromkeys(case.letter for case in cases))
    began = time.monotonic()
    for repetition in range(bench.scale.repetitions):
        for letter in letters:
            mine = [case for case in cases if case.letter == letter]
            # Who comes first differs from one repetition to the next.
            turn = repetition * len(mine) // bench.scale.repetitions
            turns = bench.scale.slices if letter in RATES else 1
            for case in (mine[turn:] + mine[:turn]) * turns:
                if not bench.available(case.row):
                    continue
                try:
                    answer = case.run(bench, repetition)
                except LeftOutError as error:
                    answer = {"error": str(error)}
                if len(results[case.id]) > repetition:
                    results[case.id][-1] = _sum(results[case.id][-1], answer)
                else:
                    results[case.id].append(answer)
                _tell(began, repetition, case, answer)


def _sum(one: Answer, other: Answer) -> Answer:
    """Return two turns of a rate as one answer; what went wrong in either stays."""
    for answer in (one, other):
        if "error" in answer or not answer.get("valid"):
            return answer
    done = one["operations"] + other["operations"]
    return {**other, "seconds": one["seconds"] + other["seconds"], "operations": done}


def _tell(began: float, repetition: int, case: Case, answer: Answer) -> None:
    said = [f"{metric.name} {shown(metric, [answer])}" for metric in case.metrics]
    if "error" in answer:
        said = [f"error: {answer['error']}"]
    elif not answer.get("valid"):
        said.append(f"INVALID: {answer.get('why')}")
    clock = time.monotonic() - began
    line = f"{clock:6.0f} s  {repetition + 1}  {case.id}: {', '.join(said)}\n"
    sys.stderr.write(line)
    sys.stderr.flush()


def values(metric: Metric, answers: list[Answer]) -> list[float]:
    """Return the number of each repetition in which there is one."""
    good = [answer for answer in answers if answer.get("valid") and "error" not in answer]
    found = []
    for answer in good:
        try:
            found.append(metric.of(answer))
        except (KeyError, ZeroDivisionError):
            continue
    return found


def shown(metric: Metric, answers: list[Answer]) -> str:
    """Return the median and the spread."""
    found = values(metric, answers)
    if not found:
        return "–"
    median = f"{statistics.median(found):,.{metric.digits}f}"
    if len(found) == 1:
        return median
    return f"{median} ({min(found):,.{metric.digits}f}–{max(found):,.{metric.digits}f})"


def load() -> float:
    """Return how busy the machine was in the last minute."""
    return os.getloadavg()[0]
