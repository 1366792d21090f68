"""What writers do in races: functions of a module, so that another process can be given them.

Each writes down what it asked and what it was answered, and returns that as lines.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import aclosing
from typing import Any

from session_store.errors import (
    AppendUnknownError,
    MessageNotFoundError,
    SessionNotFoundError,
    UnknownParentError,
)
from session_store.store.aio import SessionStore
from session_store.testing.history import History, Operation

KEY = "shared"


class Notes:
    """What one writer asks and is answered."""

    def __init__(self, actor: str) -> None:
        self.actor = actor
        self.history = History(time.monotonic)

    def lines(self) -> list[str]:
        """Return what `History.merged` reads."""
        return list(self.history.lines())

    async def ask(
        self, kind: str, session: str, call: Callable[[], Awaitable[Any]], **facts: Any
    ) -> Any:
        """Return what `call` returns; None if the session is gone or it was refused."""
        operation = self.history.begin(self.actor, kind, session, **facts)
        return await self._answer(operation, call)

    async def resolve(self, store: SessionStore, key: str = KEY) -> str:
        """Return the session that `key` names."""
        operation = self.history.begin(self.actor, "resolve", key=key)
        session: str = await self._answer(operation, lambda: store.resolve(key))
        return session

    async def read(self, store: SessionStore, session: str) -> None:
        """Read all messages, and count them."""

        async def names() -> list[str]:
            return [message.id for message in await store.get_messages(session)]

        async def number() -> int:
            metadata = await store.get_metadata(session)
            if metadata is None:
                raise SessionNotFoundError(session)
            return metadata.message_count

        await self.ask("read", session, names)
        await self.ask("count", session, number)

    async def append(self, store: SessionStore, session: str, name: str, **given: Any) -> Any:
        """Append one message under the id `name`."""
        message = {"id": name, "type": "user", "content": name, **given}
        facts: dict[str, Any] = {"ids": [name]}
        if "parent_id" in given:
            facts["parent"] = given["parent_id"]
        return await self.ask("append", session, lambda: store.append(session, message), **facts)

    async def append_many(self, store: SessionStore, session: str, names: Sequence[str]) -> Any:
        """Append a batch of messages under these ids."""
        batch = [{"id": name, "type": "user", "content": name} for name in names]
        return await self.ask(
            "append_many",
            session,
            lambda: store.append_many(session, batch),
            ids=list(names),
        )

    async def _answer(self, operation: Operation, call: Callable[[], Awaitable[Any]]) -> Any:
        try:
            answer = await call()
        except (SessionNotFoundError, MessageNotFoundError, UnknownParentError) as error:
            operation.fail(error)
            return None
        except AppendUnknownError as error:
            operation.unknown(error)
            raise
        operation.ok(answer if isinstance(answer, str | int | list) and _plain(answer) else None)
        return answer


def _plain(answer: Any) -> bool:
    return not isinstance(answer, list) or all(isinstance(item, str) for item in answer)


async def append_some(store: SessionStore, mark: int, count: int) -> list[str]:
    """Append messages that continue from the head, and read now and then."""
    notes = Notes(f"w{mark}")
    session = await notes.resolve(store)
    for number in range(count):
        await notes.append(store, session, f"{mark}-{number}")
        if number % 5 == mark % 5:
            await notes.read(store, session)
    return notes.lines()


async def append_batches(store: SessionStore, mark: int, count: int) -> list[str]:
    """Append batches of two to four messages, with single ones between them."""
    notes = Notes(f"w{mark}")
    session = await notes.resolve(store)
    for number in range(count):
        names = [f"{mark}-{number}-{place}" for place in range(2 + number % 3)]
        await notes.append_many(store, session, names)
        await notes.append(store, session, f"{mark}-{number}-alone")
        await notes.read(store, session)
    return notes.lines()


async def append_until_refused(store: SessionStore, mark: int, count: int) -> list[str]:
    """Append, to whatever session the key names, until it is gone."""
    notes = Notes(f"w{mark}")
    session = await notes.resolve(store)
    for number in range(count):
        if await notes.append(store, session, f"{mark}-{number}") is None:
            break
        await notes.read(store, session)
    return notes.lines()


async def delete_after(store: SessionStore, count: int) -> list[str]:
    """Delete the session as soon as it has `count` messages."""
    notes = Notes("deleter")
    session = await notes.resolve(store)
    async with aclosing(store.subscribe(session)) as messages:
        async for _ in messages:
            count -= 1
            if not count:
                break
    await notes.ask("delete", session, lambda: store.delete_session(session))
    return notes.lines()


async def reset_often(store: SessionStore, times: int) -> list[str]:
    """Append a message and hide everything up to there, a few times."""
    notes = Notes("resetter")
    session = await notes.resolve(store)
    for number in range(times):
        await notes.append(store, session, f"reset-{number}")
        await notes.ask("reset", session, lambda: store.reset_session(session))
        await notes.read(store, session)
    return notes.lines()


async def answer_all(store: SessionStore, mark: int, parents: Sequence[str]) -> list[str]:
    """Append an answer to each of these messages."""
    notes = Notes(f"w{mark}")
    session = await notes.resolve(store)
    for parent in parents:
        await notes.append(store, session, f"{mark}-to-{parent}", parent_id=parent)
    return notes.lines()


async def say_the_same(store: SessionStore, count: int) -> list[tuple[str, str | None]]:
    """Append messages that every caller appends, and return each as it was answered."""
    session = await store.resolve(KEY)
    said = []
    for number in range(count):
        message = {"id": f"same-{number}", "type": "user", "content": f"same {number}"}
        answer = await store.append(session, message)
        said.append((answer.id, answer.parent_id))
    return said


async def resolve_all(store: SessionStore, keys: Sequence[str]) -> list[str]:
    """Return the sessions that these keys name."""
    return [await store.resolve(key) for key in keys]


async def count_up(store: SessionStore, times: int) -> None:
    """Under the lock, append the number of messages that are there."""
    chat = await store.session(KEY)

    async def step() -> None:
        seen = len(await chat.messages())
        await chat.append("user", str(seen))

    for number in range(times):
        if number % 2:
            await store.with_lock(chat.id, None, step)
        else:
            async with store.lock(chat.id):
                await step()


async def follow(store: SessionStore, count: int) -> list[str]:
    """Return the names of the first `count` messages as they come."""
    session = await store.resolve(KEY)
    names: list[str] = []
    async with aclosing(store.subscribe(session)) as messages:
        async for message in messages:
            names.append(message.id)
            if len(names) == count:
                break
    return names


async def make_sessions(store: SessionStore, mark: int, count: int) -> None:
    """Make sessions, and delete every other one."""
    for number in range(count):
        session = await store.resolve(f"new-{mark}-{number}")
        if number % 2:
            await store.delete_session(session)


async def list_often(store: SessionStore, times: int) -> list[list[str]]:
    """Return the ids of all sessions, as pages of three show them, each time anew."""
    listings = []
    for _ in range(times):
        names: list[str] = []
        after: str | None = None
        while True:
            page = await store.list_sessions(sort="created", after=after, limit=3)
            names += [session.session_id for session in page.sessions]
            after = page.after
            if after is None:
                break
        listings.append(names)
    return listings


async def set_fields(store: SessionStore, field: str, values: Sequence[Any]) -> None:
    """Set one field of the metadata to each of these values."""
    session = await store.resolve(KEY)
    for value in values:
        await store.update_metadata(session, {field: value})


async def go_between_branches(store: SessionStore, mark: int, times: int) -> list[str]:
    """Say something on a branch of one's own, and switch back to it, again and again."""
    notes = Notes(f"w{mark}")
    session = await notes.resolve(store)
    root = await notes.append(store, session, f"{mark}-root", parent_id=None)
    await store.create_branch(session, f"branch {mark}", root.id)
    for number in range(times):
        await store.switch_to_branch(session, f"branch {mark}")
        await notes.append(store, session, f"{mark}-{number}")
    return notes.lines()
