"""What a subscriber was shown as durable can be found after any power cut, by its key too."""

import asyncio

from filesystem_simulated import Simulated

from session_store import SessionStore
from session_store.model.config import StoreConfig
from session_store.testing.simulation import World


async def found_after_a_power_cut(seed: int) -> list[object]:
    files = Simulated(World(seed))
    store = SessionStore(files, StoreConfig(durability="os"))
    session = await store.resolve("chat")
    await store.append(session, {"role": "user", "content": "one"})
    async for _ in store.subscribe(session, durable=True):
        break

    after = SessionStore(files.after_power_cut(), StoreConfig(durability="os"))
    known = await after.get_session_id("chat")
    return [] if known is None else [one.content for one in await after.get_messages(known)]


def test_what_was_shown_as_durable_is_found_by_its_key_after_a_power_cut() -> None:
    for seed in range(50):
        assert asyncio.run(found_after_a_power_cut(seed)) == ["one"], f"seed {seed}"
