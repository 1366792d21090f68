"""A server process: started until it really answers, killed, stopped, started again on its data."""

import ctypes
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import ClassVar, Final

READY_SECONDS: Final = 60
END_SECONDS: Final = 10
TRIES: Final = 4
LOG_BYTES: Final = 4_000
_SUBREAPER: Final = 36

_ports = random.SystemRandom()
# A server ends with the thread that started it: this one lasts as long as the process.
_starter = ThreadPoolExecutor(1, "starts-servers")


class Server:
    """One process and its children, with a folder for what they keep."""

    variable: ClassVar[str]
    """The environment variable that names a server of one's own, to be used instead."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        self._why = ""

    @classmethod
    def missing(cls) -> str:
        """Return why it cannot be started on this machine, empty if it can."""
        for tool in (cls.program(), "setpriv"):
            if sys.platform != "linux" or shutil.which(tool) is None:
                return f"{cls.__name__}: no {Path(tool).name} here"
        return ""

    @classmethod
    def program(cls) -> str:
        """Return the path of what is started, whether it is there or not."""
        raise NotImplementedError

    @property
    def url(self) -> str:
        """What a store opens."""
        raise NotImplementedError

    @property
    def data(self) -> Path:
        """The folder of what it must not lose."""
        return self.folder / "data"

    def command(self) -> list[str]:
        """Return what starts the server."""
        raise NotImplementedError

    def is_ready(self) -> bool:
        """Return whether it does a real piece of work; an error means no."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Make what it needs before its first start."""
        self.data.mkdir()

    def start(self) -> None:
        """Start it, and return once it works."""
        if not self.data.exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            self.prepare()
        for attempt in range(TRIES):
            # PostgreSQL needs a moment after SIGKILL until its shared memory is free.
            time.sleep(0.2 * attempt)
            self._process = _starter.submit(self._launch).result()
            if (
                wait_until(lambda: self._works() or not self.is_running(), READY_SECONDS)
                and self._works()
            ):
                return
            self.kill()
        raise RuntimeError(f"{type(self).__name__} does not start: {self._why}\n{self.log()}")

    @property
    def pid(self) -> int:
        """The id of the server's process."""
        assert self._process is not None, "it does not run"
        return self._process.pid

    def is_running(self) -> bool:
        """Return whether its process is there, paused or not."""
        return self._process is not None and self._process.poll() is None

    def kill(self) -> None:
        """End it as a crash does, with all its processes, and leave no zombies."""
        if self._process is None:
            return
        # Stopped first: what it started after we looked would be left behind.
        with suppress(ProcessLookupError):
            os.kill(self._process.pid, signal.SIGSTOP)
        family = children_of(self._process.pid)
        _be_the_parent_of_orphans()
        for pid in (self._process.pid, *family):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._process.wait(END_SECONDS)
        for pid in family:
            _reap(pid)
        self._process = None

    def restart(self) -> None:
        """Kill it and start it on the same ports and data."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """Stop it in its tracks: connections stay, nothing answers."""
        os.kill(self.pid, signal.SIGSTOP)
        for pid in children_of(self.pid):
            with suppress(ProcessLookupError):  # it ends its workers as it likes
                os.kill(pid, signal.SIGSTOP)

    def resume(self) -> None:
        """Let it go on."""
        for pid in children_of(self.pid):
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGCONT)
        os.kill(self.pid, signal.SIGCONT)

    def stop(self) -> None:
        """End it for good: only its log is left."""
        self.kill()
        shutil.rmtree(self.data, ignore_errors=True)

    def log(self) -> str:
        """Return the end of what it said."""
        said = self.folder / "server.log"
        return said.read_text("utf-8", "replace")[-LOG_BYTES:] if said.exists() else ""

    def forget_log(self) -> None:
        """Empty what it has said."""
        (self.folder / "server.log").write_bytes(b"")

    def _launch(self) -> subprocess.Popen[bytes]:
        with (self.folder / "server.log").open("ab") as log:
            return subprocess.Popen(
                # Whatever happens to the tests, no server is left behind.
                ["setpriv", "--pdeathsig", "KILL", "--", *self.command()],
                cwd=self.folder,
                env={**os.environ, "HOME": str(self.folder), "TMPDIR": str(self.folder)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _works(self) -> bool:
        try:
            return self.is_ready()
        except Exception as error:
            self._why = f"{type(error).__name__}: {error}"
            return False


def free_ports(count: int) -> list[int]:
    """Return ports that nobody listens on.

    All are held until all are chosen. None is one that the kernel gives to whoever connects:
    while a server is down, a client in search of it could be given its port, and keep it.
    """
    with ExitStack() as held:
        found: list[int] = []
        while len(found) < count:
            one = held.enter_context(socket.socket())
            with suppress(OSError):
                one.bind(("127.0.0.1", _ports.randrange(10_240, 32_768)))
                found.append(one.getsockname()[1])
        return found


def wait_until(happened: Callable[[], bool], seconds: float) -> bool:
    """Return whether it happened within that time."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if happened():
            return True
        time.sleep(0.01)
    return False


def children_of(leader: int) -> list[int]:
    """Return the children of a process, and theirs: PostgreSQL's lead groups of their own."""
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


def _be_the_parent_of_orphans() -> None:
    # In a container there is often nobody else who waits for them.
    ctypes.CDLL(None).prctl(_SUBREAPER, 1)


def _reap(pid: int) -> None:
    def reaped() -> bool:
        try:
            return os.waitpid(pid, os.WNOHANG)[0] == pid
        except ChildProcessError:
            return True  # its own parent was faster

    assert wait_until(reaped, END_SECONDS), f"process {pid} does not end"
