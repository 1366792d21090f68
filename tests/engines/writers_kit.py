"""Processes that append through a URL while something is done to them, and what is left then.

Not one acknowledged message is lost, none stands twice, and all of them are one chain: writers
that go on after every unknown outcome see to that by sending the same message again.
"""

import asyncio
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from servers import wait_until

from session_store import SessionStore
from session_store.testing.history import APPENDS, Final, History, check, read_final

KEY = "telegram:1"
PATIENCE_SECONDS = 60
CHILD = Path(__file__).with_name("writers_child.py")


SAID_BY_REDIS_PY = ("Unclosed ClusterNode object", "client: [host=")
"""Of nodes of a cluster that it has met, and not kept, while others were away."""


class Writers:
    """Processes that append to one session through a URL until they are stopped or killed."""

    def __init__(self, url: str, folder: Path) -> None:
        self._url = url
        self._folder = folder
        self._started = 0
        self._running: list[subprocess.Popen[bytes]] = []
        self._failed: list[str] = []

    def __enter__(self) -> "Writers":
        return self

    def __exit__(self, *_: object) -> None:
        while self._running:
            self.kill()

    def start(self, count: int = 1) -> None:
        """Let so many more write."""
        for _ in range(count):
            actor = f"w{self._started}"
            self._started += 1
            notes = self._folder / f"{actor}.notes"
            command = [sys.executable, CHILD, self._url, KEY, actor, notes]
            with (self._folder / f"{actor}.errors").open("wb") as errors:
                self._running.append(subprocess.Popen(command, stderr=errors))

    def kill(self) -> None:
        """End the one that writes longest, as a crash does."""
        process = self._running.pop(0)
        process.kill()
        process.wait()

    def stop(self) -> None:
        """Let them end what they are about."""
        for process in self._running:
            process.terminate()
        for process in self._running:
            # One that has not yet begun dies of it.
            if process.wait(PATIENCE_SECONDS) not in (0, -signal.SIGTERM):
                self._failed.append(f"a writer ended with {process.returncode}")
        self._running.clear()

    def await_appends(self, count: int) -> None:
        """Return when so many more appends have been acknowledged."""
        enough = self.acknowledged + count
        there = lambda: self.acknowledged >= enough  # noqa: E731
        wait_until(lambda: there() or bool(self._errors()), PATIENCE_SECONDS)
        assert there(), f"{self.acknowledged} of {enough} appends\n{self._errors()}"

    def judge(self) -> list[str]:
        """Return every broken promise as a sentence, seen by a process that has just come."""
        errors = self._errors()
        final = asyncio.run(_final(self._url))
        found = check(self.history(), final)
        return [*self._failed, *([errors] if errors else []), *found, *forks(final)]

    def history(self) -> History:
        """Return what they have asked and were answered."""
        texts = [path.read_text() for path in sorted(self._folder.glob("*.notes"))]
        return History.merged(*(text.splitlines(keepends=True) for text in texts))

    @property
    def acknowledged(self) -> int:
        """How many appends have been acknowledged."""
        operations = self.history().operations
        return sum(one.outcome == "ok" and one.kind in APPENDS for one in operations)

    def _errors(self) -> str:
        texts = [path.read_text() for path in sorted(self._folder.glob("*.errors"))]
        lines = "".join(texts).splitlines(keepends=True)
        return "".join(line for line in lines if not line.startswith(SAID_BY_REDIS_PY))


def forks(final: Final) -> list[str]:
    """Return where the messages of a session are no chain."""
    found = []
    for session, left in final.sessions.items():
        above = None
        for name, parent in left.messages:
            if parent != above:
                found.append(f"{session}: {name} hangs below {parent}, not below {above}")
            above = name
    return found


def under_load(
    url: str,
    folder: Path,
    harm: Callable[[Writers], object],
    *,
    writers: int = 3,
    times: int = 3,
    between: int = 30,
) -> list[str]:
    """Do harm so often, with so many acknowledged appends before, between and after; judge."""
    with Writers(url, folder) as running:
        running.start(writers)
        for _ in range(times):
            running.await_appends(between)
            harm(running)
        running.await_appends(between)
        running.stop()
        return running.judge()


async def _final(url: str) -> Final:
    async with SessionStore.open(url) as store:
        return await read_final(store)
