"""PostgreSQL as teams meet it: rights, versions, schemas of others, SQL, many sessions."""

import asyncio
import random
from collections.abc import Callable, Iterator
from secrets import token_hex
from typing import Any

import asyncpg
import pytest
from postgres_kit import execute
from servers import PostgresServer

from session_store import SessionStore
from session_store.engines.postgres import erase, place_in, schema
from session_store.errors import ConfigError
from session_store.sync import SessionStore as BlockingStore


@pytest.fixture
def url(postgres_url: str) -> Iterator[str]:
    url = place_in(postgres_url, token_hex(6))
    yield url
    asyncio.run(erase(url))


@pytest.fixture
def name(url: str) -> str:
    return url.rpartition("schema=")[2]


async def test_the_view_shows_messages_to_people(url: str, name: str) -> None:
    async with SessionStore.open(url) as store:
        chat = await store.session("telegram:1")
        first = await chat.append("user", "What is 'SQL'?")
        blocks = [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}]
        await chat.append({"role": "assistant", "content": blocks})
        await chat.append("user", "a NUL \0 in it")
        await chat.append_many([{"role": "user", "content": f"line {n}\nü"} for n in range(3)])
        await chat.create_branch("b", first)
        await chat.switch_to_branch("b")

    [rows] = await execute(
        url, f"SELECT session_id, key, role, text, parent_id, type FROM {name}.messages"
    )

    texts = sorted(row["text"] for row in rows)
    # What jsonb cannot hold is shown in another way, and hides nothing else.
    lines = [f"line {n}\nü" for n in range(3)]
    assert texts == sorted(["What is 'SQL'?", "A\nB", "a NUL \ufffd in it", *lines])
    assert {(row["session_id"], row["key"]) for row in rows} == {(chat.id, "telegram:1")}
    assert [row["parent_id"] for row in rows if row["text"] == "What is 'SQL'?"] == [None]


async def test_the_view_shows_every_line_of_a_large_batch_and_of_a_damaged_log(
    url: str, name: str
) -> None:
    async with SessionStore.open(url) as store:
        chat = await store.session("k")
        large = [{"role": "user", "content": f"{n}" * 700_000} for n in range(4)]
        await chat.append_many(large)
        await store._files.append(
            f"{chat.id}/messages.jsonl",
            b'not JSON\n{"type":"message","timestamp":"noon","content":7}\n\xff\n[]\n',
        )
        await chat.append("user", "after")

    [rows] = await execute(
        url,
        f"SELECT length(text) AS length, timestamp FROM {name}.messages"
        f" WHERE session_id = '{chat.id}' ORDER BY position",
    )

    assert [row["length"] for row in rows] == [700_000] * 4 + [None, 5]
    assert [row["timestamp"] is None for row in rows] == [False] * 4 + [True, False]


async def test_the_view_leaves_out_what_is_damaged_and_nothing_around_it(
    url: str, name: str
) -> None:
    lines = [
        b'{"id":"m-%d","parentId":null,"type":"user","content":"Gr\xc3\xbc\xc3\x9fe \\\\"}' % n
        for n in range(4)
    ]
    async with SessionStore.open(url) as store:
        chat = await store.session("k")
        # As `copy` brings a log: damage and all in one piece.
        damaged = b"\0" * 50, b'{"id":"bad","type":"user","content":"\xff"}'
        log = [lines[0], damaged[0], lines[1], damaged[1], *lines[2:], b""]
        await store._files.append(f"{chat.id}/messages.jsonl", b"\n".join(log))

    [rows] = await execute(url, f"SELECT message_id, text FROM {name}.messages ORDER BY position")

    assert [row["message_id"] for row in rows] == ["m-0", "m-1", "bad", "m-2", "m-3"]
    assert {row["text"] for row in rows if row["message_id"] != "bad"} == {"Grüße \\"}


async def test_an_analyst_needs_the_view_alone_and_changes_nothing(url: str, name: str) -> None:
    async with SessionStore.open(url) as store:
        await (await store.session("k")).append("user", "hello")
    user = f"u{token_hex(4)}"
    await execute(
        url,
        f"CREATE USER {user} PASSWORD 'p w'",
        f"GRANT USAGE ON SCHEMA {name} TO {user}",
        f"GRANT SELECT ON {name}.messages TO {user}",
    )
    try:
        analyst = url.replace("postgres:correct%20horse", f"{user}:p%20w")
        [rows] = await execute(analyst, f"SELECT text FROM {name}.messages")
        assert [row[0] for row in rows] == ["hello"]
        for query in (
            f"DELETE FROM {name}.messages",
            f"SELECT * FROM {name}.chunk",
            f"SELECT {name}.end_session(id) FROM {name}.session",
        ):
            with pytest.raises(asyncpg.PostgresError):
                await execute(analyst, query)
    finally:
        await execute(url, f"DROP OWNED BY {user}", f"DROP USER {user}")


async def test_a_program_needs_its_rows_and_not_the_schema(url: str, name: str) -> None:
    async with SessionStore.open(url) as store:
        await store.init()
    user = f"u{token_hex(4)}"
    await execute(
        url,
        f"CREATE USER {user} PASSWORD 'p w'",
        f"GRANT USAGE ON SCHEMA {name} TO {user}",
        f"GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA {name} TO {user}",
    )
    try:
        async with SessionStore.open(
            url.replace("postgres:correct%20horse", f"{user}:p%20w")
        ) as store:
            chat = await store.session("k")
            await store.add_key("other", chat.id)
            async with chat.lock():
                await chat.append("user", "hello")
            await store.delete_session(chat.id)
            assert await store.resolve("k") != chat.id
    finally:
        await execute(url, f"DROP OWNED BY {user}", f"DROP USER {user}")


async def test_the_longest_keys_are_told_apart(url: str) -> None:
    # What PostgreSQL can compress would fit into an index.
    letters = random.Random(1).choices([chr(n) for n in range(0x10000, 0x14000)], k=1_022)
    keys = ["".join(letters) + end for end in ("ab", "ac", "b", "")]
    async with SessionStore.open(url) as store:
        made = [await store.resolve(key) for key in keys]
        again = [await store.resolve(key) for key in keys]
        assert again == made
        assert len(set(made)) == 4
        assert sorted(await store.get_all_keys()) == sorted(keys)

        for prefix, count in ((keys[0], 1), (keys[0][:-1], 2), (keys[0][:300], 4), (keys[3], 4)):
            page = await store.list_sessions(where={"key_prefix": prefix})
            assert len(page.sessions) == count

        await store.add_key(keys[0], made[1])
        assert await store.resolve(keys[0]) == made[1]
        assert await store.remove_key(keys[0])
        assert not await store.has_key(keys[0])
        assert await store.resolve(keys[1]) == made[1]


async def test_a_very_long_user_is_found(url: str) -> None:
    letters = "".join(random.Random(1).choices([chr(n) for n in range(0x10000, 0x14000)], k=9_000))
    users = [f"{letters}1", f"{letters}2"]
    async with SessionStore.open(url) as store:
        made = [await store.resolve(user[-1]) for user in users]
        for session_id, user in zip(made, users, strict=True):
            await store.update_metadata(session_id, {"user_id": user})

        for session_id, user in zip(made, users, strict=True):
            page = await store.list_sessions(where={"user_id": user})
            assert [one.session_id for one in page.sessions] == [session_id]


async def test_a_field_whose_name_jsonb_cannot_hold_is_found(url: str) -> None:
    async with SessionStore.open(url) as store:
        session_id = await store.resolve("k")
        await store.update_metadata(session_id, {"metadata": {"a\0": 1, "b": 2}})

        for where, count in (
            ({"metadata.a\0": 1}, 1),
            ({"metadata.b": 2}, 1),
            ({"metadata.a\ud800": 1}, 0),
            ({"metadata.b": 1 << 70}, 0),
            ({"metadata.b": float("nan")}, 0),
        ):
            assert len((await store.list_sessions(where=where)).sessions) == count


async def test_metadata_is_asked_for_by_equality(url: str) -> None:
    async with SessionStore.open(url) as store:
        session_id = await store.resolve("k")
        value = {"a": 1.0, "b": [1, 2], "c": {"d": None, "e": "f"}}
        await store.update_metadata(session_id, {"metadata": value})

        for where, count in (
            ({"metadata.a": 1}, 1),
            ({"metadata.a": True}, 0),
            ({"metadata.b": [1, 2]}, 1),
            ({"metadata.b": [2, 1]}, 0),
            ({"metadata.b": [1]}, 0),
            ({"metadata.c": {"d": None, "e": "f"}}, 1),
            ({"metadata.c": {"e": "f"}}, 0),
            ({"metadata": value}, 1),
            ({"metadata": {"a": 1}}, 0),
        ):
            assert len((await store.list_sessions(where=where)).sessions) == count


async def test_a_schema_that_is_newer_is_refused(url: str, name: str) -> None:
    async with SessionStore.open(url) as store:
        await store.resolve("k")
    await execute(url, f"UPDATE {name}.store_version SET version = {schema.VERSION + 1}")

    with pytest.raises(ConfigError, match="pip install -U session-store"):
        async with SessionStore.open(url):
            pass
    with pytest.raises(ConfigError, match="pip install -U session-store"):
        await erase(url)
    await execute(url, f"UPDATE {name}.store_version SET version = {schema.VERSION}")


async def test_a_schema_of_others_is_refused_and_left_alone(url: str, name: str) -> None:
    await execute(url, f"CREATE SCHEMA {name}", f"CREATE TABLE {name}.wallet (coins int)")

    with pytest.raises(ConfigError, match="belongs to something else"):
        async with SessionStore.open(url):
            pass

    with pytest.raises(ConfigError, match="belongs to something else"):
        await erase(url)
    [rows] = await execute(url, f"SELECT tablename FROM pg_tables WHERE schemaname = '{name}'")
    assert [row[0] for row in rows] == ["wallet"]
    await execute(url, f"DROP TABLE {name}.wallet")


async def test_many_who_open_a_new_schema_at_once_get_one(url: str) -> None:
    stores = [SessionStore.open(url) for _ in range(8)]

    await asyncio.gather(*(store.init() for store in stores))
    made = await asyncio.gather(*(store.resolve("k") for store in stores))

    assert len(set(made)) == 1
    for store in stores:
        await store.close()


async def test_a_user_without_the_right_is_told_what_to_ask_for(url: str, name: str) -> None:
    user = f"u{token_hex(4)}"
    await execute(url, f"CREATE USER {user} PASSWORD 'p w'")
    try:
        poor = url.replace("postgres:correct%20horse", f"{user}:p%20w")
        assert poor != url

        with pytest.raises(ConfigError, match=f"CREATE SCHEMA {name} AUTHORIZATION"):
            async with SessionStore.open(poor):
                pass
    finally:
        await execute(url, f"DROP USER {user}")


async def test_a_database_that_is_not_there_is_told(url: str) -> None:
    missing = url.replace("/postgres?", "/nowhere?")

    with pytest.raises(ConfigError, match="nowhere"):
        async with SessionStore.open(missing):
            pass


@pytest.mark.parametrize(
    "query", ["schema=Robert'); DROP", "schema=", "schema=1a", "statement_cache_size=x"]
)
def test_a_bad_name_is_refused_before_anything_is_asked(query: str) -> None:
    with pytest.raises(ConfigError):
        BlockingStore.open(f"postgresql://u:s3cr3t@127.0.0.1:1/db?{query}")


async def test_without_synchronous_commit_it_does_not_call_itself_durable(url: str) -> None:
    async with SessionStore.open(f"{url}&synchronous_commit=off") as store:
        await store.resolve("k")

        assert store._files.traits.durable is False


async def test_a_server_that_may_lose_what_it_answered_is_refused(
    own_server: Callable[..., Any],
) -> None:
    server = own_server(PostgresServer, synchronous_commit="off")

    with pytest.raises(ConfigError, match=r"\?synchronous_commit=on in the URL"):
        async with SessionStore.open(server.url):
            pass

    async with SessionStore.open(f"{server.url}?synchronous_commit=on") as store:
        await store.resolve("k")
        assert store._files.traits.durable is True


async def test_a_server_that_never_syncs_is_refused(own_server: Callable[..., Any]) -> None:
    server = own_server(PostgresServer, fsync="off")

    with pytest.raises(ConfigError, match="fsync = off"):
        async with SessionStore.open(server.url):
            pass

    async with SessionStore.open(f"{server.url}?synchronous_commit=off") as store:
        assert store._files.traits.durable is False


async def test_without_prepared_statements_it_works_too(url: str) -> None:
    async with SessionStore.open(f"{url}&statement_cache_size=0") as store:
        chat = await store.session("k")
        for number in range(5):
            await chat.append("user", str(number))

        assert len(await chat.messages()) == 5


async def test_a_long_session_is_removed_in_calls_that_are_short(
    url: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(schema, "MOST_CHUNKS", 7)
    left = f"SELECT count(*) FROM {name}.chunk"
    async with SessionStore.open(url) as store:
        for key in "abc":
            chat = await store.session(key)
            for number in range(20):
                await chat.append("user", str(number))
        await store.delete_session_by_key("a")
        assert (await execute(url, left))[0][0][0] == 40

        # This one's process died in the midst of it: the next who deletes removes the rest.
        session_id = await store.resolve("b")
        await execute(url, f"SELECT {name}.end_session('{session_id}')")
        assert (await execute(url, left))[0][0][0] == 33
        await store.delete_session_by_key("c")

    assert (await execute(url, left))[0][0][0] == 0
    assert (await execute(url, f"SELECT count(*) FROM {name}.dropped"))[0][0][0] == 0


async def test_many_sessions_are_listed_by_their_indexes(url: str, name: str) -> None:
    async with SessionStore.open(url) as store:
        await store.resolve("k")
    await execute(
        url,
        f"INSERT INTO {name}.session SELECT 's' || n, n, n, 'u' || n % 1000, NULL, 0,"
        """ '{"sessionId":"s' || n || '","createdAt":' || n || ',"updatedAt":' || n"""
        """ || ',"userId":"u' || n % 1000 || '"}' FROM generate_series(1, 200000) AS n""",
        f"ANALYZE {name}.session",
    )
    plans = await execute(
        url,
        f"EXPLAIN SELECT id FROM {name}.session WHERE (updated, id) < (5000, 's')"
        " ORDER BY updated DESC, id DESC LIMIT 51",
        f"EXPLAIN SELECT id FROM {name}.session WHERE user_id = 'u7'"
        " ORDER BY updated DESC, id DESC LIMIT 51",
    )

    async with SessionStore.open(url) as store:
        page = await store.list_sessions(sort="created", limit=50, where={"user_id": "u7"})

    assert [one.session_id for one in page.sessions] == [
        f"s{199_007 - n * 1000}" for n in range(50)
    ]
    for plan in plans:
        text = "\n".join(row[0] for row in plan)
        assert "Index" in text
        assert "Seq Scan" not in text
