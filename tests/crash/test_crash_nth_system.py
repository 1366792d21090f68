"""Every verb of the files of a folder with its first, second, third … system call failing."""

from collections.abc import Callable, Iterator
from typing import Any
from unittest.mock import patch

import pytest
from nth_system import SHORT, VERBS, Bench, bench

from session_store.files import local, posix, tree

BUSY = ["append", "append the first", "write a version", "delete", "delete_tree"]


@pytest.fixture
def below() -> Iterator[Bench]:
    with bench() as below:
        yield below


def test_an_error_of_any_system_call_is_typed_true_and_leaves_nothing_behind(below: Bench) -> None:
    for verb in VERBS:
        below.loop(verb, "EIO", warm=False, lasting=False)

    assert below.struck >= 200
    assert not below.violations, "\n".join(below.violations)


@pytest.mark.parametrize("how", ["ENOSPC", "EMFILE", SHORT])
def test_so_does_one_that_lasts(below: Bench, how: str) -> None:
    for verb in BUSY:
        below.loop(verb, how, warm=True, lasting=True)

    assert below.struck >= 3
    assert not below.violations, "\n".join(below.violations)


def _keep_draft(*_: Any) -> None:
    """Leave what was begun."""


def _plainly(path: str, **_: Any) -> Any:
    """Say of every error that nothing has happened."""
    return posix.translated(path)


def _leave_torn(fd: int, path: str, start: int, data: bytes) -> None:
    """Leave the part of an append that there was room for."""
    posix.write_all(fd, data)


def _keep_lock(fd: int) -> None:
    """Leave the lock to whoever closes the file."""


@pytest.mark.parametrize(
    ("owner", "name", "instead", "verb", "how"),
    [
        (local, "discard_draft", _keep_draft, "write", "EIO"),
        (local, "translated", _plainly, "write", "EIO"),
        (posix, "append_all", _leave_torn, "append", SHORT),
        (tree.posix, "unlock", _keep_lock, "append", "EIO"),
    ],
)
def test_a_safety_step_taken_out_below_is_noticed(
    below: Bench, owner: Any, name: str, instead: Callable[..., Any], verb: str, how: str
) -> None:
    with patch.object(owner, name, instead):
        below.loop(verb, how, warm=False, lasting=how == SHORT)

    assert below.violations
