"""A cluster: more callers than connections, slots that move, masters that others take over from."""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from secrets import token_hex
from typing import Any

import pytest
from faults_kit import judge, message, opened, persist
from servers import ReplicatedCluster, ValkeyCluster, ValkeyServer
from servers.valkey import PASSWORD

from session_store import ConfigError, SessionStore
from session_store.engines.redis import erase, place_in
from session_store.errors import NotFoundError

MANY = 150
"""More than there are connections to a node."""


@pytest.fixture
def url(redis_cluster_url: str) -> Iterator[str]:
    url = place_in(redis_cluster_url, token_hex(6))
    yield url
    asyncio.run(erase(url))


async def test_a_server_that_is_no_cluster_is_a_wrong_url(redis_url: str) -> None:
    url = redis_url.replace("redis:", "redis+cluster:")

    with pytest.raises(ConfigError, match="name it with redis://"):
        await SessionStore.open(url)


async def test_a_cluster_has_one_database() -> None:
    with pytest.raises(ConfigError, match="database 0"):
        await SessionStore.open("redis+cluster://127.0.0.1:1/5")


async def test_more_may_come_at_once_than_there_are_connections(url: str) -> None:
    async with SessionStore.open(url) as store:
        ids = await asyncio.gather(*(store.resolve(f"k{number}") for number in range(MANY)))
        await asyncio.gather(*(store.append(one, message(one)) for one in ids))
        await store.flush()
        page = await store.list_sessions(limit=MANY)
        found = await asyncio.gather(*(store.get_messages(one) for one in ids))

        assert sorted(one.session_id for one in page.sessions) == sorted(ids)
        assert [[one.id for one in each] for each in found] == [[one] for one in ids]
        assert sorted(await store.get_all_session_ids()) == sorted(ids)


async def test_a_subscription_is_told_by_whichever_node(url: str) -> None:
    async with SessionStore.open(url) as here, SessionStore.open(url) as there:
        for number in range(6):
            session_id = await there.resolve(f"k{number}")
            heard = here.subscribe(session_id)
            waiting = asyncio.ensure_future(anext(heard))
            await asyncio.sleep(0.2)
            await there.append(session_id, message(f"m{number}"))

            assert (await asyncio.wait_for(waiting, 20)).id == f"m{number}"
            await heard.aclose()


async def test_a_log_whose_slot_moves_key_by_key_is_neither_lost_nor_begun_anew(
    own_server: Callable[..., Any],
) -> None:
    cluster = own_server(ValkeyCluster)
    async with opened(cluster.url) as store:
        chat = await store.session("k")
        await store.append(chat.id, message("before"))

        for _ in _moving(cluster, chat.id):
            await _goes_unanswered(store.append(chat.id, message("meanwhile")))
            await _goes_unanswered(store.get_messages(chat.id))
        await persist(lambda: store.append(chat.id, message("meanwhile")))
        await store.append(chat.id, message("after"))

    found = await judge(cluster.url, chat.id, ["before", "meanwhile", "after"])
    assert [one.id for one in found] == ["before", "meanwhile", "after"]


async def test_a_deleted_session_whose_slot_moves_does_not_come_back(
    own_server: Callable[..., Any],
) -> None:
    cluster = own_server(ValkeyCluster)
    async with opened(cluster.url) as store:
        chat = await store.session("k")
        await store.delete_session(chat.id)
        path = f"{chat.id}/messages.jsonl"

        for _ in _moving(cluster, chat.id):
            await _goes_unanswered(store._files.append(path, b"late\n", if_size=0))

        with pytest.raises(NotFoundError):
            await persist(lambda: store._files.append(path, b"late\n", if_size=0))


@pytest.mark.parametrize("silent", [True, False], ids=["silent", "dead"])
async def test_a_master_that_is_gone_is_left_for_its_replica(
    own_server: Callable[..., Any], silent: bool
) -> None:
    cluster = own_server(ReplicatedCluster)
    async with opened(cluster.url, io_timeout_ms=3_000) as store:
        chat = await store.session("k")
        await store.append(chat.id, message("before"))
        _, master = _place(cluster, chat.id)
        replica = cluster.replica_of(master)
        # What it was answered for is with the replica: else its loss would be no surprise.
        with master.client() as client:
            client.wait(1, 10_000)

        if silent:
            master.pause()
        else:
            master.kill()
        await persist(lambda: store.append(chat.id, message("after")))
        if silent:
            master.resume()

        with replica.client() as client:
            assert client.info("replication")["role"] == "master"
        assert [one.id for one in await chat.messages()] == ["before", "after"]
    other = replica.url.replace("redis:", "redis+cluster:")
    await judge(other, chat.id, ["before", "after"])


async def test_a_failover_that_was_asked_for_is_followed(own_server: Callable[..., Any]) -> None:
    cluster = own_server(ReplicatedCluster)
    async with opened(cluster.url) as store:
        chat = await store.session("k")
        _, master = _place(cluster, chat.id)
        names = [f"m{number}" for number in range(200)]

        async def write() -> None:
            for name in names:
                await persist(lambda name=name: store.append(chat.id, message(name)))

        writing = asyncio.create_task(write())
        await asyncio.sleep(0.05)
        with cluster.replica_of(master).client() as client:
            client.execute_command("CLUSTER FAILOVER")
        await writing

    found = await judge(cluster.url, chat.id, names)
    assert [one.id for one in found] == names


async def _goes_unanswered(call: Coroutine[Any, Any, Any]) -> None:
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(call, 0.3)


def _place(cluster: ValkeyCluster, session_id: str) -> tuple[int, ValkeyServer]:
    return cluster.place_of(f"{{session-store:{session_id}}}")


def _name(node: ValkeyServer) -> str:
    with node.client() as client:
        return str(client.execute_command("CLUSTER MYID").decode())


def _moving(cluster: ValkeyCluster, session_id: str) -> Iterator[None]:
    """Move the slot of a session to another node; yields at the beginning and after each key."""
    slot, source = _place(cluster, session_id)
    target = cluster.nodes[cluster.nodes.index(source) - 1]
    with source.client() as giving, target.client() as taking:
        taking.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", _name(source))
        giving.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", _name(target))
        yield
        for key in giving.execute_command("CLUSTER GETKEYSINSLOT", slot, 1_000):
            place = ("127.0.0.1", target.port)
            giving.execute_command("MIGRATE", *place, key, 0, 5_000, "AUTH", PASSWORD)
            yield
        assert giving.execute_command("CLUSTER COUNTKEYSINSLOT", slot) == 0
    for node in cluster.nodes:
        with node.client() as client:
            client.execute_command("CLUSTER SETSLOT", slot, "NODE", _name(target))
