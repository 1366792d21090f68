"""Ctrl-C while a command waits for what others do."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

AGAIN_SECONDS: Final = 0.01


@contextmanager
def interrupts_kept() -> Iterator[None]:
    """Let no Ctrl-C be lost, for `with`, in the main thread.

    Python raises `KeyboardInterrupt` wherever it is; if that is a finaliser, it says so and goes
    on as if nothing had been.
    """
    usual = signal.getsignal(signal.SIGINT) is signal.default_int_handler
    if not usual or not hasattr(signal, "setitimer"):
        yield  # ignored by whoever started us, or there is nothing to wake us again
        return
    numbers = signal.SIGINT, signal.SIGALRM
    before = [(number, signal.signal(number, _interrupt)) for number in numbers]
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in before:
            signal.signal(number, handler)


def _interrupt(_number: int, frame: FrameType | None) -> None:
    while frame is not None:
        if frame.f_code.co_name == "__del__":
            signal.setitimer(signal.ITIMER_REAL, AGAIN_SECONDS)
            return
        frame = frame.f_back
    raise KeyboardInterrupt
