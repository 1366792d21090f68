"""What only a real folder has: rights, links, a root, other kinds of files, descriptors."""

import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from session_store.errors import (
    ConflictError,
    FileSystemError,
    InvalidIdError,
    NotFoundError,
    StorageFullError,
    UnavailableError,
)
from session_store.event_loop import AsyncRuntime
from session_store.files import ABSENT, Bindable, FileSystem, RealFileSystem, posix
from session_store.files import logs as logs_module
from session_store.runtime import run

OpenBelow = Callable[[Path], list[str]]


def mode(path: Path) -> int:
    return path.lstat().st_mode & 0o777


@pytest.fixture
def umask() -> Iterator[Callable[[int], int]]:
    """Set the umask for this test."""
    before = os.umask(0o022)
    yield os.umask
    os.umask(before)


class TestRights:
    @pytest.mark.parametrize("value", [0o000, 0o022, 0o077, 0o277, 0o777])
    def test_only_the_owner_may_read_whatever_the_umask(
        self, tmp_path: Path, umask: Callable[[int], int], value: int
    ) -> None:
        files = RealFileSystem(tmp_path / "above" / "root")
        umask(value)

        run(files.append("a/log", b"1"))
        run(files.write("a/b/whole", b"1"))
        run(files.mkdir("c/d"))

        root = tmp_path / "above" / "root"
        for folder in (root.parent, root, root / "a", root / "a/b", root / "c", root / "c/d"):
            assert mode(folder) == 0o700
        for file in (root / "a/log", root / "a/b/whole"):
            assert mode(file) == 0o600

    def test_what_was_there_keeps_its_rights(self, root: Path, files: RealFileSystem) -> None:
        (root / "a").mkdir(parents=True)
        (root / "a").chmod(0o755)
        (root / "a/log").write_bytes(b"1")
        (root / "a/log").chmod(0o644)

        run(files.append("a/log", b"2"))

        assert (mode(root / "a"), mode(root / "a/log")) == (0o755, 0o644)

    def test_no_permission_is_unavailable(self, root: Path, spawn: Callable[..., object]) -> None:
        root.mkdir(mode=0o700)
        script = """
import os, sys
from session_store.errors import UnavailableError
from session_store.files import RealFileSystem
from session_store.runtime import run
if os.geteuid() == 0:
    os.seteuid(65534)
else:
    os.chmod(sys.argv[1], 0)
files = RealFileSystem(sys.argv[1])
for call in (files.read("a/f"), files.append("a/f", b"1"), files.write("f", b"1"),
             files.list(""), files.mkdir(""), files.stat("f"), files.delete("f")):
    try:
        run(call)
    except UnavailableError as error:
        print(error.reason, sys.argv[1] in str(error))
"""

        output = spawn(script, root).communicate()[0]  # type: ignore[attr-defined]

        root.chmod(0o700)
        assert output.splitlines() == ["Permission denied False"] * 7


class TestRoot:
    def test_reading_does_not_make_it(self, root: Path, files: RealFileSystem) -> None:
        assert run(files.list("")).names == []
        assert run(files.exists("f")) is False
        run(files.delete("f"))
        run(files.delete_tree("a"))
        with pytest.raises(NotFoundError):
            run(files.sync("f"))

        assert not root.exists()

    @pytest.mark.parametrize("verb", ["mkdir", "write", "append"])
    def test_writing_makes_it(self, root: Path, files: RealFileSystem, verb: str) -> None:
        if verb == "mkdir":
            run(files.mkdir(""))
        else:
            run(getattr(files, verb)("f", b"1"))

        assert root.is_dir()

    def test_it_may_be_a_link(self, tmp_path: Path, root: Path) -> None:
        (tmp_path / "real").mkdir()
        root.symlink_to("real")
        files = RealFileSystem(root)

        run(files.append("a/f", b"1"))
        run(files.write("g", b"1"))
        run(files.sync("a/f"))

        assert run(files.list("")).names == ["a/", "g"]
        assert (tmp_path / "real/a/f").read_bytes() == b"1"

    def test_it_does_not_move_with_the_working_folder(
        self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.chdir(tmp_path)
        files = RealFileSystem("root")
        monkeypatch.chdir("/")

        run(files.append("f", b"1"))

        assert (tmp_path / "root/f").read_bytes() == b"1"

    @pytest.mark.parametrize("where", ["root", "root/below"])
    def test_a_file_in_its_place_is_a_clear_error(self, tmp_path: Path, where: str) -> None:
        (tmp_path / "root").write_bytes(b"precious")
        files = RealFileSystem(tmp_path / where)

        for call in (
            lambda: files.append("f", b"1"),
            lambda: files.write("f", b"1"),
            lambda: files.mkdir(""),
            lambda: files.read("f"),
            lambda: files.list(""),
        ):
            with pytest.raises(UnavailableError, match="is a file") as caught:
                run(call())
            assert str(tmp_path) not in str(caught.value)
        assert (tmp_path / "root").read_bytes() == b"precious"

    @pytest.mark.parametrize("instead", ["nothing", "another folder"])
    def test_a_root_that_is_not_there_any_more_is_refused_until_it_is_back(
        self, root: Path, files: RealFileSystem, instead: str
    ) -> None:
        run(files.append("a/f", b"1"))
        elsewhere = root.rename(root.with_name("elsewhere"))
        if instead == "another folder":
            root.mkdir()  # the place where its disk was mounted, perhaps

        for call in (
            lambda: files.list(""),
            lambda: files.read("a/f"),
            lambda: files.append("a/f", b"2"),
            lambda: files.write("g", b"2"),
            lambda: files.delete("a/f"),
        ):
            with pytest.raises(UnavailableError, match="not in its place"):
                run(call())

        if instead == "another folder":
            assert not list(root.iterdir())
            root.rmdir()
        elsewhere.rename(root)
        assert run(files.append("a/f", b"2", if_size=1)) == 2


class TestLinks:
    @pytest.fixture(params=["messages.jsonl", "folder", "deep/folder"])
    def planted(self, request: pytest.FixtureRequest, tmp_path: Path, root: Path) -> str:
        """A link at some level, to a folder or file outside; returns a path through it."""
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "secret").write_bytes(b"secret")
        where = root / request.param
        where.parent.mkdir(parents=True)
        if request.param == "messages.jsonl":
            where.symlink_to(outside / "secret")
            return "messages.jsonl"
        where.symlink_to(outside)
        return f"{request.param}/secret"

    def test_no_verb_follows_one(self, tmp_path: Path, files: RealFileSystem, planted: str) -> None:
        for call in (
            lambda: files.stat(planted),
            lambda: files.exists(planted),
            lambda: files.read(planted),
            lambda: files.write(planted, b"mine"),
            lambda: files.write(planted, b"mine", if_version=ABSENT),
            lambda: files.write(planted, b"mine", if_version="1-2-3"),
            lambda: files.append(planted, b"mine"),
            lambda: files.append(planted, b"mine", if_size=0),
            lambda: files.append(planted, b"mine", if_size=6),
            lambda: files.delete(planted),
            lambda: files.delete(planted, if_version="1-2-3"),
            lambda: files.delete_tree(planted),
            lambda: files.list(planted),
            lambda: files.mkdir(planted),
            lambda: files.sync(planted),
        ):
            with pytest.raises(UnavailableError, match="symbolic link"):
                run(call())

        outside = tmp_path / "outside"
        assert (outside / "secret").read_bytes() == b"secret"
        assert os.listdir(outside) == ["secret"]

    def test_a_folder_that_is_a_link_is_refused_itself(
        self, tmp_path: Path, root: Path, files: RealFileSystem
    ) -> None:
        root.mkdir()
        (root / "id").symlink_to("..")

        for call in (
            lambda: files.list("id"),
            lambda: files.delete_tree("id"),
            lambda: files.mkdir("id"),
            lambda: files.append("id/f", b"1"),
            lambda: files.delete("id"),
        ):
            with pytest.raises(UnavailableError, match="symbolic link"):
                run(call())
        assert (root / "id").is_symlink()

    def test_a_link_that_leads_nowhere_is_not_created_through(
        self, tmp_path: Path, root: Path, files: RealFileSystem
    ) -> None:
        root.mkdir()
        (root / "f").symlink_to(tmp_path / "planted")

        with pytest.raises(UnavailableError, match="symbolic link"):
            run(files.append("f", b"1"))

        assert not (tmp_path / "planted").exists()

    def test_links_are_not_listed(self, root: Path, files: RealFileSystem) -> None:
        run(files.append("f", b"1"))
        (root / "file-link").symlink_to("f")
        (root / "folder-link").symlink_to("..")

        assert run(files.list("")).names == ["f"]

    def test_a_tree_goes_with_its_links_and_without_what_they_name(
        self, tmp_path: Path, root: Path, files: RealFileSystem
    ) -> None:
        outside = tmp_path / "outside"
        outside.mkdir()
        (outside / "secret").write_bytes(b"1")
        run(files.append("a/b/f", b"1"))
        (root / "a/b/up").symlink_to(outside)
        (root / "a/file").symlink_to(outside / "secret")

        run(files.delete_tree("a"))

        assert not (root / "a").exists()
        assert (outside / "secret").exists()

    def test_one_that_is_put_in_the_place_of_an_open_log_is_not_followed(
        self, tmp_path: Path, root: Path, files: RealFileSystem
    ) -> None:
        run(files.append("a/f", b"1"))
        (tmp_path / "outside").mkdir()
        (tmp_path / "outside/f").write_bytes(b"precious")
        (root / "a").rename(root / "b")
        (root / "a").symlink_to(tmp_path / "outside")

        for call in (
            lambda: files.append("a/f", b"2"),
            lambda: files.read("a/f"),
            lambda: files.stat("a/f"),
            lambda: files.sync("a/f"),
        ):
            with pytest.raises(UnavailableError, match="symbolic link"):
                run(call())
        assert (tmp_path / "outside/f").read_bytes() == b"precious"


class TestOtherKinds:
    def test_a_pipe_is_refused_and_never_waited_for(
        self, root: Path, files: RealFileSystem
    ) -> None:
        root.mkdir()
        os.mkfifo(root / "pipe")

        for call in (
            lambda: files.stat("pipe"),
            lambda: files.read("pipe"),
            lambda: files.append("pipe", b"1"),
            lambda: files.write("pipe", b"1"),
            lambda: files.sync("pipe"),
            lambda: files.delete("pipe"),
        ):
            with pytest.raises(UnavailableError, match="neither a file nor a folder"):
                run(call())
        assert run(files.list("")).names == []
        with pytest.raises(UnavailableError):
            run(files.append("pipe/f", b"1"))

    def test_names_that_no_path_can_say_are_not_listed(
        self, root: Path, files: RealFileSystem
    ) -> None:
        run(files.append("f", b"1"))
        (Path(os.fsdecode(os.fsencode(root) + b"/\xff\xfe"))).touch()

        assert run(files.list("")).names == ["f"]

    def test_drafts_are_neither_listed_nor_reachable(
        self, root: Path, files: RealFileSystem
    ) -> None:
        run(files.append(".other", b"1"))
        (root / ".tmp-0123").touch()

        assert run(files.list("")).names == [".other"]
        for path in (".tmp-0123", ".tmp-0123/f", "a/.tmp-"):
            with pytest.raises(InvalidIdError):
                run(files.read(path))
        assert run(files.exists("a.tmp-b")) is False

    def test_a_very_deep_tree_goes(self, root: Path, files: RealFileSystem) -> None:
        parts = ["d"] * 200
        run(files.mkdir("/".join(parts)))

        run(files.delete_tree("d"))

        assert run(files.list("")).names == []


class TestVersions:
    def test_they_never_repeat_even_when_the_clock_stands_or_goes_back(
        self, files: RealFileSystem, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        times = iter([10**18] * 30 + [10**17] * 30)
        monkeypatch.setattr("session_store.files.swapping.time.time_ns", lambda: next(times))

        written = [run(files.write("f", b"same", durable=False)) for _ in range(60)]

        assert len({stats.version for stats in written}) == 60
        # The number of an inode comes again; so it must be the time that never does.
        assert len({stats.version.rpartition("-")[2] for stats in written}) == 60
        assert {stats.mtime_ms for stats in written} == {10**12}

    def test_they_never_repeat_where_times_are_coarse(
        self, files: RealFileSystem, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        utime = os.utime

        def coarse(fd: int, *, ns: tuple[int, int]) -> None:
            seconds = ns[1] // 10**9 // 2 * 2
            utime(fd, ns=(seconds * 10**9, seconds * 10**9))

        monkeypatch.setattr("session_store.files.swapping.os.utime", coarse)

        versions = [run(files.write("f", b"same", durable=False)).version for _ in range(20)]

        assert len(set(versions)) == 20


class TestFailedWrites:
    @pytest.mark.parametrize("where", ["write_all", "fsync"])
    def test_the_old_file_stays_and_no_draft_is_left(
        self,
        root: Path,
        files: RealFileSystem,
        monkeypatch: pytest.MonkeyPatch,
        where: str,
    ) -> None:
        run(files.write("a/f", b"old"))

        def full(*_: object) -> None:
            raise OSError(28, "No space left on device")

        monkeypatch.setattr(posix, where, full)
        with pytest.raises(StorageFullError):
            run(files.write("a/f", b"new"))

        assert os.listdir(root / "a") == ["f"]
        assert run(files.read("a/f")) == b"old"

    def test_a_folder_that_moves_meanwhile_gets_nothing(
        self, root: Path, files: RealFileSystem, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run(files.write("a/old", b"1"))
        fsync = posix.fsync

        def moved(fd: int) -> None:
            monkeypatch.setattr(posix, "fsync", fsync)
            (root / "a").rename(root / "b")
            (root / "a").mkdir()
            fsync(fd)

        monkeypatch.setattr(posix, "fsync", moved)
        run(files.write("a/f", b"1"))

        assert os.listdir(root / "a") == ["f"]
        assert os.listdir(root / "b") == ["old"]

    def test_what_is_put_into_a_tree_that_goes_goes_too(
        self, root: Path, files: RealFileSystem, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run(files.append("a/b/f", b"1"))
        rmdir = os.rmdir

        def late(name: str, *, dir_fd: int) -> None:
            monkeypatch.undo()
            (root / "a/b/late").touch()
            rmdir(name, dir_fd=dir_fd)

        monkeypatch.setattr("session_store.files.folders.os.rmdir", late)
        run(files.delete_tree("a"))

        assert os.listdir(root) == []

    def test_a_conflict_under_the_lock_leaves_no_draft(
        self, root: Path, files: RealFileSystem, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        version = run(files.write("a/f", b"old")).version
        other = RealFileSystem(root)
        fsync = posix.fsync

        def meanwhile(fd: int) -> None:
            monkeypatch.setattr(posix, "fsync", fsync)
            run(other.append("a/f", b"+"))
            fsync(fd)

        monkeypatch.setattr(posix, "fsync", meanwhile)
        with pytest.raises(ConflictError):
            run(files.write("a/f", b"new", if_version=version))

        assert os.listdir(root / "a") == ["f"]
        assert run(files.read("a/f")) == b"old+"

    def test_a_short_write_is_taken_back(
        self, root: Path, files: RealFileSystem, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run(files.append("f", b"old"))
        write = os.write
        calls = 0

        def short(fd: int, data: bytes) -> int:
            nonlocal calls
            calls += 1
            if calls == 1:
                return write(fd, data[:2])
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("session_store.files.posix.os.write", short)
            with pytest.raises(StorageFullError):
                run(files.append("f", b"12345", if_size=3))

        assert (root / "f").read_bytes() == b"old"
        assert run(files.append("f", b"!", if_size=3)) == 4

    def test_bytes_that_another_added_are_not_cut_off(
        self, root: Path, files: RealFileSystem, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run(files.append("f", b"old"))
        write = os.write

        def short(fd: int, data: bytes) -> int:
            if len(data) == 5:
                return write(fd, data[:2])
            with open(root / "f", "ab") as stranger:
                stranger.write(b"theirs")
            raise OSError(28, "No space left on device")

        with monkeypatch.context() as patch:
            patch.setattr("session_store.files.posix.os.write", short)
            with pytest.raises(UnavailableError, match="part of the bytes"):
                run(files.append("f", b"12345"))

        assert (root / "f").read_bytes() == b"old12theirs"

    def test_a_write_into_a_file_that_was_just_removed_does_not_count(
        self, root: Path, files: RealFileSystem, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        run(files.append("f", b"old"))
        write = os.write

        def removed(fd: int, data: bytes) -> int:
            monkeypatch.undo()
            (root / "f").unlink()
            return write(fd, data)

        monkeypatch.setattr("session_store.files.posix.os.write", removed)
        with pytest.raises(ConflictError) as caught:
            run(files.append("f", b"new", if_size=3))

        assert caught.value.actual == 0
        assert not (root / "f").exists()

    def test_errors_name_no_absolute_path(
        self, root: Path, files: RealFileSystem, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def broken(*_: object) -> int:
            raise OSError(5, "Input/output error", str(root))

        run(files.append("f", b"1"))
        monkeypatch.setattr("session_store.files.posix.os.write", broken)

        with pytest.raises(FileSystemError) as caught:
            run(files.append("f", b"1"))

        assert type(caught.value) is UnavailableError
        assert str(root) not in str(caught.value)
        assert caught.value.path == "f"


class TestDescriptors:
    def test_only_so_many_stay_open(
        self, root: Path, files: RealFileSystem, open_below: OpenBelow
    ) -> None:
        for n in range(logs_module.LOGS_MAX_OPEN + 50):
            run(files.append(f"s{n}/f", b"1"))

        assert len(open_below(root)) == logs_module.LOGS_MAX_OPEN
        assert run(files.append("s0/f", b"2", if_size=1)) == 2

    def test_they_are_a_quarter_of_what_the_process_may_open(
        self, root: Path, open_below: OpenBelow, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(logs_module.resource, "getrlimit", lambda _: (64, 4096))
        files = RealFileSystem(root)
        for n in range(20):
            run(files.append(f"s{n}/f", b"1"))

        assert len(open_below(root)) == 16

    def test_close_lets_go_of_all(self, root: Path, open_below: OpenBelow) -> None:
        files = RealFileSystem(root)
        for n in range(20):
            run(files.append(f"s{n}/f", b"1"))
            run(files.sync(f"s{n}/f"))
            run(files.write(f"s{n}/g", b"1", durable=False))
            run(files.list(f"s{n}"))

        assert len(open_below(root)) == 20

        run(files.close())

        assert open_below(root) == []

    def test_a_failed_call_leaves_none_open(
        self, root: Path, files: RealFileSystem, open_below: OpenBelow
    ) -> None:
        run(files.append("a/f", b"1"))

        for _ in range(20):
            for call in (
                lambda: files.append("a/f", b"1", if_size=9),
                lambda: files.write("a/f", b"1", if_version="1"),
                lambda: files.read("a/none"),
                lambda: files.stat("a/f/none"),
                lambda: files.write("a/f/none", b""),
            ):
                with pytest.raises(FileSystemError):
                    run(call())

        assert open_below(root) == [str(root / "a/f")]

    def test_threads_that_push_each_other_out_write_into_the_right_files(
        self, files: RealFileSystem, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(files._shared.logs, "_max_open", 2)

        def work(n: int) -> None:
            size = 0
            for k in range(200):
                path = f"s{n}/f{k % 3}"
                size = run(files.append(path, b"%d\n" % n))
                run(files.read(path, size - 2))

        threads = [threading.Thread(target=work, args=(n,)) for n in range(6)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        for n in range(6):
            for k, count in enumerate((67, 67, 66)):
                assert run(files.read(f"s{n}/f{k}")) == b"%d\n" % n * count


class TestViews:
    def test_a_view_waits_otherwise_and_shares_the_rest(self, files: RealFileSystem) -> None:
        bound: FileSystem = files.bind(AsyncRuntime())

        assert isinstance(files, Bindable)
        assert files.traits.blocking is True
        assert bound.traits.blocking is False
        assert files.traits.scope == "host"
        assert files.traits.durable is True

    def test_two_objects_on_one_root_see_each_other(
        self, root: Path, files: RealFileSystem
    ) -> None:
        other = RealFileSystem(root)

        size = 0
        for _ in range(10):
            size = run(files.append("a/f", b"1", if_size=size))
            size = run(other.append("a/f", b"2", if_size=size))
        run(other.write("a/f", b"new"))
        assert run(files.append("a/f", b"+", if_size=3)) == 4
        run(files.delete_tree("a"))

        assert run(other.exists("a/f")) is False
        with pytest.raises(ConflictError):
            run(other.append("a/f", b"1", if_size=4))
