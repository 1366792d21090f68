"""The servers that the tests stand on: they come back after a crash with what they had."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import asyncpg
import obstore
import pytest
import redis
from servers import (
    PostgresServer,
    SeaweedServer,
    ValkeyCluster,
    ValkeyServer,
    free_ports,
    shared,
    sharing,
)
from servers.base import Server, wait_until
from servers.sharing import quick_folder

Own = Callable[..., Any]


def zombies() -> set[str]:
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = stat.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if fields[0] == "Z" and fields[1] == str(os.getpid()):
            found.add(stat.parent.name)
    return found


def ask(server: PostgresServer, query: str) -> Any:
    async def asked() -> Any:
        connection = await asyncpg.connect(server.url, timeout=5)
        try:
            return await connection.fetchval(query, timeout=5)
        finally:
            connection.terminate()

    return asyncio.run(asked())


def test_postgres_comes_back_with_what_was_committed(own_server: Own) -> None:
    server = own_server(PostgresServer)

    ask(server, "CREATE TABLE t AS SELECT 7 AS n")
    server.restart()

    assert ask(server, "SELECT n FROM t") == 7


def test_valkey_comes_back_with_what_was_answered(own_server: Own) -> None:
    server = own_server(ValkeyServer)

    with server.client() as client:
        client.set("a", "7")
    server.restart()

    with server.client() as client:
        assert client.get("a") == b"7"
        assert client.config_get("appendfsync") == {"appendfsync": "always"}


def test_seaweed_comes_back_with_what_was_answered(own_server: Own) -> None:
    server = own_server(SeaweedServer)

    obstore.put(server.store(), "a", b"7", mode="create")
    server.restart()

    assert bytes(obstore.get(server.store(), "a").bytes()) == b"7"


def test_a_cluster_is_whole_again_after_a_crash_of_one_and_of_all(own_server: Own) -> None:
    cluster = own_server(ValkeyCluster)
    # Each node by a client of its own: redis-py's of a cluster leaves sockets open behind it.
    masters = {key: cluster.place_of(key)[1] for key in map(str, range(20))}

    for key, master in masters.items():
        with master.client() as client:
            client.set(key, key)
    cluster.nodes[1].restart()
    cluster.wait()
    cluster.restart()

    assert set(masters.values()) == set(cluster.nodes)
    for key, master in masters.items():
        with master.client() as client:
            assert client.get(key) == key.encode()


@pytest.mark.parametrize("kind", [PostgresServer, ValkeyServer, SeaweedServer])
def test_a_killed_server_leaves_no_process_no_port_and_no_socket(
    own_server: Own, kind: type[Server]
) -> None:
    before = zombies()
    server = own_server(kind)
    pid = server.pid

    server.kill()

    assert not Path(f"/proc/{pid}").exists()
    assert zombies() == before
    if isinstance(server, SeaweedServer):
        assert not any(socket.exists() for socket in server.sockets())
    server.start()


@pytest.mark.parametrize("kind", [PostgresServer, ValkeyServer])
def test_a_paused_server_answers_when_it_goes_on(own_server: Own, kind: type[Server]) -> None:
    server = own_server(kind)

    server.pause()
    state = Path(f"/proc/{server.pid}/stat").read_text().rpartition(")")[2].split()[0]
    server.resume()

    assert state == "T"
    assert wait_until(server.is_ready, 5)


class Deaf(ValkeyServer):
    """A server that cannot start."""

    def command(self) -> list[str]:
        return ["sh", "-c", "echo it cannot; exit 1"]


def test_a_server_that_does_not_start_says_why(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError, match=r"Deaf does not start: ConnectionError.*\nit cannot"):
        Deaf(tmp_path).start()


def test_ports_are_all_different_and_none_that_a_client_could_get() -> None:
    low = int(Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])

    ports = free_ports(200)

    assert len(set(ports)) == 200
    assert max(ports) < low


WORKER = """
import sys, time
from pathlib import Path
from servers import ValkeyServer, shared, sharing
sharing.MEMORY = Path(sys.argv[1])
with shared(Path(sys.argv[1]), ValkeyServer) as url:
    print(url, flush=True)
    sys.stdin.readline()
"""


def worker(folder: Path) -> "subprocess.Popen[str]":
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "text": True}
    code = f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n{WORKER}"
    return subprocess.Popen([sys.executable, "-c", code, str(folder)], **pipes)  # type: ignore[call-overload]


def said(one: "subprocess.Popen[str]") -> str:
    assert one.stdout
    return one.stdout.readline().strip()


def answers(url: str) -> bool:
    try:
        with redis.Redis.from_url(url) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False


def waits_for_a_lock(pid: int) -> bool:
    locks = Path("/proc/locks").read_text().splitlines()
    return any("->" in lock and f" {pid} " in lock for lock in locks)


def test_workers_share_a_server_that_ends_with_the_last_of_them(tmp_path: Path) -> None:
    with worker(tmp_path) as first:
        url = said(first)
        with worker(tmp_path) as second:
            same = said(second)

            print("go", file=first.stdin, flush=True)
            waited = wait_until(lambda: waits_for_a_lock(first.pid), 10)
            there = answers(url)
            second.communicate("go")

    assert same == url
    assert waited
    assert there
    assert not answers(url)


def test_a_server_ends_with_a_worker_that_is_killed_and_the_next_one_starts_another(
    tmp_path: Path,
) -> None:
    with worker(tmp_path) as first:
        url = said(first)
        first.send_signal(signal.SIGKILL)

    assert wait_until(lambda: not answers(url), 10)
    with shared(tmp_path, ValkeyServer) as another:
        assert answers(another)


def test_a_folder_in_memory_that_nobody_holds_is_removed_by_the_next_who_needs_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sharing, "MEMORY", tmp_path)
    monkeypatch.setattr(sharing, "ROOM_BYTES", 0)
    names = [f"{sharing.PREFIX}{number}" for number in range(2)]
    for name in names:
        (tmp_path / name).mkdir()
        (tmp_path / name / "owner").touch()
    os.utime(tmp_path / names[0] / "owner", (0, 0))

    with quick_folder(tmp_path) as held, quick_folder(tmp_path) as another:
        there = {path.name for path in tmp_path.iterdir()}

    assert there == {names[1], held.name, another.name}
    assert [path.name for path in tmp_path.iterdir()] == [names[1]]
