"""The suites run on a URL, and a table of what came out."""

import inspect
import os
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from hypothesis import settings
from hypothesis.configuration import set_hypothesis_home_dir

from . import by_url

PROFILE: Final = "session-store"
FAILURES_SHOWN: Final = 20
ERROR_LENGTH: Final = 500

_NAMES: Final = {
    suite: name
    for suites in (by_url.IN_FOLDER, by_url.ON_ENGINE)
    for suite, name in zip(suites, ("files", "index", "store"), strict=True)
}


@dataclass
class Group:
    """How the tests of one topic went."""

    title: str
    passed: int = 0
    failed: int = 0
    skipped: int = 0


@dataclass
class Failure:
    """A sentence of the contract that does not hold, and how that was seen."""

    title: str
    sentence: str
    test: str
    error: str


@dataclass
class Table:
    """A plugin for pytest that notes what became of each test, instead of showing it."""

    place: by_url.Place
    groups: dict[str, Group] = field(default_factory=dict)
    reasons: Counter[str] = field(default_factory=Counter)
    failures: list[Failure] = field(default_factory=list)
    broken: str = ""
    """Why there are no results: pytest could not even begin."""
    _items: dict[str, Any] = field(default_factory=dict)
    _failed: set[str] = field(default_factory=set)

    def pytest_configure(self, config: pytest.Config) -> None:
        """Tell the tests where to work."""
        config.stash[by_url.PLACE] = self.place

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        """Keep the suites for what the URL names."""
        suites = by_url.suites_of(self.place.url)
        items[:] = [item for item in items if getattr(item, "cls", None) in suites]

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        """Note that the tests could not be read."""
        if report.failed:
            self.broken = report.longreprtext

    def pytest_collection_finish(self, session: pytest.Session) -> None:
        """Know the tests by their names, and the groups in the order of the suites."""
        self._items = {item.nodeid: item for item in session.items}
        for suite in by_url.suites_of(self.place.url):
            for topic in suite.__mro__:
                if any(name.startswith("test_") for name in vars(topic)):
                    title = _title(suite, topic)
                    self.groups[title] = Group(title)

    def pytest_internalerror(self, excrepr: object) -> None:
        """Note that pytest itself has failed."""
        self.broken = str(excrepr)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        """Note what became of a test; an error before or behind it is a failure of it."""
        group = self._group(report.nodeid)
        if report.failed:
            if report.nodeid not in self._failed:
                self._failed.add(report.nodeid)
                group.failed += 1
                self.failures.append(self._failure(group, report))
                if report.when == "teardown":
                    group.passed -= 1
        elif report.skipped:
            group.skipped += 1
            self.reasons[_reason(report.longrepr)] += 1
        elif report.when == "call":
            group.passed += 1

    def _group(self, nodeid: str) -> Group:
        item = self._items[nodeid]
        topic = next(base for base in item.cls.__mro__ if item.originalname in vars(base))
        return self.groups[_title(item.cls, topic)]

    def _failure(self, group: Group, report: pytest.TestReport) -> Failure:
        item = self._items[report.nodeid]
        return Failure(
            group.title,
            " ".join((inspect.getdoc(item.function) or "").split()),
            item.name,
            _error(report),
        )


def _title(suite: Any, topic: type) -> str:
    return f"{_NAMES[suite]}: {(inspect.getdoc(topic) or '').rstrip('.')}"


def _reason(longrepr: Any) -> str:
    text = str(longrepr[2]) if isinstance(longrepr, tuple) else str(longrepr)
    return text.removeprefix("Skipped: ")


def _error(report: pytest.TestReport) -> str:
    crash = getattr(report.longrepr, "reprcrash", None)
    text = str(crash.message) if crash is not None else report.longreprtext
    return text if len(text) <= ERROR_LENGTH else f"{text[:ERROR_LENGTH]} …"


def run_suites(place: by_url.Place) -> Table:
    """Return what became of every test of the suites."""
    table = Table(place)
    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as scratch:
        ini = Path(scratch, "pytest.ini")
        ini.write_text("[pytest]\n")
        # Nothing of the caller's project has a say in it, and nothing is left in it.
        os.environ["PYTEST_DISABLE_PLUGIN_AUTOLOAD"] = "1"
        for name in ("PYTEST_ADDOPTS", "PYTEST_PLUGINS"):
            os.environ.pop(name, None)
        set_hypothesis_home_dir(scratch)
        settings.register_profile(PROFILE, database=None, deadline=None)
        settings.load_profile(PROFILE)
        options = ["-c", str(ini), "--rootdir", scratch, "--noconftest"]
        plugins = ["-p", "no:terminal", "-p", "no:cacheprovider"]
        try:
            code = pytest.main([by_url.__file__, *options, *plugins], plugins=[table])
        finally:
            os.environ.clear()
            os.environ.update(before)
    if code not in {pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED} and not table.broken:
        table.broken = f"pytest ended with {code!r}"
    return table


def lines_of(table: Table) -> list[str]:
    """Return the table as lines to print."""
    groups = list(table.groups.values())
    total = Group(
        "all",
        sum(group.passed for group in groups),
        sum(group.failed for group in groups),
        sum(group.skipped for group in groups),
    )
    width = max(len(group.title) for group in [total, *groups])
    lines = [f"{'':{width}}  passed  failed  skipped"]
    lines += [
        f"{group.title:{width}}  {group.passed:6}  {group.failed:6}  {group.skipped:7}"
        for group in [*groups, total]
    ]
    if table.reasons:
        lines += ["", "Skipped:"]
        lines += [f"{number:6}  {reason}" for reason, number in table.reasons.most_common()]
    if table.failures:
        lines += ["", "Failed:"]
    for failure in table.failures[:FAILURES_SHOWN]:
        lines += ["", f"  {failure.title}: {failure.sentence}", f"    {failure.test}"]
        lines += [f"    {line}" for line in failure.error.splitlines()]
    if len(table.failures) > FAILURES_SHOWN:
        lines += ["", f"  … and {len(table.failures) - FAILURES_SHOWN} more"]
    return lines
