"""The harness of the benchmarks: what it says would be believed, so it must not lie."""

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from benchmarks import engines
from benchmarks.harness.bench import Metric, Results, shown
from benchmarks.harness.figures import Figure, Table, figures, figures_table, rate, ratio
from benchmarks.harness.peers import EVERY, Row
from benchmarks.harness.plan import WORKLOADS, plan
from benchmarks.harness.scale import FULL, QUICK, Scale
from benchmarks.kit.messages import POOL, dialogue

ROOT = Path(__file__).resolve().parents[2]


OF_ENGINES = {
    row
    for engine in engines.ENGINES.values()
    for row in (
        engines.OURS,
        engines.OURS_BLOCKING,
        engine.bare,
        engine.same,
        engine.other,
        *engine.peers,
    )
}


def ask(row: str, *jobs: dict[str, Any]) -> list[dict[str, Any]]:
    """Let a row of ours answer jobs, as the harness does."""
    text = "".join(json.dumps(job) + "\n" for job in jobs)
    command = [sys.executable, "-m", f"benchmarks.rows.{row}"]
    done = subprocess.run(
        command, cwd=ROOT, input=text, capture_output=True, text=True, timeout=60, check=True
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def answer(operations: int, seconds: float, **more: Any) -> dict[str, Any]:
    return {"operations": operations, "seconds": seconds, "valid": True, **more}


@pytest.mark.parametrize("row", sorted({*EVERY, *OF_ENGINES}, key=str), ids=lambda row: row.name)
def test_a_row_has_its_program_and_its_pins(row: Row) -> None:
    ending = "py" if row.language == "Python" else "mjs"

    assert (ROOT / "benchmarks" / "rows" / f"{row.name}.{ending}").is_file()
    if row.environment is not None:
        assert len(list((ROOT / "benchmarks" / "requirements").glob(f"{row.environment}.*"))) == 1


def test_no_program_is_forgotten() -> None:
    programs = {path.stem for path in (ROOT / "benchmarks" / "rows").glob("*.*")} - {"__init__"}

    assert programs == {row.name for row in {*EVERY, *OF_ENGINES}}


def test_the_dialogue_is_as_in_life() -> None:
    turns = list(dialogue(POOL))
    spoken = [len(turn.text.encode()) for turn in turns if turn.kind in {"user", "assistant"}]
    results = [len(turn.text.encode()) for turn in turns if turn.kind == "tool_result"]
    users = sum(turn.kind == "user" for turn in turns)

    assert min(spoken) >= 45
    assert max(spoken) <= 3000
    assert all(2040 <= size <= 2048 for size in results)
    assert len(results) == pytest.approx(users / 5, abs=1)
    assert list(dialogue(3, POOL - 1)) == [turns[-1], *turns[:2]]


@pytest.mark.parametrize("row", ["ours", "ours_blocking"])
def test_a_row_of_ours_reads_back_what_it_wrote(row: str, tmp_path: Path) -> None:
    store, settings = str(tmp_path / "store"), {"durability": "os"}
    common = {"folder": store, "session": "s", "settings": settings}

    filled, read, last, appended = ask(
        row,
        {"workload": "fill", "params": {**common, "count": 100}},
        {"workload": "read", "params": {**common, "expect": 100}},
        {"workload": "last", "params": {**common, "expect": 100}},
        {"workload": "append", "params": {**common, "folder": f"{store}-2", "count": 50}},
    )

    assert (filled["operations"], filled["full"]) == (100, True)
    assert (read["operations"], read["valid"]) == (100, True)
    assert last["valid"]
    assert (appended["operations"], appended["valid"]) == (50, True)


def test_a_row_that_reads_something_else_is_invalid(tmp_path: Path) -> None:
    common = {"folder": str(tmp_path / "store"), "session": "s"}

    _, read = ask(
        "ours",
        {"workload": "fill", "params": {**common, "count": 20}},
        {"workload": "read", "params": {**common, "expect": 21}},
    )

    assert read["valid"] is False
    assert "read" in read["why"]


def test_a_job_that_fails_is_an_answer() -> None:
    (broken,) = ask("limits", {"workload": "decode", "params": {"path": "nowhere", "expect": 1}})

    assert broken["error"].startswith("FileNotFoundError")


def test_a_ratio_pairs_what_was_measured_in_one_repetition() -> None:
    results: Results = {
        "ours": [answer(100, 1), answer(10, 1)],
        "bare": [answer(200, 1), answer(20, 1)],
    }
    table = Table(results)

    assert ratio(table.one("ours", rate), table.one("bare", rate)) == [0.5, 0.5]


def test_what_is_invalid_or_missing_counts_for_nothing() -> None:
    results: Results = {
        "ours": [{**answer(100, 1), "valid": False}, {"error": "it ended"}, answer(10, 1)],
        "bare": [answer(200, 1), answer(20, 1)],
    }
    table = Table(results)

    assert ratio(table.one("ours", rate), table.one("bare", rate)) == []
    assert table.values("ours", rate) == [10]
    assert table.one("nobody", rate) == [None, None, None]
    assert shown(Metric("rate", rate), results["ours"][:2]) == "–"


@pytest.mark.parametrize(
    ("sign", "found", "reached"),
    [("≥", [1, 2, 0], True), ("≥", [0, 0, 9], False), ("≤", [1.0], True), (">", [1.0], False)],
)
def test_the_median_decides(sign: str, found: list[float], reached: bool) -> None:
    assert Figure("what", 1, sign, found).reached is reached


def test_a_figure_that_was_not_measured_is_not_reached() -> None:
    table = figures_table(figures(QUICK, {}), QUICK)

    assert "not measured" in table
    assert "0 of 0 reached" in table


@pytest.mark.parametrize("scale", [QUICK, FULL], ids=lambda scale: scale.name)
def test_every_case_that_a_figure_asks_for_is_in_the_plan(scale: Scale) -> None:
    cases = {case.id for case in plan(scale, list(WORKLOADS), [])}
    asked: set[str] = set()

    class Asked(dict[str, list[Any]]):
        def get(self, name: str, default: Any = None) -> Any:
            asked.add(name)
            return default

    figures(scale, Asked())

    assert len(asked) > 40
    assert asked <= cases
