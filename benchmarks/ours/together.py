"""I: many tasks that append durably at once."""

import asyncio

from benchmarks.kit.messages import dialogue
from benchmarks.kit.protocol import Answer, Params, Stopwatch, Workload, timed, verdict
from session_store import Session, SessionStore

from .message import message_of


async def tasks(params: Params) -> Answer:
    """`tasks` tasks append to so many `sessions` until the time is up."""
    async with SessionStore.open(params["folder"], durability=params["durability"]) as store:
        chats = [await store.session(f"s{number}") for number in range(params["sessions"])]
        messages = [message_of(turn) for turn in dialogue(500)]
        for chat in chats:
            await chat.append(messages[0])
        watch = Stopwatch(params["budget"])

        async def work(chat: Session) -> int:
            done = 0
            while not watch.over():
                await chat.append(messages[done % len(messages)])
                done += 1
            return done

        mine = [chats[number % len(chats)] for number in range(params["tasks"])]
        done = sum(await asyncio.gather(*map(work, mine)))
        seconds = watch.seconds()
        found = sum([len(await chat.messages()) for chat in chats])
    return verdict(timed(seconds, done), found, done + len(chats), "messages")


WORKLOADS: dict[str, Workload] = {"tasks": tasks}
