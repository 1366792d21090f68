"""Every campaign, one after the other, with the amounts that are promised; then a table.

campaign.py [--short] [--only NAME] [--seed N]
"""

import argparse
import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from disk_children import end_politely_on_sigterm

HERE = Path(__file__).parent
END_PATIENCE_SECONDS = 120

AMOUNTS: dict[str, tuple[int, int]] = {
    "clocks_forks": (300, 10),
    "crash_states": (0, 2),
    "damage": (0, 2_000),
    "engines": (3, 1),
    "failed_fsync": (0, 5),
    "full_disk": (50, 2),
    "fuzz": (5_000_000, 20_000),
    "nth_call": (0, 20_000),
    "power_cut": (200, 5),
    "sigkill": (10_000, 200),
    "sigstop": (1_000, 20),
    "simulation": (1_000_000, 20_000),
    "servers": (200, 3),
    "soak": (1_200, 30),
}
"""How much of each: in full, and short. 0, or a campaign that is not named: all there is."""


def scripts(only: str | None = None) -> dict[str, Path]:
    """Return the campaigns by their names, or the one that is meant."""
    found = {
        path.stem.removeprefix("campaign_"): path for path in sorted(HERE.glob("campaign_*.py"))
    }
    if only is None:
        return found
    if only not in found:
        raise SystemExit(f"there is no campaign {only!r}; there are {', '.join(found)}")
    return {only: found[only]}


def run(name: str, script: Path, *, amount: int = 0, seed: int | None = None) -> dict[str, Any]:
    """Run one campaign to its end and return what it says of itself."""
    command = [sys.executable, str(script)]
    command += ["--amount", str(amount)] if amount else []
    command += ["--seed", str(seed)] if seed is not None else []
    print(f"== {name}: {' '.join([script.name, *command[2:]])}", flush=True)
    began, last = time.monotonic(), ""
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            for line in process.stdout:
                last = line
                print(line, end="", flush=True)
        except BaseException:
            process.terminate()
            process.wait(END_PATIENCE_SECONDS)
            raise
    facts = result_of(last)
    facts.setdefault("seconds", round(time.monotonic() - began, 1))
    if process.returncode and not facts["violations"]:
        facts["violations"] = f"ended with {process.returncode}"
    return {"campaign": name} | facts


def result_of(line: str) -> dict[str, Any]:
    """Return what the last line of a campaign says; a campaign that says nothing has failed."""
    try:
        facts = json.loads(line)
    except ValueError:
        facts = None
    if not isinstance(facts, dict) or "violations" not in facts:
        return {"violations": "no result"}
    return facts


def table(results: list[dict[str, Any]]) -> str:
    """Return the results as a table in Markdown, and what was skipped below it."""
    rows = ["| campaign | amount | violations | seeds | seconds |", "|---|---|---|---|---|"]
    skipped: list[str] = []
    for facts in results:
        amount = facts.get("amount", "")
        shown = f"{amount:,}" if isinstance(amount, int) else str(amount)
        rows.append(
            f"| {facts['campaign']} | {shown} {facts.get('unit', '')} | {facts['violations']} "
            f"| {facts.get('seeds', '')} | {facts['seconds']} |"
        )
        skipped += [f"skipped in {facts['campaign']}: {what}" for what in facts.get("skipped", ())]
    return "\n".join([*rows, *skipped])


def main() -> int:
    """Run them, and return 1 if any found a violation or did not get to its end."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--short", action="store_true", help="minutes, not hours")
    parser.add_argument("--only", help="the name of one campaign")
    parser.add_argument("--seed", type=int, help="where to begin, if not where each begins itself")
    given = parser.parse_args()
    end_politely_on_sigterm()
    results = []
    for name, script in scripts(given.only).items():
        amount = AMOUNTS.get(name, (0, 0))[given.short]
        results.append(run(name, script, amount=amount, seed=given.seed))
    print(table(results))
    return 1 if any(facts["violations"] for facts in results) else 0


if __name__ == "__main__":
    sys.exit(main())
