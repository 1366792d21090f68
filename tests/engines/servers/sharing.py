"""One server of a kind for all workers of a test run.

Who comes first starts it, and ends it when the others have let go of it. It is the kernel that
knows who is there: each holds locks on files, which end with their holder however he dies.
"""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from fcntl import LOCK_EX, LOCK_NB, LOCK_SH, LOCK_UN, flock
from pathlib import Path
from tempfile import mkdtemp
from typing import IO, Protocol


class Startable(Protocol):
    """What this needs to know of a server."""

    @property
    def url(self) -> str: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...


@contextmanager
def shared(folder: Path, new: Callable[[Path], Startable]) -> Iterator[str]:
    """Give the URL of the server in `folder`; one made by `new` is started if none runs."""
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
            server = new(Path(mkdtemp(dir=folder)))
            held.callback(server.stop)
            server.start()
            told.write_text(server.url)
            # The last thing before it stops: wait for the others, who wait for nobody.
            held.callback(flock, users, LOCK_EX)
        flock(starting, LOCK_UN)
        yield told.read_text()


def _took(file: IO[bytes]) -> bool:
    try:
        flock(file, LOCK_EX | LOCK_NB)
    except BlockingIOError:
        return False
    return True
