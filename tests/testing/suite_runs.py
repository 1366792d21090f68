"""A pytest of its own for suites that have to fail."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import session_store

HERE = Path(__file__).parent
SOURCES = Path(session_store.__file__).parents[1]
SECONDS = 300


class SuiteRun(NamedTuple):
    """The classes of which a test failed in its body, by name, and what pytest printed."""

    caught: set[str]
    output: str


def run_broken(file: str, scratch: Path, **environment: str) -> SuiteRun:
    """Run the suites of a file beside this one, each until one of its tests fails.

    Of each class only the tests are run whose names begin with one of its `verbs`: whatever
    failed is one of those.
    """
    record = scratch / "record.json"
    options = ["-q", "--tb=line", "-p", "suite_recorder", "-p", "no:cacheprovider"]
    # Not under coverage: what is broken on purpose would only take three times as long.
    plain = {name: value for name, value in os.environ.items() if "COVERAGE" not in name}
    path = os.pathsep.join([str(HERE), str(SOURCES)])
    done = subprocess.run(
        [sys.executable, "-m", "pytest", *options, str(HERE / file)],
        env={
            **plain,
            "RECORD": str(record),
            "PYTHONPATH": path,
            "SESSION_STORE_TEST_ALL": "1",
            **environment,
        },
        cwd=scratch,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )
    output = done.stdout + done.stderr
    assert done.returncode == 1, output
    failed = json.loads(record.read_text())
    return SuiteRun({suite for suite, when in failed.items() if when == "call"}, output)
