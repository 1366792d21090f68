"""Tasks that are cancelled while they wait."""

import asyncio
from functools import partial

from session_store.files.filesystem import FileSystem

from . import works
from .base import Suite
from .folder import Folder
from .racing import Work


async def _cancelled(files: FileSystem, work: Work, turns: int) -> bool:
    """Return whether the work was done before it was cancelled, after so many turns."""
    task = asyncio.ensure_future(work(files))
    for _ in range(turns):
        await asyncio.sleep(0)
    task.cancel()
    done = await asyncio.gather(task, return_exceptions=True)
    if isinstance(done[0], Exception):
        raise done[0]
    return not task.cancelled()


class CancelTests(Suite):
    """Tasks that are cancelled while they wait."""

    def test_cancel_of_an_append_leaves_it_whole_or_out(self, loose: Folder) -> None:
        """A cancelled append is there as a whole or not at all, and the next one follows it."""
        size = loose.append("log", b"start")

        for turns in range(12):
            work = partial(works.add, path=loose.path("log"), data=b"<data>")
            done = loose.do(_cancelled(loose.files, work, turns))

            found = loose.append("log", b".")
            added = found - size - 1
            assert added in ({6} if done else {0, 6})
            assert loose.read("log", size) == b"<data>"[:added] + b"."
            size = found

    def test_cancel_of_a_write_leaves_old_or_new(self, loose: Folder) -> None:
        """A cancelled write leaves the old content or the new one, and no other name."""
        for turns in range(12):
            old = b"old" * (turns + 1)
            loose.write("a/file", old)
            work = partial(works.write_often, path=loose.path("a/file"), contents=[b"new"])
            done = loose.do(_cancelled(loose.files, work, turns))

            tree = loose.tree()
            assert tree.pop("a/file") in ({b"new"} if done else {old, b"new"})
            assert tree == {"a/": None}

    def test_cancel_of_one_sync_leaves_the_others(self, loose: Folder) -> None:
        """Cancelling one caller of `sync` cancels no other that waits for the same file."""
        loose.append("log", b"1")

        async def sync_all() -> list[BaseException | None]:
            path = loose.path("log")
            tasks = [asyncio.ensure_future(loose.files.sync(path)) for _ in range(4)]
            await asyncio.sleep(0)
            tasks[0].cancel()
            return await asyncio.gather(*tasks[1:], return_exceptions=True)

        assert loose.do(sync_all()) == [None] * 3
        loose.sync("log")
