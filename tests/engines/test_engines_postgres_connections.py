"""What a connection to PostgreSQL may become while nobody looks."""

import asyncio
from collections.abc import Callable
from typing import Any

import asyncpg
from servers import PostgresServer

from session_store import SessionStore


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
