"""Every sentence of the seam's docstrings, for both engines of this room."""

import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from session_store.errors import (
    ClosedError,
    ConflictError,
    InvalidIdError,
    NotFoundError,
    UnavailableError,
)
from session_store.files import (
    ABSENT,
    FileSystem,
    InMemoryFileSystem,
    RealFileSystem,
)
from session_store.runtime import run


@pytest.fixture(params=["memory", "local"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FileSystem]:
    on_disk = request.param == "local"
    files: FileSystem = RealFileSystem(tmp_path / "root") if on_disk else InMemoryFileSystem()
    yield files
    run(files.close())


def race(count: int, work: Callable[[int], Any]) -> list[Any]:
    """Return what `count` threads got from `work`, errors included, in any order."""
    results: list[Any] = []
    start = threading.Barrier(count)

    def target(number: int) -> None:
        start.wait()
        try:
            results.append(work(number))
        except Exception as error:
            results.append(error)

    threads = [threading.Thread(target=target, args=(n,)) for n in range(count)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results


def winners(results: list[Any]) -> list[Any]:
    """Return what did not conflict; any other error is a failure of the test."""
    for result in results:
        if isinstance(result, Exception) and not isinstance(result, ConflictError):
            raise result
    return [result for result in results if not isinstance(result, ConflictError)]


def names(files: FileSystem, folder: str, limit: int = 1000) -> list[str]:
    found: list[str] = []
    after = ""
    while True:
        page = run(files.list(folder, after=after, limit=limit))
        assert len(page.names) <= limit
        found += page.names
        if page.after is None:
            return found
        after = page.after


class TestStat:
    def test_it_tells_size_and_time(self, files: FileSystem) -> None:
        run(files.append("a/b", b"12345"))

        stats = run(files.stat("a/b"))

        assert stats.size == 5
        assert stats.mtime_ms > 1_600_000_000_000

    def test_nothing_and_a_folder_are_not_found(self, files: FileSystem) -> None:
        run(files.append("folder/file", b"x"))

        for path in ("none", "none/none", "folder", "folder/none", "folder/file/none"):
            with pytest.raises(NotFoundError):
                run(files.stat(path))
            assert run(files.exists(path)) is False
        assert run(files.exists("folder/file")) is True

    def test_the_version_changes_with_every_change(self, files: FileSystem) -> None:
        versions = []

        for n in range(50):
            run(files.append("f", b"x"))
            versions.append(run(files.stat("f")).version)
            versions.append(run(files.write("f", b"same", durable=n == 0)).version)
            run(files.delete("f"))
            versions.append(run(files.write("f", b"same", durable=False)).version)

        assert len(set(versions)) == len(versions)

    def test_the_version_stays_while_nothing_changes(self, files: FileSystem) -> None:
        written = run(files.write("f", b"x"))

        run(files.read("f"))
        run(files.sync("f"))

        assert run(files.stat("f")) == written


class TestRead:
    @pytest.mark.parametrize("start", range(7))
    @pytest.mark.parametrize("end", [None, *range(7)])
    def test_it_gives_what_there_is(self, files: FileSystem, start: int, end: int | None) -> None:
        run(files.write("f", b"01234", durable=False))

        assert run(files.read("f", start, end)) == b"01234"[start:end]

    def test_it_sees_what_was_appended(self, files: FileSystem) -> None:
        run(files.append("f", b"one"))
        run(files.append("f", b"two"))

        assert run(files.read("f")) == b"onetwo"
        assert run(files.read("f", 3)) == b"two"

    def test_large_files_come_whole(self, files: FileSystem) -> None:
        data = bytes(range(256)) * 16_384

        run(files.append("f", data))

        assert run(files.read("f")) == data
        assert run(files.read("f", 1, len(data) - 1)) == data[1:-1]

    def test_nothing_and_a_folder_are_not_found(self, files: FileSystem) -> None:
        run(files.mkdir("folder"))

        for path in ("none", "none/none", "folder"):
            with pytest.raises(NotFoundError) as caught:
                run(files.read(path))
            assert caught.value.path == path


class TestWrite:
    def test_it_replaces_the_whole(self, files: FileSystem) -> None:
        run(files.write("f", b"a long text"))

        stats = run(files.write("f", b"short"))

        assert run(files.read("f")) == b"short"
        assert run(files.stat("f")) == stats
        assert stats.size == 5

    def test_missing_folders_are_made(self, files: FileSystem) -> None:
        run(files.write("a/b/c", b"x"))

        assert names(files, "") == ["a/"]
        assert names(files, "a") == ["b/"]
        assert names(files, "a/b") == ["c"]

    def test_absent_only_creates(self, files: FileSystem) -> None:
        created = run(files.write("f", b"first", if_version=ABSENT))

        with pytest.raises(ConflictError) as caught:
            run(files.write("f", b"second", if_version=ABSENT))

        assert caught.value.actual == created.version
        assert run(files.read("f")) == b"first"

    def test_a_version_replaces_only_that_version(self, files: FileSystem) -> None:
        first = run(files.write("f", b"1"))
        second = run(files.write("f", b"2", if_version=first.version))

        with pytest.raises(ConflictError) as caught:
            run(files.write("f", b"3", if_version=first.version))

        assert (caught.value.expected, caught.value.actual) == (first.version, second.version)
        assert run(files.read("f")) == b"2"

    def test_an_append_changes_the_version(self, files: FileSystem) -> None:
        before = run(files.write("f", b"1"))
        run(files.append("f", b"2"))

        with pytest.raises(ConflictError):
            run(files.write("f", b"3", if_version=before.version))

        assert run(files.read("f")) == b"12"

    def test_a_version_of_no_file_conflicts_with_none(self, files: FileSystem) -> None:
        with pytest.raises(ConflictError) as caught:
            run(files.write("a/f", b"1", if_version="some version"))

        assert caught.value.actual is None
        assert names(files, "") == []

    def test_a_folder_is_not_overwritten(self, files: FileSystem) -> None:
        run(files.write("a/f", b"1"))

        for path in ("a", "a/f/below"):
            with pytest.raises(UnavailableError):
                run(files.write(path, b"2"))
            with pytest.raises(UnavailableError):
                run(files.append(path, b"2"))

        assert run(files.read("a/f")) == b"1"
        assert names(files, "") == ["a/"]
        assert names(files, "a") == ["f"]

    def test_of_racing_creators_one_wins(self, files: FileSystem) -> None:
        for round_ in range(10):
            path = f"a{round_}/f"

            results = race(
                8,
                lambda n, path=path: (  # type: ignore[misc]
                    run(files.write(path, b"%d" % n, if_version=ABSENT, durable=False)) and n
                ),
            )

            (winner,) = winners(results)
            assert run(files.read(path)) == b"%d" % winner

    def test_of_racing_replacers_one_wins(self, files: FileSystem) -> None:
        version = run(files.write("f", b"start")).version
        for _ in range(10):
            expected = version

            def replace(n: int, expected: str = expected) -> int:
                run(files.write("f", b"%d" % n, if_version=expected, durable=False))
                return n

            (winner,) = winners(race(8, replace))

            assert run(files.read("f")) == b"%d" % winner
            version = run(files.stat("f")).version

    def test_no_append_is_lost_to_a_replacer(self, files: FileSystem) -> None:
        """A write by version and an append exclude each other: one of them sees the other."""
        for round_ in range(100):
            path = f"f{round_}"
            version = run(files.write(path, b"0", durable=False)).version

            def work(n: int, path: str = path, version: str = version) -> str:
                if n:
                    run(files.write(path, b"new", if_version=version, durable=False))
                    return "write"
                run(files.append(path, b"+"))
                return "append"

            done = sorted(winners(race(2, work)))

            content = run(files.read(path))
            assert content == (b"new+" if done == ["append", "write"] else b"0+")


class TestAppend:
    def test_it_returns_the_new_size(self, files: FileSystem) -> None:
        assert run(files.append("a/f", b"123")) == 3
        assert run(files.append("a/f", b"45", if_size=3)) == 5
        assert run(files.append("a/f", b"", if_size=5)) == 5
        assert run(files.read("a/f")) == b"12345"

    def test_absent_counts_as_empty(self, files: FileSystem) -> None:
        assert run(files.append("a/f", b"1", if_size=0)) == 1

    def test_another_size_conflicts_and_changes_nothing(self, files: FileSystem) -> None:
        run(files.append("f", b"123"))

        for wrong in (0, 2, 4):
            with pytest.raises(ConflictError) as caught:
                run(files.append("f", b"4", if_size=wrong))
            assert (caught.value.expected, caught.value.actual) == (wrong, 3)

        assert run(files.read("f")) == b"123"

    def test_a_size_of_no_file_makes_nothing(self, files: FileSystem) -> None:
        with pytest.raises(ConflictError) as caught:
            run(files.append("a/f", b"1", if_size=7))

        assert caught.value.actual == 0
        assert names(files, "") == []

    def test_it_follows_a_file_that_was_replaced_or_deleted(self, files: FileSystem) -> None:
        run(files.append("a/f", b"old"))
        run(files.write("a/f", b"new."))
        assert run(files.append("a/f", b"+", if_size=4)) == 5
        run(files.delete_tree("a"))
        with pytest.raises(ConflictError):
            run(files.append("a/f", b"+", if_size=5))

        assert run(files.append("a/f", b"again", if_size=0)) == 5

        assert run(files.read("a/f")) == b"again"

    def test_of_racing_writers_at_one_size_one_wins(self, files: FileSystem) -> None:
        for round_ in range(20):
            path = f"a{round_ // 2}/f{round_ % 2}"

            def add(n: int, path: str = path) -> int:
                run(files.append(path, b"%d" % n, if_size=0))
                return n

            (winner,) = winners(race(8, add))

            assert run(files.read(path)) == b"%d" % winner

    def test_racing_writers_without_a_size_all_get_in(self, files: FileSystem) -> None:
        def add(n: int) -> None:
            for k in range(50):
                run(files.append("a/f", b"%d:%d\n" % (n, k)))

        winners(race(8, add))

        lines = run(files.read("a/f")).splitlines()
        assert len(lines) == 400
        for n in range(8):
            mine = [line for line in lines if line.startswith(b"%d:" % n)]
            assert mine == [b"%d:%d" % (n, k) for k in range(50)]


class TestDelete:
    def test_the_file_is_gone(self, files: FileSystem) -> None:
        run(files.append("a/f", b"1"))

        run(files.delete("a/f"))

        assert run(files.exists("a/f")) is False
        assert names(files, "a") == []

    def test_absent_is_silent(self, files: FileSystem) -> None:
        run(files.delete("none"))
        run(files.delete("none/none"))
        run(files.delete("none", if_version="some version"))

    def test_a_version_removes_only_that_version(self, files: FileSystem) -> None:
        first = run(files.write("f", b"1"))
        second = run(files.write("f", b"2"))

        with pytest.raises(ConflictError) as caught:
            run(files.delete("f", if_version=first.version))
        assert caught.value.actual == second.version
        assert run(files.read("f")) == b"2"

        run(files.delete("f", if_version=second.version))
        assert run(files.exists("f")) is False

    def test_a_folder_is_no_file(self, files: FileSystem) -> None:
        run(files.append("a/f", b"1"))

        run(files.delete("a"))

        assert run(files.read("a/f")) == b"1"

    def test_a_tree_goes_with_all_that_is_in_it(self, files: FileSystem) -> None:
        for path in ("a/f", "a/b/f", "a/b/c/f", "ab", "b/f"):
            run(files.append(path, b"1"))
        run(files.mkdir("a/empty"))

        run(files.delete_tree("a"))
        run(files.delete_tree("none/none"))
        run(files.delete_tree("ab"))

        assert names(files, "") == ["ab", "b/"]
        assert names(files, "a") == []
        assert run(files.exists("a/b/f")) is False

    def test_what_is_made_while_a_tree_goes_is_whole_or_gone(self, files: FileSystem) -> None:
        for _ in range(20):
            run(files.append("a/b/f", b"old"))

            def work(n: int) -> None:
                if n == 0:
                    run(files.delete_tree("a"))
                elif n == 1:
                    run(files.write("a/g", b"whole", durable=False))
                else:
                    run(files.append("a/h", b"whole"))

            assert len(winners(race(3, work))) == 3
            for name in names(files, "a"):
                if not name.endswith("/"):
                    assert run(files.read(f"a/{name}")) in (b"whole",)
            run(files.delete_tree("a"))


class TestList:
    def test_a_folder_that_is_not_there_has_no_names(self, files: FileSystem) -> None:
        run(files.append("file", b"1"))

        for path in ("none", "none/none", "file"):
            assert names(files, path) == []

    def test_nothing_at_all_has_no_names(self, files: FileSystem) -> None:
        assert names(files, "") == []

    @pytest.mark.parametrize("limit", [1, 2, 3, 24, 25, 26, 1000])
    def test_pages_give_each_name_once(self, files: FileSystem, limit: int) -> None:
        expected = set()
        for n in range(12):
            run(files.write(f"f{n}", b"1", durable=False))
            run(files.mkdir(f"f{n}-folder"))
            expected |= {f"f{n}", f"f{n}-folder/"}
        run(files.append(".hidden", b"1"))

        found = names(files, "", limit)

        assert len(found) == len(set(found))
        assert set(found) == expected | {".hidden"}

    def test_what_stays_is_listed_once_while_others_come_and_go(self, files: FileSystem) -> None:
        for n in range(10):
            run(files.append(f"stays{n}", b"1"))
            run(files.append(f"goes{n}", b"1"))

        found: list[str] = []
        after = ""
        for n in range(10):
            page = run(files.list("", after=after, limit=3))
            found += page.names
            run(files.delete(f"goes{n}"))
            run(files.append(f"new{n}", b"1"))
            if page.after is None:
                break
            after = page.after

        stayed = sorted(name for name in found if name.startswith("stays"))
        assert stayed == [f"stays{n}" for n in range(10)]


class TestTheRest:
    def test_mkdir_makes_all_folders_and_may_be_repeated(self, files: FileSystem) -> None:
        run(files.mkdir(""))
        run(files.mkdir("a/b"))
        run(files.mkdir("a/b"))

        assert names(files, "a") == ["b/"]

    def test_mkdir_does_not_replace_a_file(self, files: FileSystem) -> None:
        run(files.append("f", b"1"))

        for path in ("f", "f/below"):
            with pytest.raises(UnavailableError):
                run(files.mkdir(path))

        assert run(files.read("f")) == b"1"

    def test_sync_needs_a_file(self, files: FileSystem) -> None:
        run(files.append("a/f", b"1"))

        run(files.sync("a/f"))
        for path in ("none", "a", "a/none", "none/none"):
            with pytest.raises(NotFoundError):
                run(files.sync(path))

    def test_after_close_every_verb_says_so(self, files: FileSystem) -> None:
        run(files.append("f", b"1"))
        run(files.close())
        run(files.close())

        for call in (
            lambda: files.stat("f"),
            lambda: files.exists("f"),
            lambda: files.read("f"),
            lambda: files.write("f", b""),
            lambda: files.append("f", b""),
            lambda: files.delete("f"),
            lambda: files.delete_tree("f"),
            lambda: files.list(""),
            lambda: files.mkdir(""),
            lambda: files.sync("f"),
        ):
            with pytest.raises(ClosedError):
                run(call())

    @pytest.mark.parametrize(
        "path", ["", "/", "/etc", "a//b", "a/", ".", "..", "a/../b", "a\0", "\ud800", "x" * 256]
    )
    def test_a_path_that_leads_elsewhere_is_refused(self, files: FileSystem, path: str) -> None:
        for call in (
            lambda: files.stat(path),
            lambda: files.exists(path),
            lambda: files.read(path),
            lambda: files.write(path, b""),
            lambda: files.append(path, b""),
            lambda: files.delete(path),
            lambda: files.delete_tree(path),
            lambda: files.sync(path),
        ):
            with pytest.raises(InvalidIdError):
                run(call())
        if path:
            with pytest.raises(InvalidIdError):
                run(files.list(path))
            with pytest.raises(InvalidIdError):
                run(files.mkdir(path))

    def test_names_are_kept_as_they_are(self, files: FileSystem) -> None:
        for path in ("web user Ünï", "a:b+c@d=e", "A", "x" * 255, ".dot", "e\u0301", "\u00e9"):
            run(files.append(path, path.encode()))

        for name in names(files, ""):
            assert run(files.read(name)) == name.encode()
        assert len(names(files, "")) == 7
