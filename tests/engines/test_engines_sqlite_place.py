"""SQLite's files as others handle them: linked, moved, removed, forked, on a network, grown."""

import asyncio
import multiprocessing
import os
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Awaitable, Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw
import pytest

from session_store.engines.sqlite import SQLiteFileSystem
from session_store.engines.sqlite.access import Access
from session_store.engines.sqlite.database import Database, _Use
from session_store.errors import ConfigError, SessionStoreError, UnavailableError
from session_store.event_loop import AsyncRuntime
from session_store.files import mounts
from session_store.runtime import run
from session_store.sync import SessionStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


def in_a_child(deed: Callable[[], object], meanwhile: Callable[[], object]) -> int:
    """Do a deed twice in a child, and something here between; return how the child ended."""
    (here, child_writes), (in_child, writes) = os.pipe(), os.pipe()
    child = os.fork()
    if not child:
        try:
            deed()
            os.write(child_writes, b"!")
            os.read(in_child, 1)
            deed()
            os._exit(0)
        except BaseException:
            os._exit(1)
    os.close(child_writes)
    os.read(here, 1)
    meanwhile()
    os.write(writes, b"!")
    status = os.waitpid(child, 0)[1]
    for one in (here, in_child, writes):
        os.close(one)
    return os.waitstatus_to_exitcode(status)


def test_a_child_loses_nothing_when_its_parent_closes(url: str) -> None:
    store = SessionStore.open(url)
    chat = store.session("k")
    chat.append("user", "of the parent")

    status = in_a_child(lambda: chat.append("user", "of the child"), store.close)

    assert status == 0
    with SessionStore.open(url) as again:
        found = [one.content for one in again.session("k").messages()]
    assert found == ["of the parent", "of the child", "of the child"]


def test_a_child_loses_nothing_that_was_forked_while_another_thread_was_at_work(
    path: Path,
) -> None:
    inside, leave = threading.Event(), threading.Event()

    class Watched(Database):
        def before_fork(self) -> None:
            leave.set()
            super().before_fork()

    def wait(_: apsw.Connection) -> None:
        inside.set()
        leave.wait(10)

    def add(db: apsw.Connection) -> None:
        db.execute("INSERT INTO deleted_session SELECT count(*) FROM deleted_session")

    files = SQLiteFileSystem(path)
    database = files._access.database
    database.__class__ = Watched
    other = threading.Thread(target=database.read, args=(wait,))
    other.start()
    inside.wait()

    def close() -> None:
        other.join()
        database.close()

    status = in_a_child(lambda: database.change(add), close)

    assert status == 0
    again = apsw.Connection(str(path))
    assert again.execute("SELECT id FROM deleted_session").fetchall() == [("0",), ("1",)]


def remove_all(path: Path) -> None:
    for ending in ("", "-wal", "-shm"):
        os.remove(f"{path}{ending}")


def replace(path: Path) -> None:
    remove_all(path)
    run(SQLiteFileSystem(path).append("another/log", b"of another database"))


def take_the_log(path: Path) -> None:
    """Let go of this process's locks by another SQLite in it; then another process is the last."""
    with sqlite3.connect(path) as other:
        other.execute("SELECT count(*) FROM messages").fetchone()
    other.close()
    script = f"import apsw; apsw.Connection({str(path)!r}).execute('DELETE FROM deleted_session')"
    subprocess.run([sys.executable, "-c", script], check=True)
    assert not os.path.exists(f"{path}-wal"), "it was not removed"


@pytest.mark.parametrize("durability", ["fsync", "os"])
@pytest.mark.parametrize("harm", [remove_all, replace, take_the_log])
def test_nothing_is_acknowledged_that_goes_into_a_file_nobody_finds(
    harm: Callable[[Path], None], durability: str, url: str, path: Path
) -> None:
    store = SessionStore.open(url, durability=durability)
    chat = store.session("k")
    chat.append("user", "before")
    harm(path)

    for _ in range(2):
        with pytest.raises(SessionStoreError, match=r"removed.*open it anew"):
            chat.append("user", "after")
    with pytest.raises(SessionStoreError, match="removed"):
        chat.messages()

    with suppress(UnavailableError):  # as it may: there is nothing left to save
        store.close()


def test_a_database_that_was_removed_is_not_made_anew(path: Path) -> None:
    files = SQLiteFileSystem(path)
    run(files.append("a/log", b"one"))
    database = files._access.database
    remove_all(path)

    # While one connection is in use the next call opens another.
    with _Use(database), pytest.raises(UnavailableError, match="removed"):
        run(files.append("a/log", b"two"))

    assert not path.exists()


def test_a_link_to_a_database_is_as_durable(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    link = path.with_name("link.db")
    link.symlink_to(path)
    synced: list[int] = []
    fdatasync = os.fdatasync
    with SessionStore.open(f"sqlite:///{link}") as store:
        chat = store.session("k")
        monkeypatch.setattr(os, "fdatasync", lambda log: (synced.append(log), fdatasync(log)))

        chat.append("user", "a")

        assert len(synced) == 1
        assert os.path.samestat(os.fstat(synced[0]), os.stat(f"{path}-wal"))


def test_a_network_file_system_is_refused(
    url: str, path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = tmp_path / "mountinfo"
    told.write_text(f"1 1 0:1 / / rw - ext4 /dev/x rw\n2 1 0:2 / {tmp_path} rw - nfs4 host:/x rw\n")
    monkeypatch.setattr(mounts, "MOUNTS", str(told))

    with pytest.raises(ConfigError, match=r"network file system \(nfs4\)"):
        SessionStore.open(url).init()

    assert not path.exists()


class Clock(AsyncRuntime):
    """Time passes only where somebody sleeps."""

    seconds = 0.0

    def monotonic(self) -> float:  # type: ignore[override]  # a function there, of the class
        return self.seconds

    async def sleep(self, seconds: float) -> None:
        self.seconds += seconds
        await asyncio.sleep(0)


async def test_who_stands_in_line_waits_no_longer_than_the_first(path: Path) -> None:
    clock = Clock()
    access = Access(Database(str(path)), clock, io_timeout_ms=1_000)
    await access.read("", lambda _: None)
    other = apsw.Connection(str(path))
    other.execute("BEGIN IMMEDIATE")
    calls: list[Awaitable[Any]] = [access.change("", lambda _: None) for _ in range(20)]

    answers = await asyncio.gather(*calls, return_exceptions=True)

    other.close()
    assert [type(one) for one in answers] == [UnavailableError] * 20
    assert clock.seconds < 2
    access.database.close()


def test_an_error_that_ends_the_transaction_is_told_as_it_is(path: Path) -> None:
    def fail(connection: apsw.Connection) -> None:
        connection.execute("ROLLBACK")  # as SQLite does where the disk fails
        raise apsw.IOError("disk I/O error")

    with pytest.raises(UnavailableError, match="disk I/O error"):
        Database(str(path)).read(fail)


def append_much(path: Path, number: int, gate: Any) -> None:
    files = SQLiteFileSystem(path)
    run(files.append(f"{number}/log", b"x"))
    gate.wait()
    for _ in range(1_500):
        run(files.append(f"{number}/log", b"x" * 4_000))
    run(files.close())


def test_the_write_ahead_log_stays_small_where_somebody_always_writes(path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(4)
    files = SQLiteFileSystem(path)
    run(files.append("a/log", b"x"))
    processes = [
        context.Process(target=append_much, args=(path, number, gate)) for number in range(4)
    ]

    for process in processes:
        process.start()
    for process in processes:
        process.join(120)

    assert [process.exitcode for process in processes] == [0] * 4
    assert os.path.getsize(f"{path}-wal") < 100_000_000
    run(files.close())
