"""What both engines of this room promise beyond the seam.

What every engine has to keep is in `session_store.testing.FileSystemSuite`, which is run on
these two in `tests/testing`.
"""

import errno
from collections.abc import Iterator
from pathlib import Path

import pytest

from session_store.errors import UnavailableError
from session_store.files import FileSystem, InMemoryFileSystem, RealFileSystem, folders
from session_store.runtime import run


@pytest.fixture(params=["memory", "local"])
def files(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[FileSystem]:
    on_disk = request.param == "local"
    files: FileSystem = RealFileSystem(tmp_path / "root") if on_disk else InMemoryFileSystem()
    yield files
    run(files.close())


def test_a_version_never_comes_back_with_its_content(files: FileSystem) -> None:
    versions = []

    for n in range(50):
        run(files.append("f", b"x"))
        versions.append(run(files.stat("f")).version)
        versions.append(run(files.write("f", b"same", durable=n == 0)).version)
        run(files.delete("f"))
        versions.append(run(files.write("f", b"same", durable=False)).version)

    assert len(set(versions)) == len(versions)


def test_what_write_returns_is_all_that_stat_tells(files: FileSystem) -> None:
    stats = run(files.write("f", b"short"))

    assert run(files.stat("f")) == stats


def test_a_name_is_not_that_of_a_file_and_of_a_folder(files: FileSystem) -> None:
    run(files.write("a/f", b"1"))

    for path in ("a", "a/f/below"):
        with pytest.raises(UnavailableError):
            run(files.write(path, b"2"))
        with pytest.raises(UnavailableError):
            run(files.append(path, b"2"))
        run(files.delete(path))

    assert run(files.read("a/f")) == b"1"
    assert run(files.list("")).names == ["a/"]
    assert run(files.list("a")).names == ["f"]


def test_a_folder_stays_when_its_last_file_goes(files: FileSystem) -> None:
    run(files.append("a/f", b"1"))
    run(files.delete("a/f"))

    assert run(files.list("")).names == ["a/"]


def test_names_come_in_the_order_of_their_code_points(files: FileSystem) -> None:
    for path in ("é", "b", "B", "a/f", "a.", "a0"):
        run(files.append(path, b"1"))

    assert run(files.list("")).names == ["B", "a.", "a/", "a0", "b", "é"]


def test_a_tree_goes_though_others_keep_making_names_in_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One writer in a loop must not win against the removal of a folder below ours."""
    files = RealFileSystem(tmp_path)
    run(files.append("a/b/f", b"1"))
    remove, in_the_way = folders._remove, iter(range(40))

    def remove_and_meet(*arguments: object) -> None:
        for n in in_the_way:
            (tmp_path / "a" / "b").mkdir(exist_ok=True)
            (tmp_path / "a" / "b" / f"new{n}").touch()
            raise OSError(errno.ENOTEMPTY, "Directory not empty")
        remove(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(folders, "_remove", remove_and_meet)

    run(files.delete_tree("a"))

    assert run(files.list("")).names == []
    run(files.close())
