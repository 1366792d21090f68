"""SQLite as many processes meet it: busy, stopped, killed, damaged, newer, somebody else's."""

import multiprocessing
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import apsw
import pytest
from faults_kit import said, worker

from session_store import SessionStoreError
from session_store.engines.sqlite import SQLiteFileSystem, schema
from session_store.engines.sqlite.database import BusyError, Database, _Use
from session_store.errors import ConfigError, CorruptionError, StorageFullError, UnavailableError
from session_store.runtime import run
from session_store.sync import SessionStore


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "store.db"


@pytest.fixture
def url(path: Path) -> str:
    return f"sqlite:///{path}"


def open_and_write(url: str, number: int, gate: Any, count: int) -> None:
    gate.wait()
    with SessionStore.open(url) as store:
        shared, own = store.session("shared"), store.session(f"own {number}")
        for n in range(count):
            shared.append("user", f"{number}-{n}")
            own.append("user", f"{n}")


def test_eight_processes_open_a_new_database_and_write_at_once(url: str) -> None:
    context = multiprocessing.get_context("spawn")
    gate = context.Barrier(8)
    processes = [
        context.Process(target=open_and_write, args=(url, number, gate, 40)) for number in range(8)
    ]

    for process in processes:
        process.start()
    for process in processes:
        process.join(120)

    assert [process.exitcode for process in processes] == [0] * 8
    with SessionStore.open(url) as store:
        said_ = [str(one.content) for one in store.session("shared").messages()]
        assert len(said_) == len(set(said_)) == 320
        for number in range(8):
            assert [one for one in said_ if one.startswith(f"{number}-")] == [
                f"{number}-{n}" for n in range(40)
            ]
            assert len(store.session(f"own {number}").messages()) == 40
        assert store.check().findings == []


def test_a_database_that_others_make_meanwhile_is_ours(
    url: str, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    check, made = schema.check, list[int]()

    class Slow:
        """Others make the tables while the first look at them is under way."""

        def __init__(self, connection: apsw.Connection) -> None:
            self.execute = connection.execute
            self._pragma = connection.pragma

        def pragma(self, name: str) -> object:
            found = self._pragma(name)
            if not made:
                made.append(1)
                with suppress(BusyError):
                    Database(str(path)).read(lambda _: None)
            return found

    monkeypatch.setattr(schema, "check", lambda connection: check(Slow(connection)))  # type: ignore[arg-type]

    with SessionStore.open(url) as store:
        store.session("k").append("user", "mine")

    assert made


def test_who_lost_every_race_for_a_lock_tries_again(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = [apsw.ProtocolError, apsw.BusyError, apsw.LockedError]
    check = schema.check

    def contended(connection: apsw.Connection) -> None:
        if answers:
            raise answers.pop()
        check(connection)

    monkeypatch.setattr(schema, "check", contended)
    with SessionStore.open(url) as store:
        assert store.session("k").append("user", "mine").content == "mine"

    assert answers == []


def test_writers_that_are_killed_lose_nothing_acknowledged(url: str, path: Path) -> None:
    acknowledged: set[str] = set()
    for round_ in range(6):
        workers = [worker("append", url, "k", f"{round_}-{n}", 100_000) for n in range(3)]
        lines = [said(process) for process in workers for _ in range(5 + round_)]
        for process in workers:
            process.kill()
            assert process.stdout is not None
            # The last line may be cut: what it would say was not said.
            lines += [line for line in process.stdout if line.endswith("\n")]
            process.communicate()
        acknowledged |= {line.split()[1] for line in lines if line.startswith("acknowledged")}

    with SessionStore.open(url) as store:
        messages = store.session("k").messages()
        ids = [one.id for one in messages]
        assert store.check().findings == []
    assert len(acknowledged) > 50
    assert acknowledged <= set(ids)
    assert len(ids) == len(set(ids))
    parents = [one.parent_id for one in messages]
    assert parents == [None, *ids[:-1]], "one chain"
    assert apsw.Connection(str(path)).pragma("integrity_check") == "ok"


def test_a_writer_that_is_stopped_amid_a_transaction_is_waited_for_and_no_longer(
    url: str, path: Path
) -> None:
    with SessionStore.open(url, io_timeout_ms=300) as store:
        chat = store.session("k")
        chat.append("user", "before")
        script = (
            "import apsw, sys, time\n"
            f"db = apsw.Connection({str(path)!r})\n"
            "db.execute('BEGIN IMMEDIATE')\n"
            "print('locked', flush=True)\n"
            "sys.stdin.readline()\n"
            "db.execute('ROLLBACK')\n"
            "print('free', flush=True)\n"
        )
        with subprocess.Popen(
            [sys.executable, "-c", script],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        ) as stopped:
            try:
                assert said(stopped) == "locked"
                stopped.send_signal(signal.SIGSTOP)

                with pytest.raises(UnavailableError, match="is one stopped"):
                    chat.append("user", "meanwhile")
                assert [one.content for one in chat.messages()] == ["before"]
            finally:
                stopped.send_signal(signal.SIGCONT)
            stopped.communicate("\n")
        chat.append("user", "after")

        assert [one.content for one in chat.messages()] == ["before", "after"]


def test_a_stopped_holder_that_goes_on_has_lost_its_lease(url: str) -> None:
    holder = worker("hold", url, "k", "first", 200)
    try:
        assert said(holder) == "locked True"
        holder.send_signal(signal.SIGSTOP)
        with SessionStore.open(url, lock_timeout_ms=200) as store:
            chat = store.session("k")
            with chat.lock("second", timeout_ms=30_000):
                chat.append("user", "words of second")
            holder.send_signal(signal.SIGCONT)
            assert holder.stdin is not None
            holder.stdin.write("\n")
            holder.stdin.flush()

            assert said(holder) == "lost"
            assert [one.content for one in chat.messages()] == ["words of second"]
    finally:
        holder.kill()
        holder.communicate()


def test_what_is_synced_is_synced_once_for_many(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    fdatasync = os.fdatasync
    monkeypatch.setattr(os, "fdatasync", lambda log: (synced.append(log), fdatasync(log)))
    with SessionStore.open(url) as store:
        chat = store.session("k")
        synced.clear()

        chat.append("user", "a")
        one = len(synced)
        chat.append_many([{"role": "user", "content": "b"}] * 1_000)

    assert one == 1, "a message is one sync"
    assert len(synced) <= 4, "so is a batch"


def test_most_appends_go_the_short_way_and_are_counted(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    long_way: list[str] = []
    append = SQLiteFileSystem.append

    async def counted(self: SQLiteFileSystem, path: str, *rest: Any, **options: Any) -> int:
        long_way.append(path)
        return await append(self, path, *rest, **options)

    with SessionStore.open(url, index_save_delay_ms=60_000) as store:
        chat = store.session("k")
        chat.append("user", "first")
        chat.append("user", "second")
        monkeypatch.setattr(SQLiteFileSystem, "append", counted)
        for number in range(50):
            chat.append("user", str(number))

    assert long_way == []
    with SessionStore.open(url) as store:
        known = store.get_metadata_by_key("k")
        assert known is not None and known.message_count == 52
        assert store.check().findings == []


def test_a_sync_that_was_not_made_is_not_said_to_be(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = SQLiteFileSystem(path)
    run(files.append("log", b"1"))
    assert files.append_now("log", b"2", 1)

    def busy() -> None:
        raise BusyError

    with monkeypatch.context() as patched:
        patched.setattr(files._access.database, "sync", busy)
        assert not files.sync_now("log")
    assert not files.sync_now("none")
    assert files.append_now("log", b"3", 2)
    assert files.sync_now("log")
    run(files.close())


def test_with_os_nothing_is_synced(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with SessionStore.open(url, durability="os") as store:
        chat = store.session("k")
        chat.append("user", "a")
        monkeypatch.setattr(os, "fdatasync", lambda _: pytest.fail("synced"))
        for _ in range(20):
            chat.append("user", "b")
        monkeypatch.undo()


def test_a_failed_sync_is_told_and_nothing_more_is_written(
    url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SessionStore.open(url)
    chat = store.session("k")
    chat.append("user", "before")

    def fail(_: int) -> None:
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(os, "fdatasync", fail)
    with pytest.raises(SessionStoreError):
        chat.append("user", "perhaps")
    monkeypatch.undo()

    for call in (lambda: chat.append("user", "after"), store.close):
        with pytest.raises(UnavailableError, match="open it anew"):
            call()
    with SessionStore.open(url) as again:
        found = [one.content for one in again.session("k").messages()]
    assert found in (["before"], ["before", "perhaps"])


def test_the_write_ahead_log_stays_small(url: str, path: Path) -> None:
    with SessionStore.open(url) as store:
        chat = store.session("k")
        for _ in range(60):
            chat.append_many([{"role": "user", "content": "x" * 1_000}] * 1_000)
        size = Path(f"{path}-wal").stat().st_size

    assert path.stat().st_size > 60_000_000
    assert size < 40_000_000


def test_the_view_shows_messages_to_people(url: str, path: Path) -> None:
    with SessionStore.open(url) as store:
        chat = store.session("telegram:1")
        first = chat.append("user", "What is 'SQL'?")
        chat.append(
            {
                "role": "assistant",
                "content": [{"type": "text", "text": "A"}, {"type": "text", "text": "B"}],
            }
        )
        chat.append_many([{"role": "user", "content": f"line {n}\nü"} for n in range(3)])
        chat.create_branch("b", first)
        chat.switch_to_branch("b")
        session_id = chat.id

        rows = list(
            apsw.Connection(str(path)).execute(
                "SELECT session_id, key, type, role, text, parent_id IS NULL FROM messages"
                " ORDER BY timestamp, message_id"
            )
        )

    texts = [row[4] for row in rows]
    assert sorted(texts) == sorted(["What is 'SQL'?", "A\nB", *(f"line {n}\nü" for n in range(3))])
    assert {row[:2] for row in rows} == {(session_id, "telegram:1")}
    assert [row[5] for row in rows if row[4] == "What is 'SQL'?"] == [1]


def test_the_view_shows_what_is_around_damage(url: str, path: Path) -> None:
    with SessionStore.open(url) as store:
        chat = store.session("k")
        chat.append_many([{"role": "user", "content": f"{n}" * 7} for n in range(3)])
        lines = (
            b'{"type":"message","content":"0"}\nnot JSON\n\xff\n\n'
            b'{"type":"message","timestamp":"noon","content":7}\n[]\n'
        )
        run(store._engine._files.append(f"{chat.id}/messages.jsonl", lines))
        chat.append("user", "after")

        view = apsw.Connection(str(path)).execute(
            "SELECT text, timestamp IS NULL FROM messages ORDER BY position"
        )
        rows = list(view)

    assert rows == [
        *((f"{n}" * 7, 0) for n in range(3)),
        ("0", 1),
        (None, 1),
        ("after", 0),
    ]


@pytest.mark.parametrize("library", [apsw.Connection, sqlite3.connect])
@pytest.mark.parametrize(
    ("odd", "shown"),
    [
        (b'{"type":"user","content":["of one","list",{"text":"c"},null,{"text":"d"}]}', ["c\nd"]),
        (b'{"type":"user","content":"raw \0"}', []),
        (b"\0\0\0", []),
        (b'{"type":"user","content":"c"}\r', ["c"]),
        (b'{"type":{"a":1},"id":7,"role":[],"timestamp":1e400,"content":"c"}', ["c"]),
        (b"]", []),
        (b"{type:'user',content:'c'}", []),
        (b'{"type":"user","content":' + b"[" * 3_000 + b"]" * 3_000 + b"}", []),
    ],
)
def test_the_view_shows_odd_lines_or_leaves_them_out_and_hides_no_other(
    odd: bytes, shown: list[str], library: Callable[[str], Any], url: str, path: Path
) -> None:
    before, after = (b'{"type":"user","content":"%s"}' % one for one in (b"before", b"after"))
    with SessionStore.open(url) as store:
        chat = store.session("k")
        lines = b"\n".join([before, odd, after]) + b"\n"
        run(store._engine._files.append(f"{chat.id}/messages.jsonl", lines))
    database = library(str(path))

    view = database.execute("SELECT text, timestamp, json FROM messages ORDER BY position")
    texts = [text for text, _, _ in view]

    assert texts == ["before", *shown, "after"]
    database.close()


@pytest.mark.parametrize("asked", ["", "WHERE session_id = 'x'", "WHERE key = 'k'", "LIMIT 1"])
def test_the_view_goes_from_files_to_their_chunks_by_an_index(
    asked: str, url: str, path: Path
) -> None:
    with SessionStore.open(url) as store:
        store.session("k").append("user", "a")

    plan = apsw.Connection(str(path)).execute(f"EXPLAIN QUERY PLAN SELECT * FROM messages {asked}")
    steps = [step for _, _, _, step in plan]

    assert "file" in steps[0]
    assert "SEARCH chunk USING INTEGER PRIMARY KEY (rowid>? AND rowid<?)" in steps


def test_the_view_shows_each_message_of_a_batch_of_many_megabytes(url: str, path: Path) -> None:
    with SessionStore.open(url) as store:
        store.session("k").append_many(
            [{"role": "user", "content": f"{n}" * 700_000} for n in range(10, 40)]
        )

        view = apsw.Connection(str(path)).execute("SELECT substr(text, 1, 2) FROM messages")
        rows = [text for (text,) in view]

    assert sorted(rows) == [f"{n}" for n in range(10, 40)]


def test_a_child_after_a_fork_opens_the_database_anew(url: str) -> None:
    with SessionStore.open(url) as store:
        chat = store.session("k")
        chat.append("user", "before")
        child = os.fork()
        if not child:
            try:
                chat.append("user", "of the child")
                os._exit(0)
            except BaseException:
                os._exit(1)
        status = os.waitpid(child, 0)[1]
        chat.append("user", "of the parent")

        assert os.waitstatus_to_exitcode(status) == 0
        said_ = [one.content for one in chat.messages()]
        assert said_ == ["before", "of the child", "of the parent"]
        assert store.check().findings == []


def foreign(path: Path) -> None:
    with apsw.Connection(str(path)) as db:
        db.execute("CREATE TABLE wallet (coins)")


def newer(path: Path) -> None:
    with SessionStore.open(f"sqlite:///{path}") as store:
        store.session("k")
    with apsw.Connection(str(path)) as db:
        db.pragma("user_version", schema.VERSION + 1)


def no_database(path: Path) -> None:
    path.write_bytes(b"Dear diary, " * 1_000)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (foreign, "belongs to something else"),
        (newer, "pip install -U session-store"),
        (no_database, "no SQLite database"),
    ],
)
def test_what_is_not_ours_to_write_is_refused_and_left_alone(
    make: Callable[[Path], None], says: str, url: str, path: Path
) -> None:
    make(path)
    before = path.read_bytes()

    with pytest.raises(ConfigError, match=says):
        SessionStore.open(url).init()

    assert path.read_bytes() == before


def test_a_damaged_page_hinders_only_what_stands_in_it(url: str, path: Path) -> None:
    with SessionStore.open(url) as store:
        for number in range(40):
            store.session(f"k{number}").append_many(
                [{"role": "user", "content": f"{n} " * 300} for n in range(20)]
            )
    data = bytearray(path.read_bytes())
    place = data.index(b"19 " * 100, len(data) // 2) // 4096 * 4096
    data[place : place + 8] = b"\xff" * 8
    path.write_bytes(data)

    fine = damaged = 0
    with SessionStore.open(url) as store:
        for number in range(40):
            try:
                found = len(store.session(f"k{number}").messages())
                fine += found == 20
                damaged += found < 20
            except CorruptionError as error:
                damaged += 1
                assert "recover" in str(error)
        store.session("another").append("user", "it goes on")

    assert fine >= 35
    assert damaged >= 1


def test_a_full_disk_is_told_and_nothing_is_half_there(path: Path) -> None:
    files = SQLiteFileSystem(path)
    run(files.append("a/log", b"before\n"))
    with _Use(files._access.database) as db:
        db.pragma("max_page_count", db.pragma("page_count") + 2)

        def fill() -> None:
            for _ in range(100):
                run(files.append("a/log", b"x" * 4_000))

    with pytest.raises(StorageFullError):
        fill()
    size = run(files.stat("a/log")).size

    assert (size - len(b"before\n")) % 4_000 == 0
    assert len(run(files.read("a/log"))) == size
    run(files.close())


@pytest.mark.parametrize(
    "url",
    [
        "sqlite:",
        "sqlite:store.db",
        "sqlite://store.db",
        "sqlite://host/store.db",
        "sqlite:///",
        "sqlite:///:memory:",
        "sqlite:///a.db?mode=ro",
        "sqlite:///a%00.db",
        "sqlite://[x",
        "sqlite:///\ud800.db",
        "sqlite:a/sqlite:///b.db",
    ],
)
def test_a_url_that_names_no_file_is_refused(url: str) -> None:
    with pytest.raises(ConfigError, match=r"sqlite:"):
        SessionStore.open(url)


def test_a_name_is_what_stands_in_the_url(tmp_path: Path) -> None:
    with SessionStore.open(f"sqlite:///{tmp_path}/a\tb [ü] %25.db") as store:
        store.session("k")

    assert (tmp_path / "a\tb [ü] %.db").exists()


def test_a_folder_that_is_missing_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="make it first"):
        SessionStore.open(f"sqlite:///{tmp_path}/no/store.db").init()
