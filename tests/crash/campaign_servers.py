"""Servers, writers and the links between them killed under load, on every engine.

campaign_servers.py [--amount HARMS_OF_EACH_KIND] [--seed N]

The control is a Valkey that keeps no log of its commands: it loses what it acknowledged, and that
has to be noticed.
"""

import argparse
import asyncio
import json
import os
import random
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from disk_children import end_politely_on_sigterm

sys.path.insert(0, str(Path(__file__).parents[1] / "engines"))

from servers import (
    PostgresServer,
    Proxy,
    SeaweedServer,
    ValkeyCluster,
    ValkeyServer,
    children_of,
    wait_until,
)
from servers.seaweed import ENVIRONMENT
from writers_kit import Writers

from session_store.engines import objects, postgres, redis

ROUND = 10
"""So many harms are done to one session; then another begins."""
BETWEEN = 40
"""Appends that are acknowledged before each."""
WRITERS = 3

SYNCING = (PostgresServer, ValkeyServer)
"""Servers that are one process, or its children, and sync before they answer."""
PATIENCE_SECONDS = 30

Harm = Callable[[Any, list[Proxy], Writers], None]


class Kind(NamedTuple):
    """An engine, and what starts its server."""

    server: Any
    room: Any


KINDS = {
    "PostgreSQL": Kind(PostgresServer, postgres),
    "Valkey": Kind(ValkeyServer, redis),
    "a cluster of Valkey": Kind(ValkeyCluster, redis),
    "SeaweedFS": Kind(SeaweedServer, objects),
}


def kill_server(server: Any, _proxies: list[Proxy], _writers: Writers) -> None:
    """End the server as a crash does, all nodes of a cluster at once, and start it again."""
    server.restart()


def kill_writer(_server: Any, _proxies: list[Proxy], writers: Writers) -> None:
    """End a writer as a crash does; another comes."""
    writers.kill()
    writers.start()


def break_links(_server: Any, proxies: list[Proxy], _writers: Writers) -> None:
    """Cut every link, and for a while let replies get lost."""
    for proxy in proxies:
        proxy.reset()
        proxy.stall("replies")
    time.sleep(random.uniform(0, 1.5))
    for proxy in proxies:
        proxy.heal()


def fail_sync(server: Any, _proxies: list[Proxy], _writers: Writers) -> None:
    """Let the next sync of each of its processes fail; a server that is honest ends of it."""
    at = server.pid
    pids = [part for pid in (at, *children_of(at)) for part in ("-p", str(pid))]
    inject = "inject=fsync,fdatasync:error=EIO:when=1"
    command = ["strace", "-f", "-qq", "-e", "trace=fsync,fdatasync", "-e", inject, *pids]
    ended = lambda: not server.is_running() or "PANIC" in server.log()  # noqa: E731
    with subprocess.Popen(command, stderr=subprocess.DEVNULL) as tracer:
        there = wait_until(ended, PATIENCE_SECONDS)
        tracer.terminate()
    assert there, f"it goes on after a sync that failed\n{server.log()}"
    server.forget_log()
    server.restart()


HARMS: dict[str, Harm] = {
    "server killed": kill_server,
    "writer killed": kill_writer,
    "links broken": break_links,
    "sync failed": fail_sync,
}


def rounds(kind: Kind, harm: Harm, amount: int) -> tuple[int, list[str]]:
    """Do so much harm of a kind; return how many appends were acknowledged, and what is wrong."""
    acknowledged, found = 0, list[str]()
    with TemporaryDirectory() as folder:
        server = kind.server(Path(folder, "server"))
        server.start()
        try:
            with ExitStack() as opened:
                url, proxies = server.url, list[Proxy]()
                if harm is break_links:
                    url, proxies = through_proxies(server, opened)
                for number in range(0, amount, ROUND):
                    notes = Path(folder, f"notes-{number}")
                    notes.mkdir()
                    place = kind.room.place_in(url, token_hex(6))
                    with Writers(place, notes) as writers:
                        writers.start(WRITERS)
                        for _ in range(min(ROUND, amount - number)):
                            writers.await_appends(BETWEEN)
                            harm(server, proxies, writers)
                        writers.await_appends(BETWEEN)
                        writers.stop()
                        found += writers.judge()
                        acknowledged += writers.acknowledged
                    asyncio.run(kind.room.erase(place))
        finally:
            server.stop()
    return acknowledged, found


def through_proxies(server: Any, opened: ExitStack) -> tuple[str, list[Proxy]]:
    """Return the URL of the server behind proxies, one for each node of a cluster."""
    if not isinstance(server, ValkeyCluster):
        proxy = opened.enter_context(Proxy(server.url))
        return proxy.url, [proxy]
    proxies = [opened.enter_context(Proxy(node.url)) for node in server.nodes]
    server.announce([proxy.port for proxy in proxies])
    return proxies[0].url.replace("redis:", "redis+cluster:"), proxies


def control() -> list[str]:
    """Return what should have been noticed and was not."""
    missed = []
    with TemporaryDirectory() as folder:
        server = ValkeyServer(Path(folder, "server"), appendonly="no")
        server.start()
        try:
            with Writers(server.url, Path(folder)) as writers:
                writers.start(WRITERS)
                writers.await_appends(BETWEEN)
                writers.stop()
                server.restart()
                if not writers.judge():
                    missed.append("Valkey without its log lost nothing, or nobody noticed")
        finally:
            server.stop()
    return missed


def main() -> int:
    """Do all harms to all engines, and print what came of it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--amount", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1, help="of the pauses; races have none")
    given = parser.parse_args()
    end_politely_on_sigterm()
    os.environ.update(ENVIRONMENT)
    random.seed(given.seed)
    harms = acknowledged = 0
    found: list[str] = [f"control: {one}" for one in control()]
    skipped = [] if shutil.which("strace") else ["failing syncs of servers: no strace"]
    for name, kind in KINDS.items():
        for title, harm in HARMS.items():
            if harm is fail_sync and (skipped or kind.server not in SYNCING):
                continue
            more, wrong = rounds(kind, harm, given.amount)
            print(f"{name}, {title} {given.amount} times: {more} acknowledged", flush=True)
            harms += given.amount
            acknowledged += more
            found += [f"{name}, {title}: {one}" for one in wrong]
    for one in found:
        print(one, flush=True)
    facts: dict[str, Any] = {"unit": f"harms, {acknowledged} acknowledged", "amount": harms}
    facts |= {"violations": len(found), "seeds": str(given.seed), "skipped": skipped}
    print(json.dumps(facts))
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
