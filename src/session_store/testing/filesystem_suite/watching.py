"""Waiting for an answer that may never come."""

import asyncio
import threading
from collections.abc import Callable, Coroutine
from typing import Any, Final

from session_store.files.filesystem import FileSystem
from session_store.runtime import run

from .folder import Folder

Work = Callable[[FileSystem], Coroutine[Any, Any, None]]

# Not how fast an answer must be: how long we wait before we say that none comes.
PATIENCE_SECONDS: Final = 20


def answer_of(folder: Folder, call: Work, *, meanwhile: Work | None = None) -> None:
    """Return when `call` has returned, with `meanwhile` done while it may be waiting."""
    if folder.files.traits.blocking:
        answered = _in_threads(folder.files, call, meanwhile)
    else:
        answered = folder.do(_in_tasks(folder.files, call, meanwhile))
    assert answered, "it does not return"


def _in_threads(files: FileSystem, call: Work, meanwhile: Work | None) -> bool:
    # A daemon: a call that never returns must not keep the test run from ending.
    thread = threading.Thread(target=lambda: run(call(files)), daemon=True)
    thread.start()
    if meanwhile is not None:
        run(meanwhile(files))
    thread.join(PATIENCE_SECONDS)
    return not thread.is_alive()


async def _in_tasks(files: FileSystem, call: Work, meanwhile: Work | None) -> bool:
    task = asyncio.ensure_future(call(files))
    await asyncio.sleep(0)
    if meanwhile is not None:
        await meanwhile(files)
    done, _ = await asyncio.wait([task], timeout=PATIENCE_SECONDS)
    task.cancel()
    return bool(done)
