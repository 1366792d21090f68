"""A: `append_many`, the fastest way in; and where the log of a session is."""

from pathlib import Path

from benchmarks.kit.messages import dialogue
from benchmarks.kit.protocol import Answer, Params, Stopwatch, Workload, timed, verdict
from session_store import SessionStore

from .message import message_of


async def append_many(params: Params) -> Answer:
    """Append batches of `batch` messages to one session."""
    batch = params["batch"]
    async with SessionStore.open(params["folder"], durability=params["durability"]) as store:
        chat = await store.session("one")
        messages = [message_of(turn) for turn in dialogue(batch)]
        await chat.append_many(messages)
        done = 0
        watch = Stopwatch(params["budget"])
        for _ in range(params["count"] // batch):
            await chat.append_many(messages)
            done += batch
            if watch.over():
                break
        seconds = watch.seconds()
        found = len(await chat.messages())
    return verdict(timed(seconds, done), found, done + batch, "messages")


async def locate(params: Params) -> Answer:
    """Return the path of a session's log: what the limits read as well."""
    async with SessionStore.open(params["folder"]) as store:
        chat = await store.session(params["session"])
        path = Path(params["folder"]) / chat.id / "messages.jsonl"
    return timed(0, 1, path=str(path), bytes=path.stat().st_size)


WORKLOADS: dict[str, Workload] = {"append_many": append_many, "locate": locate}
