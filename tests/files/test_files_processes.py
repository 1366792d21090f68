"""Several processes on one root: they agree, and one that is stopped or dies harms no other."""

import fcntl
import os
import signal
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from session_store.errors import UnavailableError
from session_store.files import RealFileSystem
from session_store.runtime import run

Spawn = Callable[..., "subprocess.Popen[str]"]

ADD_LINES = """
import sys
from session_store.errors import ConflictError
from session_store.files import RealFileSystem
from session_store.runtime import run
root, name, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
files = RealFileSystem(root)
print("ready", flush=True)
sys.stdin.readline()
size = conflicts = 0
for n in range(count):
    while True:
        try:
            size = run(files.append("a/log", f"{name} {n}\\n".encode(), if_size=size))
            break
        except ConflictError as conflict:
            size = conflict.actual
            conflicts += 1
print(conflicts)
"""

COUNT_UP = """
import sys
from session_store.errors import ConflictError, NotFoundError
from session_store.files import ABSENT, RealFileSystem
from session_store.runtime import run
files = RealFileSystem(sys.argv[1])
print("ready", flush=True)
sys.stdin.readline()
for n in range(int(sys.argv[2])):
    while True:
        try:
            version = run(files.stat("a/count")).version
            value = int(run(files.read("a/count")))
        except NotFoundError:
            version, value = ABSENT, 0
        try:
            run(files.write("a/count", str(value + 1).encode(), if_version=version, durable=False))
            break
        except ConflictError:
            pass
"""

HOLD_FLOCK = """
import fcntl, os, sys
fd = os.open(sys.argv[1], os.O_RDONLY)
fcntl.flock(fd, fcntl.LOCK_EX)
print("held", flush=True)
sys.stdin.readline()
"""


def start_together(children: "list[subprocess.Popen[str]]") -> None:
    for child in children:
        assert child.stdout and child.stdout.readline() == "ready\n"
    for child in children:
        assert child.stdin
        child.stdin.write("go\n")
        child.stdin.flush()


def held(child: "subprocess.Popen[str]") -> None:
    assert child.stdout and child.stdout.readline() == "held\n"


class TestRaces:
    def test_every_append_gets_in_exactly_once(
        self, root: Path, files: RealFileSystem, spawn: Spawn
    ) -> None:
        children = [spawn(ADD_LINES, root, name, 300) for name in "abcd"]

        start_together(children)
        conflicts = sum(int(child.communicate()[0]) for child in children)

        lines = run(files.read("a/log")).decode().splitlines()
        assert len(lines) == 1200
        for name in "abcd":
            mine = [line for line in lines if line.startswith(name)]
            assert mine == [f"{name} {n}" for n in range(300)]
        # Else they have not met, and this test has shown nothing.
        assert conflicts > 0

    def test_every_replacement_counts(
        self, root: Path, files: RealFileSystem, spawn: Spawn
    ) -> None:
        children = [spawn(COUNT_UP, root, 60) for _ in range(4)]

        start_together(children)
        for child in children:
            child.communicate()

        assert [child.returncode for child in children] == [0, 0, 0, 0]
        assert run(files.read("a/count")) == b"240"
        assert os.listdir(root / "a") == ["count"]


class TestStopped:
    def test_one_that_holds_the_log_stops_its_writers_and_nobody_else(
        self, root: Path, spawn: Spawn
    ) -> None:
        files = RealFileSystem(root, io_timeout_ms=100)
        run(files.append("a/log", b"1"))
        holder = spawn(HOLD_FLOCK, root / "a/log")
        held(holder)
        holder.send_signal(signal.SIGSTOP)

        with pytest.raises(UnavailableError, match="held"):
            run(files.append("a/log", b"2"))
        with pytest.raises(UnavailableError, match="held"):
            run(files.append("a/log", b"2", if_size=1))

        assert run(files.read("a/log")) == b"1"
        assert run(files.stat("a/log")).size == 1
        run(files.sync("a/log"))
        assert run(files.append("b/log", b"1")) == 1
        run(files.write("a/other", b"1"))

    def test_one_that_holds_the_folder_stops_changes_of_names_only(
        self, root: Path, spawn: Spawn
    ) -> None:
        files = RealFileSystem(root, io_timeout_ms=100)
        run(files.append("a/log", b"1"))
        run(files.write("a/f", b"1"))
        holder = spawn(HOLD_FLOCK, root / "a")
        held(holder)

        for call in (
            lambda: files.write("a/f", b"2"),
            lambda: files.append("a/new", b"1"),
            lambda: files.delete("a/f"),
            lambda: files.delete_tree("a"),
        ):
            with pytest.raises(UnavailableError, match="held"):
                run(call())

        assert run(files.append("a/log", b"2")) == 2
        assert run(files.read("a/f")) == b"1"
        assert run(files.list("a")).names == ["f", "log"]

    def test_who_waits_goes_on_when_the_holder_dies(
        self, root: Path, files: RealFileSystem, spawn: Spawn
    ) -> None:
        run(files.append("a/log", b"1"))
        holder = spawn(HOLD_FLOCK, root / "a/log")
        held(holder)
        threading.Timer(0.05, holder.kill).start()

        assert run(files.append("a/log", b"2")) == 2

    def test_who_changes_a_version_waits_for_who_appends(self, root: Path) -> None:
        files = RealFileSystem(root, io_timeout_ms=50)
        version = run(files.write("a/f", b"1")).version
        fd = os.open(root / "a/f", os.O_RDONLY)
        fcntl.flock(fd, fcntl.LOCK_EX)

        with pytest.raises(UnavailableError, match="held"):
            run(files.write("a/f", b"2", if_version=version))
        with pytest.raises(UnavailableError, match="held"):
            run(files.delete("a/f", if_version=version))
        os.close(fd)

        run(files.write("a/f", b"2", if_version=version))


class TestFork:
    def test_a_child_works_by_itself(
        self, root: Path, files: RealFileSystem, open_below: Callable[[Path], list[str]]
    ) -> None:
        size = run(files.append("a/log", b"p"))
        run(files.sync("a/log"))
        assert open_below(root) == [str(root / "a/log")]

        child = os.fork()
        if child == 0:
            status = 1
            try:
                assert open_below(root) == []
                size = run(files.append("a/log", b"c", if_size=size))
                run(files.sync("a/log"))
                assert run(files.read("a/log")) == b"pc"
                status = 0
            finally:
                os._exit(status)
        _, status = os.waitpid(child, 0)

        assert status == 0
        assert run(files.append("a/log", b"p", if_size=size + 1)) == 3

    def test_a_child_does_not_give_up_the_locks_of_its_parent(
        self, root: Path, files: RealFileSystem
    ) -> None:
        run(files.append("a/log", b"1"))
        log = files._shared.logs.get("a/log")
        assert log is not None
        fcntl.flock(log.descriptor.fd, fcntl.LOCK_EX)

        child = os.fork()
        if child == 0:
            os._exit(0)
        os.waitpid(child, 0)

        with open(root / "a/log", "rb") as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        fcntl.flock(log.descriptor.fd, fcntl.LOCK_UN)

    def test_a_child_does_not_keep_the_locks_of_its_parent(
        self, root: Path, files: RealFileSystem
    ) -> None:
        """The parent dies inside its append; the child lives on and holds nothing."""
        run(files.append("a/log", b"1"))
        read_end, write_end = os.pipe()

        parent = os.fork()
        if parent == 0:
            run(files.append("a/log", b"2"))
            log = files._shared.logs.get("a/log")
            assert log is not None
            fcntl.flock(log.descriptor.fd, fcntl.LOCK_EX)
            child = os.fork()
            if child == 0:
                os.close(write_end)
                os.read(read_end, 1)
                os._exit(0)
            os.kill(os.getpid(), signal.SIGKILL)
        os.waitpid(parent, 0)

        assert run(files.append("a/log", b"3")) == 3
        os.close(write_end)
        os.close(read_end)

    def test_a_fork_while_a_thread_is_inside_leaves_the_child_free(
        self, files: RealFileSystem
    ) -> None:
        run(files.append("a/log", b"1"))
        log = files._shared.logs.get("a/log")
        assert log is not None
        with log.mutex, log.sync_mutex, files._shared.logs._guard:
            child = os.fork()
            if child == 0:
                signal.alarm(10)
                run(files.append("a/log", b"2"))
                run(files.sync("a/log"))
                os._exit(0)
            _, status = os.waitpid(child, 0)

        assert status == 0


class TestFull:
    def test_a_file_that_may_not_grow_keeps_what_it_had(self, root: Path, spawn: Spawn) -> None:
        script = """
import resource, sys
from session_store.errors import StorageFullError
from session_store.files import RealFileSystem
from session_store.runtime import run
files = RealFileSystem(sys.argv[1])
run(files.append("a/log", b"x" * 900))
run(files.write("a/whole", b"old"))
resource.setrlimit(resource.RLIMIT_FSIZE, (1000, resource.RLIM_INFINITY))
for call in (files.append("a/log", b"y" * 200), files.append("a/log", b"y" * 200, if_size=900),
             files.write("a/whole", b"y" * 2000), files.append("a/new", b"z" * 2000)):
    try:
        run(call)
    except StorageFullError as error:
        print(error.reason)
print(run(files.append("a/log", b"y" * 100, if_size=900)))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(run(files.append("a/log", b"!")))
"""

        output = spawn(script, root).communicate()[0]

        assert output.splitlines() == ["File too large"] * 4 + ["1000", "1001"]
        assert (root / "a/log").read_bytes() == b"x" * 900 + b"y" * 100 + b"!"
        assert (root / "a/whole").read_bytes() == b"old"
        assert sorted(os.listdir(root / "a")) == ["log", "new", "whole"]
        assert (root / "a/new").read_bytes() == b""

    def test_no_descriptors_left_is_unavailable_and_passes(self, root: Path, spawn: Spawn) -> None:
        script = """
import os, resource, sys
from session_store.errors import UnavailableError
from session_store.files import RealFileSystem
from session_store.runtime import run
files = RealFileSystem(sys.argv[1])
run(files.append("a/log", b"1"))
resource.setrlimit(resource.RLIMIT_NOFILE, (32, 32))
taken = []
try:
    while True:
        taken.append(os.open("/dev/null", os.O_RDONLY))
except OSError:
    pass
for call in (files.append("b/log", b"1"), files.write("f", b"1"), files.list("")):
    try:
        run(call)
    except UnavailableError as error:
        print(error.reason)
print(run(files.append("a/log", b"2")))
for fd in taken:
    os.close(fd)
print(run(files.append("b/log", b"1")))
"""

        output = spawn(script, root).communicate()[0]

        assert output.splitlines() == ["Too many open files"] * 3 + ["2", "1"]
