"""I: many threads that append durably at once."""

from concurrent.futures import ThreadPoolExecutor

from benchmarks.kit.messages import dialogue
from benchmarks.kit.protocol import Answer, Params, Stopwatch, Workload, timed, verdict
from session_store.sync import Session, SessionStore

from .message import message_of


def threads(params: Params) -> Answer:
    """`threads` threads append to so many `sessions` until the time is up."""
    with SessionStore.open(params["folder"], durability=params["durability"]) as store:
        chats = [store.session(f"s{number}") for number in range(params["sessions"])]
        messages = [message_of(turn) for turn in dialogue(500)]
        for chat in chats:
            chat.append(messages[0])
        with ThreadPoolExecutor(params["threads"]) as pool:
            watch = Stopwatch(params["budget"])

            def work(chat: Session) -> int:
                done = 0
                while not watch.over():
                    chat.append(messages[done % len(messages)])
                    done += 1
                return done

            mine = [chats[number % len(chats)] for number in range(params["threads"])]
            done = sum(pool.map(work, mine))
            seconds = watch.seconds()
        found = sum(len(chat.messages()) for chat in chats)
    return verdict(timed(seconds, done), found, done + len(chats), "messages")


WORKLOADS: dict[str, Workload] = {"threads": threads}
