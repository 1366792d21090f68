"""Real servers for tests: from wheels, on free loopback ports, in folders of their own."""

from .base import Server, free_ports
from .postgres import PostgresServer
from .seaweed import SeaweedServer
from .valkey import ValkeyCluster, ValkeyServer

__all__ = [
    "PostgresServer",
    "SeaweedServer",
    "Server",
    "ValkeyCluster",
    "ValkeyServer",
    "free_ports",
]
