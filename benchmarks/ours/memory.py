"""G: the most memory that a process needs for one thing, beyond having imported the store."""

from pathlib import Path

from benchmarks.kit.messages import dialogue
from benchmarks.kit.protocol import Answer, Params, Workload, peak_kib, timed, verdict
from session_store.sync import Session, SessionStore

from .message import message_of


def memory(params: Params) -> Answer:
    """Do `what` in a fresh process and tell how much memory it took at most.

    `what` is `append`, `last`, `stream`, `check` or `read`.
    """
    idle = peak_kib()
    done = 0
    with SessionStore.open(params["folder"], durability="os") as store:
        chat = store.session(params["session"])
        if params["what"] == "check":
            report = store.check()
            done = int(report.ok)
        else:
            done = _do(store, chat, params["what"])
    size = (Path(params["folder"]) / chat.id / "messages.jsonl").stat().st_size
    answer = timed(0, 1, peak_kib=peak_kib() - idle, idle_kib=idle, file_bytes=size)
    every = int(params["expect"])
    expected = {"append": 1000, "last": 20, "check": 1}.get(params["what"], every)
    return verdict(answer, done, expected, params["what"])


def _do(store: SessionStore, chat: Session, what: str) -> int:
    if what == "append":
        for turn in dialogue(1000):
            chat.append(message_of(turn))
        return 1000
    if what == "last":
        return len(chat.history(limit=20))
    if what == "stream":
        return sum(1 for _ in store.stream_messages(chat.id))
    return len(chat.messages())


WORKLOADS: dict[str, Workload] = {"memory": memory}
