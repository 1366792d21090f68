"""No rule of PROTOCOLS may be lost unnoticed: for each there is what fails without it."""

import json
import os
import subprocess
import sys
from pathlib import Path

from races_controls import CONTROLS
from races_rooms import ROOMS

HERE = Path(__file__).parent
SECONDS = 120

RULES = {
    *("A1", "A2", "A3", "A4", "A5", "A6", "A7", "B1"),
    *("I1", "I2", "I3", "I4", "I5", "I6", "I7"),
    *("D1", "D2", "D3", "D4", "D5"),
    *("L1", "L2", "L3", "L4", "L5", "C1", "M1", "M2"),
}


def test_every_rule_has_a_control() -> None:
    named = {rule for rule, *_ in [*CONTROLS, *ROOMS]}

    assert RULES - named == set()


def test_a_control_names_the_rules_that_it_takes_out() -> None:
    wrong = [
        sabotage.__name__
        for rule, sabotage, _ in [*CONTROLS, *ROOMS]
        if rule not in (sabotage.__doc__ or "").partition(":")[0].split(", ")
    ]

    assert wrong == []


def test_a_room_that_is_said_to_miss_a_rule_misses_it(tmp_path: Path) -> None:
    record = tmp_path / "record.json"
    options = ["-q", "--tb=line", "-p", "races_plugin", "-p", "no:cacheprovider"]
    # Not under coverage: what is broken on purpose would only take longer.
    plain = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
    environment = {
        **plain,
        "RECORD": str(record),
        "PYTHONPATH": os.pathsep.join([str(HERE), *sys.path]),
    }
    tests = [test for _, _, test in ROOMS]

    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, *(f"{HERE.parent}/{test}" for test in tests)],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert done.returncode == 1, done.stdout + done.stderr
    assert json.loads(record.read_text()) == dict.fromkeys(tests, "failed")
