"""A plugin for pytest: keeps to the tests of the verbs concerned, and notes what became of them.

It imports nothing of ours: what is imported before pytest has set itself up is not rewritten.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

failed: dict[str, list[str]] = {}
passed: dict[str, list[str]] = {}


def pytest_collection_modifyitems(items: list[Any]) -> None:
    items[:] = [
        item
        for item in items
        if any(item.originalname.startswith(f"test_{verb}") for verb in item.cls.verbs)
    ]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: Any) -> None:
    if item.cls.__name__ in failed:
        pytest.skip("it would only say once more that this file system is broken")


def pytest_runtest_logreport(report: Any) -> None:
    _, suite, test = report.nodeid.split("::")
    if report.failed:
        failed.setdefault(suite, []).append(f"{test} ({report.when})")
    elif report.passed and report.when == "call":
        passed.setdefault(suite, []).append(test)


def pytest_sessionfinish() -> None:
    Path(os.environ["RECORD"]).write_text(json.dumps({"failed": failed, "passed": passed}))
