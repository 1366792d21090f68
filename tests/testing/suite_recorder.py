"""A plugin for pytest: keeps to the tests of the verbs concerned, and notes where each suite fails.

It imports nothing of ours: what is imported before pytest has set itself up is not rewritten.
"""

import json
import os
from pathlib import Path
from typing import Any

import pytest

failed: dict[str, str] = {}


def pytest_collection_modifyitems(items: list[Any]) -> None:
    items[:] = [
        item
        for item in items
        if any(item.originalname.startswith(f"test_{verb}") for verb in item.cls.verbs)
    ]


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: Any) -> None:
    if item.cls.__name__ in failed:
        pytest.skip("it would only say once more that this one is broken")


def pytest_runtest_logreport(report: Any) -> None:
    if report.failed:
        _, suite, _ = report.nodeid.split("::")
        failed.setdefault(suite, report.when)


def pytest_sessionfinish() -> None:
    Path(os.environ["RECORD"]).write_text(json.dumps(failed))
