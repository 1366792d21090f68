"""The index on real files: processes, threads, an event loop, a fork."""

import asyncio
import os
import subprocess
import sys
import threading
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from index_kit import SNAPSHOT, closed, meta, opened, recount, state_of

from session_store.event_loop import AsyncRuntime
from session_store.files import RealFileSystem
from session_store.index import JournalIndex, rotation
from session_store.runtime import run

ENVIRONMENT = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}

RESOLVE = """
import sys
sys.path.insert(0, sys.argv[2])
from index_kit import meta, opened
from session_store.files import RealFileSystem
from session_store.index import rotation
from session_store.runtime import BlockingRuntime, run

rotation.ROTATE_BYTES = 2000
index = opened(RealFileSystem(sys.argv[1]))
print("ready", flush=True)
sys.stdin.readline()
for number in range(50):
    key = f"key:{number}"
    found = run(index.resolve_key(key))
    if found is None:
        new = BlockingRuntime().new_id()
        found = run(index.register(new, key, meta(new)))
    print(key, found)
run(index.close())
"""


def test_eight_processes_that_resolve_the_same_keys_get_the_same_sessions(tmp_path: Path) -> None:
    here = str(Path(__file__).parent)
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", RESOLVE, str(tmp_path), here],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=ENVIRONMENT,
        )
        for _ in range(8)
    ]
    for process in processes:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"

    answers = set()
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in processes:
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        answers.add(out)

    assert len(answers) == 1
    index = opened(RealFileSystem(tmp_path))
    keys, ids = state_of(index)
    assert len(keys) == len(ids) == 50
    assert answers == {"".join(f"key:{n} {keys[f'key:{n}']}\n" for n in range(50))}


def test_threads_share_one_index(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rotation, "ROTATE_BYTES", 2000)
    index = opened(RealFileSystem(tmp_path))
    answers: list[list[str]] = []

    def work(name: int) -> None:
        found = [run(index.register(f"s{name}-{n}", f"k{n}", meta("x"))) for n in range(30)]
        answers.append(found)

    threads = [threading.Thread(target=work, args=(name,)) for name in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(answers) == 6
    assert all(found == answers[0] for found in answers)
    assert state_of(opened(RealFileSystem(tmp_path))) == (
        {f"k{n}": answers[0][n] for n in range(30)},
        set(answers[0]),
    )


async def test_tasks_share_one_sync(tmp_path: Path) -> None:
    files = RealFileSystem(tmp_path, runtime=AsyncRuntime())
    commits = 0
    under_way = 0
    together = 0

    async def commit(path: str) -> None:
        nonlocal commits, under_way, together
        commits += 1
        under_way += 1
        together = max(together, under_way)
        await files.sync(path)
        under_way -= 1

    index = JournalIndex(files, AsyncRuntime(), commit=commit, recount=recount)
    await index.load()

    ids = await asyncio.gather(
        *(index.register(f"s{n}", f"k{n % 10}", meta(f"s{n}")) for n in range(40))
    )

    assert len(set(ids)) == 10
    assert together > 1
    await index.close()


async def test_a_cancelled_change_leaves_the_index_usable(tmp_path: Path) -> None:
    files = RealFileSystem(tmp_path, runtime=AsyncRuntime())
    index = JournalIndex(files, AsyncRuntime(), commit=files.sync, recount=recount)
    await index.load()

    for turns in range(12):
        task = asyncio.create_task(index.register(f"c{turns}", f"c{turns}", meta(f"c{turns}")))
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    assert await index.register("after", "after", meta("after")) == "after"
    found = set(await index.all_ids())
    await index.close()
    assert set(run(opened(RealFileSystem(tmp_path)).all_ids())) == found


def test_a_forked_child_leaves_to_the_parent_what_the_parent_noted(tmp_path: Path) -> None:
    index = opened(RealFileSystem(tmp_path), save_delay_ms=60_000)
    run(index.register("s1", "k1", meta("s1")))
    run(index.note_append("s1", 10, None))
    run(index.note_append("s1", 20, None))
    size = (tmp_path / "sessions.1.jsonl").stat().st_size

    child = os.fork()
    if not child:
        try:
            run(index.flush())
            same = (tmp_path / "sessions.1.jsonl").stat().st_size == size
            run(index.register("s2", "k2", meta("s2")))
            os._exit(0 if same else 1)
        finally:
            os._exit(2)
    _, status = os.waitpid(child, 0)

    assert os.waitstatus_to_exitcode(status) == 0
    assert run(index.resolve_key("k2")) == "s2"
    run(index.close())
    assert '"updatedAt":20' in (tmp_path / SNAPSHOT).read_text()


READ = """
import os, sys
sys.path.insert(0, sys.argv[2])
from index_kit import opened
from session_store.files import RealFileSystem
from session_store.runtime import run

if os.getuid() == 0:  # who may write everything has to become somebody else
    os.setgid(65534)
    os.setuid(65534)
index = opened(RealFileSystem(sys.argv[1]))
print(run(index.resolve_key("k1")))
run(index.close())
"""


@pytest.mark.parametrize("lagging", [False, True])
def test_who_may_only_read_can_read(lagging: bool) -> None:
    # Not in tmp_path: that is closed to others.
    with TemporaryDirectory() as folder:
        root = Path(folder, "store")
        run(opened(RealFileSystem(root)).register("s1", "k1", meta("s1")))
        if not lagging:
            closed(RealFileSystem(root))
        assert ("k1" in (root / SNAPSHOT).read_text()) is not lagging
        Path(folder).chmod(0o755)
        for path in (*root.iterdir(), root):
            path.chmod(0o555)
        before = {file.name: file.stat().st_mtime_ns for file in root.iterdir()}

        done = subprocess.run(
            [sys.executable, "-c", READ, str(root), str(Path(__file__).parent)],
            capture_output=True,
            text=True,
            check=False,
            env=ENVIRONMENT,
        )
        root.chmod(0o755)  # for who removes it

        assert done.stdout == "s1\n", done.stderr
        assert {file.name: file.stat().st_mtime_ns for file in root.iterdir()} == before


def test_a_hundred_thousand_sessions_open(tmp_path: Path) -> None:
    record = '{"sessionId":"s%d","createdAt":%d,"updatedAt":%d,"messageCount":1}'
    sessions = ",".join(f'"s{n}":' + record % (n, n, n) for n in range(100_000))
    keys = ",".join(f'"k{n}":"s{n}"' for n in range(100_000))
    (tmp_path / SNAPSHOT).write_text(f'{{"keys":{{{keys}}},"sessions":{{{sessions}}}}}')

    index = opened(RealFileSystem(tmp_path))

    assert run(index.resolve_key("k77777")) == "s77777"
    assert run(index.keys_of("s5")) == ["k5"]
    page = run(index.page(limit=2))
    assert [metadata.session_id for metadata in page.sessions] == ["s99999", "s99998"]
