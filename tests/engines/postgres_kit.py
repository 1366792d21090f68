"""What the tests of PostgreSQL share: asking the server past the store."""

from typing import Any

import asyncpg


async def execute(url: str, *queries: str) -> list[Any]:
    """Return what the server answers to each, whatever schema the URL names."""
    connection = await asyncpg.connect(url.partition("?")[0])
    try:
        return [await connection.fetch(query) for query in queries]
    finally:
        await connection.close()
