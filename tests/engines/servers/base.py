"""A server process: started until it really answers, killed, stopped, started again on its data."""

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Callable
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Final

READY_SECONDS: Final = 60
TRIES: Final = 4
_SUBREAPER: Final = 36
_DEATH_SIGNAL: Final = 1

_libc = ctypes.CDLL(None, use_errno=True)


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on: all are held until all are chosen."""
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for each in sockets:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in sockets]


class Server:
    """One process and its children, in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)
        self._process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        """Return what starts the server."""
        raise NotImplementedError

    def is_ready(self) -> bool:
        """Return whether it does a real piece of work; an error means no."""
        raise NotImplementedError

    def environment(self) -> dict[str, str]:
        """Return the environment of the server."""
        return {**os.environ, "HOME": str(self.folder)}

    def start(self) -> None:
        """Start it, and return once it works."""
        for attempt in range(TRIES):
            with (self.folder / "server.log").open("ab") as log:
                self._process = subprocess.Popen(
                    self.command(),
                    cwd=self.folder,
                    env=self.environment(),
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    start_new_session=True,
                    preexec_fn=_end_with_parent,
                )
            if wait_until(lambda: self._ended() or self._works(), READY_SECONDS) and self._works():
                return
            # PostgreSQL needs a moment after SIGKILL until its shared memory is free.
            self.kill()
            time.sleep(0.2 * attempt)
        raise RuntimeError(f"{type(self).__name__} does not start:\n{self.log()}")

    @property
    def pid(self) -> int:
        """The id of the server's process."""
        assert self._process is not None, "it does not run"
        return self._process.pid

    def kill(self) -> None:
        """End it as a crash does, with all its processes, and leave no zombies."""
        if self._process is None:
            return
        family = _descendants(self._process.pid)
        for pid in (self._process.pid, *family):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait()
        for pid in family:
            _reap(pid)
        self._process = None

    def restart(self) -> None:
        """Kill it and start it on the same ports and data."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Stop it in its tracks: connections stay, nothing answers."""
        for pid in (self.pid, *_descendants(self.pid)):
            os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        for pid in (self.pid, *_descendants(self.pid)):
            os.kill(pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it for good."""
        self.kill()

    def log(self) -> str:
        """Return the end of what it said."""
        return (self.folder / "server.log").read_text("utf-8", "replace")[-4000:]

    def _ended(self) -> bool:
        return self._process is None or self._process.poll() is not None

    def _works(self) -> bool:
        try:
            return self.is_ready()
        except Exception:
            return False


def wait_until(happened: Callable[[], bool], seconds: float) -> bool:
    """Return whether it happened within that time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if happened():
            return True
        time.sleep(0.02)
    return False


def _end_with_parent() -> None:
    # Whatever happens to the tests, no server is left behind.
    _libc.prctl(_DEATH_SIGNAL, signal.SIGKILL)


def _descendants(leader: int) -> list[int]:
    """Return the children of a process and theirs: PostgreSQL's lead groups of their own."""
    # When their parent is gone they are ours, to be waited for.
    _libc.prctl(_SUBREAPER, 1)
    parents: dict[int, int] = {}
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            with suppress(OSError):
                stat = Path(f"/proc/{entry}/stat").read_text()
                parents[int(entry)] = int(stat.rpartition(")")[2].split()[1])
    family = [leader]
    for member in family:
        family += [pid for pid, parent in parents.items() if parent == member]
    return family[1:]


def _reap(pid: int) -> None:
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if os.waitpid(pid, os.WNOHANG)[0]:
                return
        except ChildProcessError:
            return  # somebody else's, or gone
        time.sleep(0.005)
