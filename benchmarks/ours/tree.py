"""E and K: the way to a leaf in a tree with branches, and what needs all ids of a session."""

import random
import time
from typing import Any

from benchmarks.kit.messages import SEED, dialogue
from benchmarks.kit.protocol import Answer, Params, Workload, timed, verdict
from session_store import Message, SessionStore

from .message import message_of

BRANCHES_AT = 50
"""One message in so many continues from some earlier one."""


async def plant(params: Params) -> Answer:
    """Plant a tree; the ids are given, so that the parents are known before."""
    count = params["count"]
    dice = random.Random(SEED)  # noqa: S311 (not a secret)
    parents: list[int] = [-1]
    for number in range(1, count):
        branches = dice.randrange(BRANCHES_AT) == 0
        parents.append(dice.randrange(number) if branches else number - 1)
    async with SessionStore.open(params["folder"], durability="os") as store:
        chat = await store.session(params["session"])
        batch: list[Message] = []
        for number, turn in enumerate(dialogue(count)):
            parent = _name(parents[number]) if number else None
            made: dict[str, Any] = {"id": _name(number), "parent_id": parent}
            given = message_of(turn)
            batch.append(Message(**made, **_fields(given)))
            if len(batch) == 1000 or number == count - 1:
                await chat.append_many(batch)
                batch = []
    way = [count - 1]
    while parents[way[-1]] >= 0:
        way.append(parents[way[-1]])
    return timed(0, count, leaf=_name(count - 1), path=len(way))


async def history(params: Params) -> Answer:
    """Read the history to a leaf: cold, and then again, when nothing is new."""
    async with SessionStore.open(params["folder"], durability="os") as store:
        chat = await store.session(params["session"])
        began = time.perf_counter()
        found = await chat.history(params["leaf"])
        cold = time.perf_counter() - began
        warm = []
        for _ in range(20):
            began = time.perf_counter()
            await chat.history(params["leaf"])
            warm.append(time.perf_counter() - began)
    answer = timed(cold, 1, warm_seconds=sorted(warm)[len(warm) // 2], path=len(found))
    return verdict(answer, len(found), params["path"], "length of the path")


async def far(params: Params) -> Answer:
    """Do an append that needs all ids, twice: the second time they are known.

    `how` is `explicit_id`, `far_parent` or `idle_branch`.
    """
    how = params["how"]
    async with SessionStore.open(params["folder"], durability="os") as store:
        chat = await store.session(params["session"])
        seconds = []
        for turn in range(2):
            message = Message(type="user", content="and then?")
            if how == "explicit_id":
                message = Message(type="user", content="!", id=f"x{time.time_ns()}-{turn}")
            elif how == "far_parent":
                message = Message(type="user", content="!", parent_id=params["first"])
            began = time.perf_counter()
            if how == "idle_branch":
                await chat.switch_to_branch(params["branch"])
            await chat.append(message)
            seconds.append(time.perf_counter() - began)
    return timed(seconds[0], 1, again_seconds=seconds[1])


async def idle_branch(params: Params) -> Answer:
    """Make a branch at the beginning of a session, and the id that it begins at."""
    async with SessionStore.open(params["folder"], durability="os") as store:
        chat = await store.session(params["session"])
        stream = store.stream_messages(chat.id)
        first = await anext(stream)
        await stream.aclose()
        head = await chat.head()
        await chat.create_branch(params["branch"], first)
        await chat.create_branch(f"{params['branch']}-main", head)
        await chat.switch_to_branch(f"{params['branch']}-main")
    return timed(0, 1, first=first.id)


def _name(number: int) -> str:
    return f"node-{number:07d}"


def _fields(message: Message) -> dict[str, Any]:
    names = ("type", "role", "content", "tool_calls", "tool_result")
    return {name: getattr(message, name) for name in names}


WORKLOADS: dict[str, Workload] = {
    "plant": plant,
    "history": history,
    "far": far,
    "idle_branch": idle_branch,
}
