"""Processes that race: started once for a class of tests, ended with it."""

import asyncio
import multiprocessing
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.context import SpawnProcess
from multiprocessing.reduction import ForkingPickler
from typing import Any, Final

from session_store.files.filesystem import FileSystem
from session_store.runtime import run

PROCESSES: Final = 2
ANSWER_SECONDS: Final = 60
END_SECONDS: Final = 5


class Children:
    """As many processes as a small machine can run at once; none before the first race."""

    def __init__(self) -> None:
        self._children: list[tuple[SpawnProcess, Connection]] = []

    def run(self, reopen: Callable[[], FileSystem], works: Sequence[Any]) -> list[Any]:
        """Return what each work returned, on a file system that its process opened for it."""
        self._start()
        connections = [connection for _, connection in self._children[: len(works)]]
        for connection, work in zip(connections, works, strict=True):
            connection.send((reopen, work))
        for connection in connections:
            _answer(connection)
        for connection in connections:
            connection.send("go")
        return [_answer(connection) for connection in connections]

    def close(self) -> None:
        """End the processes."""
        for _, connection in self._children:
            connection.close()
        for process, _ in self._children:
            process.join(END_SECONDS)
            if process.exitcode is None:
                process.kill()
                process.join()
            process.close()
        self._children.clear()

    def _start(self) -> None:
        # Not forked: this process has threads and an event loop, a child could use neither.
        context = multiprocessing.get_context("spawn")
        while len(self._children) < PROCESSES:
            ours, theirs = context.Pipe()
            process = context.Process(target=serve, args=(theirs,), daemon=True)
            process.start()
            theirs.close()
            self._children.append((process, ours))


def can_travel(reopen: Callable[[], FileSystem]) -> bool:
    """Return whether another process can be given this function."""
    try:
        ForkingPickler.dumps(reopen)
    except Exception:
        # Whatever pickling raises: it is not for us to say what an author hands in.
        return False
    return True


def serve(connection: Connection) -> None:
    """Work, in a child, until the parent hangs up."""
    while True:
        try:
            reopen, work = connection.recv()
        except EOFError:
            return
        try:
            answer = (True, _work(reopen, work, connection))
        except BaseException:
            answer = (False, traceback.format_exc())
        connection.send(answer)


def _work(reopen: Callable[[], FileSystem], work: Any, connection: Connection) -> Any:
    files = reopen()
    with asyncio.Runner() as runner:
        drive = run if files.traits.blocking else runner.run
        connection.send((True, None))
        connection.recv()
        try:
            return drive(work(files))
        finally:
            drive(files.close())


def _answer(connection: Connection) -> Any:
    assert connection.poll(ANSWER_SECONDS), "a process does not answer"
    good, answer = connection.recv()
    assert good, f"in another process:\n{answer}"
    return answer
