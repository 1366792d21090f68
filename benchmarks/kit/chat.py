"""The workloads that every keeper of dialogues can do, through five verbs.

A new peer is a class with these verbs and `serve_chat(…)` at the end of its file.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Protocol, TypeAlias

from .messages import POOL, Turn, dialogue, text_at
from .protocol import Answer, Params, Stopwatch, Workload, bytes_read, serve, timed, verdict

Native: TypeAlias = Any
"""A message as the row's library has it."""


class Chat(Protocol):
    """A row: a library, used as its documentation says.

    It is made with a folder of its own, and with the settings that the plan gives it.
    """

    promise: ClassVar[str]
    """What an acknowledged message survives: `power` (a power cut) or `process` (a kill)."""

    async def open(self) -> None:
        """Get ready; what the library does once for all sessions."""
        ...

    async def close(self) -> None:
        """Let go of everything."""
        ...

    def native(self, turn: Turn) -> Native:
        """Return the message as the library wants it: made before the clock runs."""
        ...

    async def append(self, session: str, message: Native) -> None:
        """Store one message, as durably as the library does."""
        ...

    async def read(self, session: str) -> list[Native]:
        """Return all messages of a session, oldest first."""
        ...

    async def last(self, session: str, count: int) -> list[Native]:
        """Return the newest messages of a session, oldest first."""
        ...

    def text(self, message: Native) -> str:
        """Return the text of a message that was read."""
        ...


def serve_chat(row: Callable[..., Chat], **more: Workload) -> None:
    """Answer the jobs of the common workloads with this row, and those that only it can do."""
    jobs = _Jobs(row)
    serve(
        {
            "append": jobs.append,
            "round_robin": jobs.round_robin,
            "fill": jobs.fill,
            "grown": jobs.grown,
            "read": jobs.read,
            "last": jobs.last,
            "create": jobs.create,
            "member": jobs.member,
            "tally": jobs.tally,
            **more,
        }
    )


class _Jobs:
    def __init__(self, row: Callable[..., Chat]) -> None:
        self._row = row

    def _make(self, params: Params) -> Chat:
        folder = Path(params["folder"])
        folder.mkdir(parents=True, exist_ok=True)
        return self._row(folder, **params.get("settings", {}))

    async def append(self, params: Params) -> Answer:
        """Do A: append to one session, as many as come in the time given."""
        return await self._appends(params, ["one"])

    async def round_robin(self, params: Params) -> Answer:
        """Do B: the same, to many sessions in turn; each has had its first message."""
        sessions = [f"session-{number}" for number in range(params["sessions"])]
        return await self._appends(params, sessions)

    async def _appends(self, params: Params, sessions: list[str]) -> Answer:
        chat = self._make(params)
        await chat.open()
        # Made before the clock runs; a longer dialogue says them again.
        messages = [chat.native(turn) for turn in dialogue(min(params["count"], POOL))]
        first = [chat.native(turn) for turn in dialogue(len(sessions))]
        for session, message in zip(sessions, first, strict=True):
            await chat.append(session, message)
        done = 0
        watch = Stopwatch(params.get("budget"))
        while done < params["count"]:
            message = messages[done % len(messages)]
            done += 1
            await chat.append(sessions[done % len(sessions)], message)
            if not done % 16 and watch.over():
                break
        seconds = watch.seconds()
        await chat.close()
        answer = timed(seconds, done, promise=chat.promise)
        return await self._verify(params, answer, sessions, done)

    async def _verify(
        self, params: Params, answer: Answer, sessions: list[str], done: int
    ) -> Answer:
        """Read one session back, through a new object: what it should have is known."""
        chat = self._make(params)
        await chat.open()
        mine = [text_at(number - 1) for number in range(1, done + 1) if not number % len(sessions)]
        found = [chat.text(message) for message in await chat.read(sessions[0])]
        await chat.close()
        return verdict(answer, found, [text_at(0), *mine], "read back")

    async def fill(self, params: Params) -> Answer:
        """Prepare a session of so many messages, or of what fits into the time given."""
        chat = self._make(params)
        await chat.open()
        many = getattr(chat, "append_many", None)
        watch = Stopwatch(params.get("budget"))
        done = params.get("start", 0)
        while done < params["count"] and not watch.over():
            size = min(500 if many else 16, params["count"] - done)
            batch = [chat.native(turn) for turn in dialogue(size, done)]
            if many:
                await many(params["session"], batch)
            else:
                for message in batch:
                    await chat.append(params["session"], message)
            done += size
        await chat.close()
        return timed(watch.seconds(), done, full=done == params["count"])

    async def grown(self, params: Params) -> Answer:
        """Do K: some appends to a session that is there, in a process that has not seen it."""
        chat = self._make(params)
        await chat.open()
        messages = [chat.native(turn) for turn in dialogue(params["count"])]
        await chat.append(params["session"], messages[0])
        watch = Stopwatch(params.get("budget"))
        done = 0
        for message in messages:
            await chat.append(params["session"], message)
            done += 1
            if watch.over():
                break
        seconds = watch.seconds()
        await chat.close()
        return timed(seconds, done)

    async def read(self, params: Params) -> Answer:
        """Do C: all messages; the second time nothing is new.

        With `after` another session is read first: connections are open then.
        """
        chat = self._make(params)
        await chat.open()
        if "after" in params:
            await chat.read(params["after"])
        began = time.perf_counter()
        messages = await chat.read(params["session"])
        cold = time.perf_counter() - began
        began = time.perf_counter()
        await chat.read(params["session"])
        warm = time.perf_counter() - began
        answer = timed(cold, len(messages), warm_seconds=warm)
        found = [chat.text(message) for message in messages]
        await chat.close()
        expected = [turn.text for turn in dialogue(params["expect"])]
        # What other workloads appended to it lies behind.
        return verdict(answer, found[: len(expected)], expected, "read")

    async def last(self, params: Params) -> Answer:
        """Do D: the last 20, everything from the opening of the store on."""
        before = bytes_read()
        began = time.perf_counter()
        chat = self._make(params)
        await chat.open()
        messages = await chat.last(params["session"], 20)
        seconds = time.perf_counter() - began
        answer = timed(seconds, 1, read_bytes=bytes_read() - before)
        found = [chat.text(message) for message in messages]
        await chat.close()
        if "expect" not in params:
            return verdict(answer, len(found), 20, "number of the last")
        expected = [turn.text for turn in dialogue(20, params["expect"] - 20)]
        return verdict(answer, found, expected, "the last")

    async def create(self, params: Params) -> Answer:
        """Do F: new sessions, each with its first message: not every library knows empty ones."""
        chat = self._make(params)
        await chat.open()
        message = chat.native(next(dialogue(1)))
        watch = Stopwatch(params.get("budget"))
        done = 0
        while done < params["count"]:
            done += 1
            await chat.append(f"new-{done}", message)
            if not done % 16 and watch.over():
                break
        seconds = watch.seconds()
        found = [chat.text(one) for one in await chat.read(f"new-{done}")]
        await chat.close()
        return verdict(timed(seconds, done), found, [text_at(0)], "read back")

    async def member(self, params: Params) -> Answer:
        """Do H: one of several processes that append at once, from the moment all are ready."""
        chat = self._make(params)
        await chat.open()
        place = params["place"]
        texts = [crowd_text(place, number) for number in range(params["count"])]
        messages = [chat.native(Turn("user", text)) for text in texts]
        failed: list[int] = []
        done, why = 0, ""
        began = await asyncio.to_thread(wait_for_all, Path(params["gate"]), place)
        watch = Stopwatch(params["budget"])
        for number, message in enumerate(messages):
            try:
                await chat.append(params["session"], message)
            except Exception as error:
                failed.append(number)
                why = why or f"{type(error).__name__}: {error}"[:200]
            done = number + 1
            if not done % 16 and watch.over():
                break
        ended = time.monotonic()
        await chat.close()
        return timed(ended - began, done, began=began, ended=ended, failed=failed, why=why)

    async def tally(self, params: Params) -> Answer:
        """Do H: what is there afterwards, beside what was acknowledged to the members."""
        chat = self._make(params)
        await chat.open()
        lost = duplicated = 0
        why = ""
        for session, members in params["sessions"].items():
            try:
                found = Counter([chat.text(message) for message in await chat.read(session)])
            except Exception as error:
                found, why = Counter[str](), f"cannot be read: {type(error).__name__}: {error}"
            for place, count, failed in members:
                acknowledged = [n for n in range(count) if n not in set(failed)]
                times = [found[crowd_text(place, number)] for number in acknowledged]
                lost += times.count(0)
                duplicated += sum(number - 1 for number in times if number > 1)
        await chat.close()
        return timed(0, 1, lost=lost, duplicated=duplicated, why=why[:200])


def crowd_text(place: int, number: int) -> str:
    """Return a text that says whose it is."""
    return f"{place}/{number} {text_at(number)}"


def wait_for_all(gate: Path, place: int) -> float:
    """Say that this process is ready, wait until all are, and return when that was."""
    (gate / f"ready-{place}").touch()
    while not (gate / "go").exists():
        time.sleep(0.0005)
    return time.monotonic()
