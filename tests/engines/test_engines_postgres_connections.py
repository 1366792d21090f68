"""What a connection to PostgreSQL may become while nobody looks."""

import asyncio
import gc
from collections.abc import Callable, Iterator
from secrets import token_hex
from typing import Any

import asyncpg
import pytest
from faults_kit import opened
from postgres_kit import execute
from servers import PostgresServer
from servers.proxy import Proxy

from session_store import (
    SessionStore,
    UnavailableError,
)
from session_store.engines.postgres import connections, erase, place_in
from session_store.errors import ConfigError

OTHERS = "FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> pg_backend_pid()"


@pytest.fixture
def url(postgres_url: str) -> Iterator[str]:
    url = place_in(postgres_url, token_hex(6))
    yield url
    asyncio.run(erase(url))


@pytest.fixture
def role(postgres_url: str) -> Iterator[str]:
    """A user with a database of his own, by his URL."""
    user = f"u{token_hex(4)}"
    asyncio.run(
        execute(
            postgres_url,
            f"CREATE USER {user} PASSWORD 'p w'",
            f"CREATE DATABASE {user} OWNER {user}",
        )
    )
    host = postgres_url.rpartition("@")[2].partition("/")[0]
    yield f"postgresql://{user}:p%20w@{host}/{user}"
    asyncio.run(execute(postgres_url, f"DROP DATABASE {user} WITH (FORCE)", f"DROP USER {user}"))


def name_of(role: str) -> str:
    return role.rpartition("/")[2]


async def test_a_connection_that_was_ended_while_it_was_idle_is_replaced(
    own_server: Callable[..., Any],
) -> None:
    server = own_server(PostgresServer)
    async with SessionStore.open(server.url) as store:
        chat = await store.session("k")
        await chat.append("user", "before")

        administrator = await asyncpg.connect(server.url)
        others = "FROM pg_stat_activity WHERE backend_type = 'client backend' AND pid <> $1"
        mine = administrator.get_server_pid()
        await administrator.execute(f"SELECT pg_terminate_backend(pid) {others}", mine)
        while await administrator.fetchval(f"SELECT count(*) {others}", mine):
            await asyncio.sleep(0.01)
        await chat.append("user", "after")

        await administrator.close()
        assert [message.content for message in await chat.messages()] == ["before", "after"]


@pytest.mark.parametrize("isolation", ["repeatable read", "serializable"])
async def test_transactions_that_do_not_see_what_they_waited_for_are_refused(
    postgres_url: str, role: str, isolation: str
) -> None:
    setting = f"default_transaction_isolation = '{isolation}'"
    await execute(postgres_url, f"ALTER ROLE {name_of(role)} SET {setting}")

    with pytest.raises(ConfigError, match="default_transaction_isolation=read%20committed"):
        async with SessionStore.open(role):
            pass

    async with SessionStore.open(f"{role}?default_transaction_isolation=read%20committed") as store:
        chat = await store.session("k")
        await asyncio.gather(*(chat.append("user", str(n)) for n in range(20)))
        assert len(await chat.messages()) == 20


async def test_a_role_that_stops_to_sync_is_refused_from_the_next_connection_on(
    postgres_url: str, role: str
) -> None:
    async with SessionStore.open(role) as store:
        await store.resolve("k")
        await execute(postgres_url, f"ALTER ROLE {name_of(role)} SET synchronous_commit = off")
        kind = "backend_type = 'client backend'"
        ended = f"SELECT pg_terminate_backend(pid, 10000) FROM pg_stat_activity WHERE {kind}"
        await execute(postgres_url, f"{ended} AND usename = '{name_of(role)}'")

        with pytest.raises(ConfigError, match="synchronous_commit = off"):
            await store.get_all_keys()


@pytest.mark.parametrize(
    "setting",
    [
        "standard_conforming_strings = off",
        "search_path = ''",
        "bytea_output = 'escape'",
        "client_encoding = 'LATIN1'",
        "plan_cache_mode = force_generic_plan",
        "enable_seqscan = off",
    ],
)
async def test_what_a_role_has_set_changes_nothing(
    postgres_url: str, role: str, setting: str
) -> None:
    await execute(postgres_url, f"ALTER ROLE {name_of(role)} SET {setting}")
    async with SessionStore.open(role) as store:
        chat = await store.session("Grüße")
        await chat.append("user", "Grüße \0 \\u0000")
        await store.update_metadata(chat.id, {"metadata": {"a": "\0", "b": 1}})
        page = await store.list_sessions(where={"metadata.b": 1})
        assert [one.session_id for one in page.sessions] == [chat.id]

    [rows] = await execute(role, "SELECT key, text FROM session_store.messages")

    assert [tuple(row) for row in rows] == [("Grüße", "Grüße \ufffd \\u0000")]


async def test_who_may_only_read_is_told_so_and_writes_when_he_may(
    postgres_url: str, role: str
) -> None:
    user = name_of(role)
    async with SessionStore.open(role) as store:
        await (await store.session("k")).append("user", "before")
    await execute(postgres_url, f"ALTER ROLE {user} SET default_transaction_read_only = on")

    async with SessionStore.open(role) as store:
        chat = await store.session("k")
        assert len(await chat.messages()) == 1
        with pytest.raises(UnavailableError, match="target_session_attrs=read-write"):
            await chat.append("user", "refused")

        # As after a failover: what was connected before is of no use any more.
        await execute(postgres_url, f"ALTER ROLE {user} RESET default_transaction_read_only")
        await chat.append("user", "after")
        assert [one.content for one in await chat.messages()] == ["before", "after"]


async def test_who_finds_no_room_for_a_connection_waits_for_one(
    own_server: Callable[..., Any],
) -> None:
    server = own_server(PostgresServer, max_connections="12", reserved_connections="0")
    stores = [SessionStore.open(server.url) for _ in range(4)]
    try:
        chats = [await store.session("k") for store in stores]

        await asyncio.gather(*(chat.append("user", "x") for chat in chats for _ in range(25)))

        assert len(await chats[0].messages()) == 100
    finally:
        for store in stores:
            await store.close()


async def test_connections_that_nobody_needs_any_more_are_given_back(
    own_server: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(connections, "KEPT_SECONDS", 0.05)
    server = own_server(PostgresServer)
    async with SessionStore.open(server.url) as store:
        await asyncio.gather(*(store.resolve(f"k-{n}") for n in range(30)))

        async with asyncio.timeout(30):
            while (await execute(server.url, f"SELECT count(*) {OTHERS}"))[0][0][0] > 1:
                await asyncio.sleep(0.02)
        assert await store.has_key("k-7")


async def test_kept_connections_that_fell_silent_cost_one_time_out(url: str) -> None:
    with Proxy(url) as proxy:
        async with opened(proxy.url, io_timeout_ms=700) as store:
            await store.resolve("k")
            pid = "SELECT pg_backend_pid(), pg_sleep(0.05)"
            files: Any = store._files
            ask = files._connections.ask
            kept = {rows[0][0] for rows in await asyncio.gather(*(ask("", pid) for _ in range(5)))}
            assert len(kept) > 1
            proxy.stall()
            with pytest.raises(UnavailableError):
                await store.has_key("k")
            proxy.heal()

            [row] = await ask("", pid)

            assert row[0] not in kept


# Sockets that end with their loop warn of it, and rightly so.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_loop_that_ended_without_closing_keeps_no_connections(
    own_server: Callable[..., Any],
) -> None:
    server = own_server(PostgresServer)
    store = SessionStore.open(server.url)
    for _ in range(20):
        asyncio.run(store.resolve("k"))
    gc.collect()

    async def left() -> int:
        async with asyncio.timeout(30):
            while (found := (await execute(server.url, f"SELECT count(*) {OTHERS}"))[0][0][0]) > 1:
                await asyncio.sleep(0.02)
        return int(found)

    assert asyncio.run(left()) <= 1
    del store
    gc.collect()


async def test_a_link_that_falls_silent_before_it_listens_holds_nobody_up(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with Proxy(url) as proxy:
        async with opened(proxy.url, io_timeout_ms=300) as store:
            chat = await store.session("k")
            await chat.append("user", "before")
            heard = chat.subscribe()
            assert (await anext(heard)).content == "before"
            made = connections.Connections.open

            async def open_and_stall(self: connections.Connections) -> Any:
                connection = await made(self)
                proxy.stall()
                return connection

            with monkeypatch.context() as patch:
                patch.setattr(connections.Connections, "open", open_and_stall)
                async with asyncio.timeout(30):
                    with pytest.raises(UnavailableError):
                        await anext(heard)
            proxy.heal()


async def test_an_append_needs_no_room_in_the_queue_of_notifications(
    own_server: Callable[..., Any],
) -> None:
    server = own_server(PostgresServer, max_notify_queue_pages="64")
    async with SessionStore.open(server.url) as store:
        chat = await store.session("k")
        await chat.append("user", "before")
        heard = chat.subscribe()
        assert (await anext(heard)).content == "before"
        waiting = asyncio.ensure_future(anext(heard))
        told = "SELECT count(*) FROM session_store.file WHERE told_until > 0"
        while not (await execute(server.url, told))[0][0][0]:
            await asyncio.sleep(0.01)

        # Somebody listens, and looks at nothing while his transaction lasts.
        idle = await asyncpg.connect(server.url)
        await idle.execute("LISTEN other")
        await idle.execute("BEGIN; SELECT 1")
        many = "SELECT pg_notify('x', repeat('y' || n, 1000)) FROM generate_series(1, 300) AS n"
        with pytest.raises(asyncpg.ProgramLimitExceededError):
            await execute(server.url, *[many] * 100)
        await chat.append("user", "after")

        async with asyncio.timeout(30):
            assert (await waiting).content == "after"
        await heard.aclose()
        await idle.close()


async def test_prepared_statements_that_others_take_away_are_told(url: str) -> None:
    async with SessionStore.open(url) as store:
        chat = await store.session("k")
        files: Any = store._files
        await chat.append("user", "before")
        # As behind a pgbouncer that gives each transaction another connection.
        await files._connections.ask("", "DEALLOCATE ALL")

        with pytest.raises(ConfigError, match="statement_cache_size=0"):
            await chat.append("user", "after")


async def test_a_lock_whose_session_is_deleted_meanwhile_is_let_go_of(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with SessionStore.open(url) as store, SessionStore.open(url) as other:
        chat = await store.session("k")
        look = store._files.stat

        async def look_and_delete(path: str) -> Any:
            found = await look(path)
            if path.endswith("lock.json"):
                await other.delete_session(chat.id)
            return found

        async with chat.lock():
            monkeypatch.setattr(store._files, "stat", look_and_delete)

        assert not await other.has_session(chat.id)


@pytest.mark.parametrize("port", [65_536, 99_999])
async def test_a_port_that_cannot_be_is_told(port: int) -> None:
    with pytest.raises(ConfigError) as raised:
        async with SessionStore.open(f"postgresql://u:s3cr3t@127.0.0.1:{port}/db"):
            pass

    assert "s3cr3t" not in f"{raised.value!r}"
