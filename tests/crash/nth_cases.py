"""Every public operation of a store, as something that can be tried again and again."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any

from nth_world import World

Act = Callable[["Face", World], Awaitable[Any]]

CASES: dict[str, Act] = {}
"""By the name of what is called, and after a space how."""

MOST = 50
"""How much of something endless is taken."""


class Face:
    """A store or a handle, called alike whether it waits or blocks."""

    def __init__(self, target: Any) -> None:
        self.target = target

    async def call(self, name: str, *args: Any, **facts: Any) -> Any:
        value = getattr(self.target, name)(*args, **facts)
        return await value if inspect.isawaitable(value) else value

    async def take(self, name: str, *args: Any, count: int = MOST, **facts: Any) -> list[Any]:
        """Return the first `count` of what is yielded, and let the rest go."""
        stream = getattr(self.target, name)(*args, **facts)
        taken: list[Any] = []
        if inspect.isasyncgen(stream):
            try:
                async for item in stream:
                    taken.append(item)
                    if len(taken) == count:
                        break
            finally:
                await stream.aclose()
        else:
            try:
                for item in stream:
                    taken.append(item)
                    if len(taken) == count:
                        break
            finally:
                stream.close()
        return taken

    async def hold(self, body: Callable[[], Awaitable[Any]], *args: Any, **facts: Any) -> Any:
        """Do `body` while holding the lock."""
        lock = self.target.lock(*args, **facts)
        if isinstance(lock, AbstractAsyncContextManager):
            async with lock:
                return await body()
        assert isinstance(lock, AbstractContextManager)
        with lock:
            return await body()


def case(act: Act) -> Act:
    """Keep a case; the name of its function is that of the operation, and what is special."""
    name, _, special = act.__name__.partition("__")
    CASES[f"{name} {special.replace('_', ' ')}".strip()] = act
    return act


def simple(name: str, arguments: Callable[[World], tuple[Any, ...]], **facts: Any) -> None:
    """Keep the case of a plain call, for the store and, where it has that, for the handle."""
    special = facts.pop("special", "")

    async def act(face: Face, world: World) -> Any:
        return await face.call(name, *arguments(world), **facts)

    CASES[f"{name} {special}".strip()] = act


def _message(number: str, **fields: Any) -> dict[str, Any]:
    return {"id": number, "type": "user", "content": f"said {number}", **fields}


simple("init", lambda w: ())
simple("flush", lambda w: ())
simple("flush", lambda w: (), special="a snapshot", snapshot=True)
simple("resolve", lambda w: ("k",))
simple("resolve", lambda w: ("fresh",), special="a new key")
simple("delete_session", lambda w: (w.session,))
simple("delete_session_by_key", lambda w: ("k",))
simple("reset_session", lambda w: (w.session,))
simple("has_session", lambda w: (w.session,))
simple("has_key", lambda w: ("k",))
simple("get_session_id", lambda w: ("k",))
simple("get_session_keys", lambda w: (w.session,))
simple("get_all_session_ids", lambda w: ())
simple("get_all_keys", lambda w: ())
simple("add_key", lambda w: ("more", w.session))
simple("add_key", lambda w: ("o", w.session), special="of another session")
simple("remove_key", lambda w: ("k2",))
simple("get_metadata", lambda w: (w.session,))
simple("get_metadata_by_key", lambda w: ("k",))
simple("update_metadata", lambda w: (w.session, {"userId": "bob"}))
simple("list_sessions", lambda w: ())
simple("append", lambda w: (w.session, {"type": "user", "content": "said"}))
simple("append", lambda w: (w.session, _message("a1")), special="with an id")
simple("append", lambda w: (w.session, _message("a1", parent_id="m3")), special="below another")
simple("append", lambda w: (w.session, _message("a1", parent_id=None)), special="a root")
simple("append", lambda w: (w.session, _message("m6", parent_id="m2")), special="a twin")
simple("append_many", lambda w: (w.session, [_message(f"a{n}") for n in range(3)]))
simple(
    "append_many",
    lambda w: (w.session, [{"type": "user", "content": f"said {n}"} for n in range(3)]),
    special="without ids",
)
simple("get_messages", lambda w: (w.session,))
simple("get_messages", lambda w: (w.session,), special="with those reset", include_reset=True)
simple("get_message", lambda w: (w.session, "m4"))
simple("get_head", lambda w: (w.session,))
simple("get_linear_history", lambda w: (w.session,))
simple("get_linear_history", lambda w: (w.session,), special="the last", limit=2)
simple("get_linear_history", lambda w: (w.session, "b2"), special="of a leaf")
simple("get_context", lambda w: (w.session,))
simple("get_context", lambda w: (w.session,), special="in a budget", max_messages=2)
simple("get_children", lambda w: (w.session, "m4"))
simple("has_children", lambda w: (w.session, "m4"))
simple("get_tree", lambda w: (w.session,))
simple("get_tree", lambda w: (w.session, "m4"), special="of a message")
simple("create_branch", lambda w: (w.session, "new"))
simple("create_branch", lambda w: (w.session, "side", "b1"), special="of a name in use")
simple("create_branch", lambda w: (w.session, "dead", "b1"), special="of a name given up")
simple("get_branches", lambda w: (w.session,))
simple("get_branch", lambda w: (w.session, "side"))
simple("switch_to_branch", lambda w: (w.session, "side"))
simple("delete_branch", lambda w: (w.session, "side"))
simple("acquire_lock", lambda w: (w.session, "me"))
simple("acquire_lock", lambda w: (w.session, "me"), special="waiting", wait=True, timeout_ms=40)
simple("release_lock", lambda w: (w.session, "me"))
simple("is_locked", lambda w: (w.session,))
simple("get_lock", lambda w: (w.session,))
simple("force_release", lambda w: (w.session,))
simple("check", lambda w: ())
simple("check", lambda w: (), special="and repair", repair_index=True)


@case
async def open(face: Face, world: World) -> Any:
    """What `open` gives is tried by all the others: here it is entered, used and left."""
    return await face.call("has_session", world.session)


@case
async def close(face: Face, world: World) -> Any:
    return await face.call("close")


@case
async def session(face: Face, world: World) -> Any:
    return (await face.call("session", "fresh")).key


@case
async def stream_messages(face: Face, world: World) -> Any:
    return await face.take("stream_messages", world.session)


@case
async def stream_messages__with_those_reset(face: Face, world: World) -> Any:
    return await face.take("stream_messages", world.session, include_reset=True)


@case
async def subscribe(face: Face, world: World) -> Any:
    count = {"rich": 6, "held": 6}.get(world.name, 1)
    return await face.take("subscribe", world.session, count=count)


@case
async def subscribe__behind_a_message(face: Face, world: World) -> Any:
    return await face.take("subscribe", world.session, count=1, after="m5", durable=True)


@case
async def list_sessions__in_pages(face: Face, world: World) -> Any:
    after, found = None, []
    while True:
        page = await face.call("list_sessions", sort="created", limit=1, after=after)
        found += page.sessions
        after = page.after
        if after is None:
            return sorted(one.session_id for one in found)


@case
async def lock(face: Face, world: World) -> Any:
    async def body() -> str:
        return "held"

    return await face.hold(body, world.session, timeout_ms=40)


@case
async def lock__by_a_name(face: Face, world: World) -> Any:
    async def body() -> str:
        return "held"

    return await face.hold(body, world.session, "me", timeout_ms=40)


@case
async def with_lock(face: Face, world: World) -> Any:
    if inspect.iscoroutinefunction(face.target.with_lock):

        async def slow() -> str:
            return "held"

        return await face.call("with_lock", world.session, None, slow, timeout_ms=40)
    return await face.call("with_lock", world.session, None, lambda: "held", timeout_ms=40)


@case
async def lock__and_append(face: Face, world: World) -> Any:
    async def body() -> Any:
        return await face.call("append", world.session, _message("a1"))

    return await face.hold(body, world.session, timeout_ms=40)
