"""A plugin for pytest: each test is run without the rule that it is said to miss.

It imports nothing of ours before pytest has set itself up: that would not be rewritten.
"""

import json
import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

import pytest

outcomes: dict[str, str] = {}


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: Any) -> Generator[None, Any, Any]:
    from races_rooms import ROOMS

    [sabotage] = [sabotage for _, sabotage, test in ROOMS if item.nodeid.endswith(f"/{test}")]
    with pytest.MonkeyPatch.context() as patch:
        sabotage(patch)
        return (yield)


def pytest_runtest_logreport(report: Any) -> None:
    if report.when == "call":
        outcomes[report.nodeid.partition("/")[2]] = report.outcome


def pytest_sessionfinish() -> None:
    Path(os.environ["RECORD"]).write_text(json.dumps(outcomes))
