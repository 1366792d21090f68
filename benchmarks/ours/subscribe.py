"""J: how long a message takes to a subscriber in another process, and what waiting costs."""

import asyncio
import time
from contextlib import suppress
from pathlib import Path

from benchmarks.kit.chat import wait_for_all
from benchmarks.kit.messages import dialogue
from benchmarks.kit.protocol import Answer, Params, Workload, timed, verdict
from session_store import Message, SessionStore

from .message import message_of


async def listen(params: Params) -> Answer:
    """Wait for `count` messages; each says when its append began."""
    delays: list[float] = []
    async with SessionStore.open(params["folder"], durability="os") as store:
        chat = await store.session("live")
        last = await chat.head()
        await asyncio.to_thread(wait_for_all, Path(params["gate"]), 0)
        async with asyncio.timeout(params["timeout"]):
            async for message in store.subscribe(chat.id, after=last):
                delays.append(time.monotonic() - (message.metadata or {})["sent"])
                if len(delays) == params["count"]:
                    break
    delays.sort()
    answer = timed(
        sum(delays),
        len(delays),
        median_seconds=delays[len(delays) // 2],
        p99_seconds=delays[int(len(delays) * 0.99)],
    )
    return verdict(answer, len(delays), params["count"], "messages delivered")


async def speak(params: Params) -> Answer:
    """Append `count` messages, one each `pause` seconds, to whoever listens."""
    async with SessionStore.open(params["folder"], durability="os") as store:
        chat = await store.session("live")
        await asyncio.to_thread(wait_for_all, Path(params["gate"]), 1)
        await asyncio.sleep(0.3)
        for turn in dialogue(params["count"]):
            # Not in step with the intervals of whoever looks now and then.
            await asyncio.sleep(params["pause"])
            await chat.append(
                Message(type="user", content=turn.text, metadata={"sent": time.monotonic()})
            )
    return timed(0, params["count"])


async def begin(params: Params) -> Answer:
    """Make the session that is listened to, with a first message."""
    async with SessionStore.open(params["folder"], durability="os") as store:
        chat = await store.session("live")
        await chat.append(message_of(next(dialogue(1))))
    return timed(0, 1)


async def idle(params: Params) -> Answer:
    """So many subscribers of one process to sessions where nothing happens: CPU time."""
    async with SessionStore.open(params["folder"], durability="os") as store:
        message = message_of(next(dialogue(1)))
        chats = [await store.session(f"quiet-{n}") for n in range(params["subscribers"])]
        heads = [(await chat.append(message)).id for chat in chats]
        heard = 0

        async def wait(session_id: str, head: str) -> None:
            nonlocal heard
            async for _ in store.subscribe(session_id, after=head):
                heard += 1

        pairs = zip(chats, heads, strict=True)
        waiting = [asyncio.create_task(wait(chat.id, head)) for chat, head in pairs]
        await asyncio.sleep(1)
        began, cpu = time.perf_counter(), time.process_time()
        await asyncio.sleep(params["seconds"])
        cpu, seconds = time.process_time() - cpu, time.perf_counter() - began
        alive = sum(not task.done() for task in waiting)
        for task in waiting:
            task.cancel()
        for task in waiting:
            with suppress(asyncio.CancelledError):
                await task
    answer = timed(seconds, 1, cpu_share=cpu / seconds)
    return verdict(answer, (alive, heard), (len(chats), 0), "subscribers waiting, messages")


WORKLOADS: dict[str, Workload] = {"listen": listen, "speak": speak, "begin": begin, "idle": idle}
