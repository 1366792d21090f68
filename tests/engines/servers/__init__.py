"""Real servers for tests: from wheels, on free loopback ports, in folders of their own."""

from typing import TypeAlias

from .base import Server, children_of, free_ports, wait_until
from .postgres import PostgresServer
from .proxy import Proxy
from .seaweed import SeaweedServer
from .sharing import shared
from .valkey import ReplicatedCluster, ValkeyCluster, ValkeyServer

AnyServer: TypeAlias = Server | ValkeyCluster

__all__ = [
    "AnyServer",
    "PostgresServer",
    "Proxy",
    "ReplicatedCluster",
    "SeaweedServer",
    "Server",
    "ValkeyCluster",
    "ValkeyServer",
    "children_of",
    "free_ports",
    "shared",
    "wait_until",
]
