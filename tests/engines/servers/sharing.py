"""One server of a kind for all workers of a test run.

Who comes first starts it, and ends it when the others have let go of it. It is the kernel that
knows who is there: each holds locks on files, which end with their holder however he dies.
"""

import os
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, flock
from pathlib import Path
from tempfile import mkdtemp
from typing import IO, Final, Protocol

MEMORY: Final = Path("/dev/shm")
PREFIX: Final = "session-store-tests-"
ROOM_BYTES: Final = 2 << 30
MAKING_SECONDS: Final = 60


class Startable(Protocol):
    """What this needs to know of a server."""

    @property
    def url(self) -> str: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...


@contextmanager
def shared(folder: Path, new: Callable[[Path], Startable]) -> Iterator[str]:
    """Give the URL of the server that `folder` tells of; if none runs, `new` makes one."""
    folder.mkdir(parents=True, exist_ok=True)
    with ExitStack() as held:
        starting, users, owner = (
            held.enter_context((folder / name).open("ab"))
            for name in ("starting", "users", "owner")
        )
        flock(starting, LOCK_EX)
        flock(users, LOCK_SH)
        told = folder / "url"
        if _took(owner):
            server = new(held.enter_context(quick_folder(folder)))
            held.callback(server.stop)
            server.start()
            told.write_text(server.url)
            # The last thing before it stops: wait for the others, who wait for nobody.
            held.callback(flock, users, LOCK_EX)
        flock(starting, LOCK_UN)
        yield told.read_text()


@contextmanager
def quick_folder(otherwise: Path) -> Iterator[Path]:
    """Give a folder in memory, below `otherwise` where there is no room, and remove it.

    What the tests ask is not how fast a disk is, and waiting for it would take most of the time.
    Folders of those who were killed are removed too.
    """
    roomy = os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > ROOM_BYTES
    if roomy:
        _sweep()
    folder = Path(mkdtemp(prefix=PREFIX, dir=MEMORY if roomy else otherwise))
    try:
        with (folder / "owner").open("ab") as owner:
            flock(owner, LOCK_EX)
            yield folder
    finally:
        shutil.rmtree(folder)


def _sweep() -> None:
    for file in MEMORY.glob(f"{PREFIX}*/owner"):
        with suppress(FileNotFoundError), file.open("ab") as owner:
            # One that has just been made may not be locked yet.
            if time.time() - file.stat().st_mtime > MAKING_SECONDS and _took(owner):
                shutil.rmtree(file.parent)


def _took(file: IO[bytes]) -> bool:
    try:
        flock(file, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return False
    return True
