"""Ctrl-C is never lost while a command waits."""

import os
import signal
import time
from collections.abc import Iterator

import pytest

from session_store.cli.interrupts import interrupts_kept

SECONDS = 30


class Finalised:
    """Python ignores what is raised while this goes."""

    def __del__(self) -> None:
        os.kill(os.getpid(), signal.SIGINT)
        for _ in range(1000):
            pass


@pytest.fixture
def handler() -> Iterator[object]:
    """Give the usual handler: a shell that runs the tests in the background has it ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield signal.default_int_handler
    signal.signal(signal.SIGINT, before)


def test_one_that_lands_in_a_finaliser_comes_again(handler: object) -> None:
    def wait() -> None:
        with interrupts_kept():
            Finalised()
            time.sleep(SECONDS)

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        wait()

    assert time.monotonic() - began < SECONDS
    assert signal.getsignal(signal.SIGINT) is handler
    assert signal.getitimer(signal.ITIMER_REAL) == (0, 0)


def test_elsewhere_it_comes_at_once(handler: object) -> None:
    with pytest.raises(KeyboardInterrupt), interrupts_kept():
        os.kill(os.getpid(), signal.SIGINT)

    assert signal.getsignal(signal.SIGINT) is handler


def test_one_that_is_ignored_stays_so(handler: object) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    with interrupts_kept():
        os.kill(os.getpid(), signal.SIGINT)

    assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
