"""What a client of a cluster says of trouble that it has no Redis error for."""

import pytest

from session_store import ConfigError, SessionStore


async def test_a_server_that_is_no_cluster_is_a_wrong_url(redis_url: str) -> None:
    url = redis_url.replace("redis:", "redis+cluster:")

    with pytest.raises(ConfigError, match="name it with redis://"):
        await SessionStore.open(url)
