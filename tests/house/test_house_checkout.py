"""What the files of the checkout keep: pinned without addresses, bound to no machine."""

import re
import stat
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from house_kit import ROOT, own_files, shown, text_of
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import session_store

# Written so that these lines do not match themselves.
MACHINE_PATHS = re.compile(r"(?<![\w.-])/(?:work|root|home|opt)/")
REGISTRIES = re.compile(r"pypi\.org|pythonhosted\.org|npmjs\.(?:org|com)|--(?:extra-)?index-url")
LEFT_OPEN = re.compile(r"\b(?:TO[D]O|FIX[M]E|XX[X])\b")
PINS = re.compile(r"(?:constraints|requirements)[^/]*\.(?:txt|in)|.*[.-]lock(?:\.\w+)?|pylock.*")


def pyproject() -> dict[str, Any]:
    """Return what pyproject.toml says."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))


def requirements() -> list[Requirement]:
    """Return all that pyproject.toml asks for, except the package itself."""
    project = pyproject()["project"]
    texts = [*project["dependencies"]]
    for extra in project["optional-dependencies"].values():
        texts += extra
    for group in pyproject()["dependency-groups"].values():
        texts += [entry for entry in group if isinstance(entry, str)]
    every = [Requirement(text) for text in texts]
    return [requirement for requirement in every if requirement.name != project["name"]]


def is_bounded(requirement: Requirement) -> bool:
    """Return whether a range has both ends."""
    operators = {specifier.operator for specifier in requirement.specifier}
    lower = operators & {">", ">=", "~=", "=="}
    upper = operators & {"<", "<=", "~=", "=="}
    return bool(lower and upper)


def matches(pattern: re.Pattern[str]) -> list[str]:
    """Return where `pattern` occurs in the files of this checkout."""
    return [
        f"{shown(path)}:{number}: {line.strip()[:100]}"
        for path in own_files()
        for number, line in enumerate((text_of(path) or "").splitlines(), 1)
        if pattern.search(line)
    ]


def test_the_files_of_the_checkout_are_found() -> None:
    names = {shown(path) for path in own_files()}

    assert {"pyproject.toml", "Makefile", ".ci/run", "src/session_store/errors.py"} <= names
    assert not any(name.startswith(".venv/") for name in names)


def test_no_file_names_a_path_of_one_machine() -> None:
    assert not matches(MACHINE_PATHS)


def test_no_file_names_a_registry() -> None:
    assert not matches(REGISTRIES)


@pytest.mark.parametrize(
    ("pattern", "text"),
    [
        (MACHINE_PATHS, "see /wo~rk/main/src"),
        (MACHINE_PATHS, "file:///ho~me/me/sessions"),
        (REGISTRIES, "https://pypi~.org/simple"),
        (REGISTRIES, "pip install --index~-url x"),
        (LEFT_OPEN, "# TO~DO: later"),
    ],
)
def test_the_patterns_find_what_they_are_for(pattern: re.Pattern[str], text: str) -> None:
    assert pattern.search(text.replace("~", ""))


@pytest.mark.parametrize("text", ["docs/work/flow.md", "see ./home/ of it", "at-home/x"])
def test_an_innocent_path_is_left_alone(text: str) -> None:
    assert not MACHINE_PATHS.search(text)


def test_nothing_is_left_open() -> None:
    assert not matches(LEFT_OPEN)


def test_files_that_pin_hold_no_addresses() -> None:
    pinning = [path for path in own_files() if PINS.fullmatch(path.name)]

    assert ROOT / "constraints.txt" in pinning
    for path in pinning:
        assert not re.search(r"https?://|file:|@ ", path.read_text("utf-8")), shown(path)


def test_lock_files_that_record_addresses_stay_out() -> None:
    names = {path.name for path in own_files()}

    assert not names & {"uv.lock", "poetry.lock", "pdm.lock", "pylock.toml"}


def test_the_base_asks_for_two_packages_only() -> None:
    names = {Requirement(text).name for text in pyproject()["project"]["dependencies"]}

    assert names == {"msgspec", "uuid-utils"}


def test_every_range_is_bounded() -> None:
    build = [Requirement(text) for text in pyproject()["build-system"]["requires"]]

    unbounded = [str(asked) for asked in [*requirements(), *build] if not is_bounded(asked)]

    assert not unbounded


@pytest.mark.parametrize("text", ["msgspec", "msgspec>=0.20", "msgspec<1", "msgspec!=0.19"])
def test_a_range_that_is_open_is_found(text: str) -> None:
    assert not is_bounded(Requirement(text))


def test_every_package_is_pinned_once_and_inside_its_range() -> None:
    lines = (ROOT / "constraints.txt").read_text("utf-8").splitlines()
    pins = [Requirement(line) for line in lines if not line.startswith("#")]

    versions = {
        canonicalize_name(pin.name): str(next(iter(pin.specifier))).removeprefix("==")
        for pin in pins
        if re.fullmatch(r"==[\w.+!-]+", str(pin.specifier))
    }

    assert len(versions) == len(pins)
    for asked in requirements():
        assert asked.specifier.contains(versions[canonicalize_name(asked.name)]), str(asked)


def test_the_extra_of_everything_holds_every_extra() -> None:
    extras = pyproject()["project"]["optional-dependencies"]

    held = {name for text in extras["all"] for name in Requirement(text).extras}

    assert held == set(extras) - {"all"}


def test_the_version_is_said_once_and_told_in_the_changelog() -> None:
    version = pyproject()["project"]["version"]

    assert session_store.__version__ == version
    assert f"## {version}" in (ROOT / "CHANGELOG.md").read_text("utf-8")


def test_the_command_of_continuous_integration_can_be_run() -> None:
    assert (ROOT / ".ci" / "run").stat().st_mode & stat.S_IXUSR


@pytest.mark.parametrize("name", ["README.md", "CHANGELOG.md", "LICENSE"])
def test_a_file_that_users_look_for_is_there(name: str) -> None:
    assert (ROOT / name).is_file()


def test_the_types_are_shipped() -> None:
    assert (ROOT / "src" / "session_store" / "py.typed").is_file()


def test_no_two_test_files_share_a_name() -> None:
    # pytest imports them, and the helpers beside them, by their base names.
    names = Counter(path.name for path in Path(ROOT / "tests").rglob("*.py"))
    names.pop("conftest.py", None)

    assert not [name for name, count in names.items() if count > 1]
