"""What callers do in a race, and how their answers are judged.

Each is a function of this module, so that another process can be asked for it; each answers
with what the seam told it, and whoever runs the race compares that with what is there.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from session_store.errors import ConflictError, NotFoundError
from session_store.files.filesystem import ABSENT, FileSystem, IfVersion

MOST_TRIES: Final = 10_000
LONG_SECONDS: Final = 3600


async def create(files: FileSystem, paths: Sequence[str], mark: int) -> list[str]:
    """Return the paths that this caller created."""
    won = []
    for path in paths:
        try:
            await files.write(path, b"%d" % mark, if_version=ABSENT, durable=False)
        except ConflictError:
            continue
        won.append(path)
    return won


async def replace(files: FileSystem, versions: dict[str, str], mark: int) -> list[str]:
    """Return the paths of which this caller replaced the version it was given."""
    won = []
    for path, version in versions.items():
        try:
            await files.write(path, b"%d" % mark, if_version=version, durable=False)
        except ConflictError:
            continue
        won.append(path)
    return won


async def remove(files: FileSystem, versions: dict[str, str]) -> list[str]:
    """Return the paths of which this caller removed the version it was given."""
    removed = []
    for path, version in versions.items():
        try:
            await files.delete(path, if_version=version)
        except ConflictError:
            continue
        removed.append(path)
    return removed


async def claim(files: FileSystem, paths: Sequence[str], mark: int) -> list[str]:
    """Return the paths whose first bytes this caller appended."""
    won = []
    for path in paths:
        try:
            await files.append(path, b"%d" % mark, if_size=0)
        except ConflictError:
            continue
        won.append(path)
    return won


async def count_up(files: FileSystem, path: str, times: int) -> int:
    """Add one to the number in a file, so often, and return how often others came before."""
    conflicts = 0
    for _ in range(times):
        for _ in range(MOST_TRIES):
            found = await _number(files, path)
            if found is not None:
                value, version = found
                try:
                    data = b"%d" % (value + 1)
                    await files.write(path, data, if_version=version, durable=False)
                    break
                except ConflictError:
                    pass
            conflicts += 1
        else:
            raise AssertionError("nobody gets on")
    return conflicts


async def _number(files: FileSystem, path: str) -> tuple[int, IfVersion] | None:
    """Return the number and its version, or None if it changed while we looked."""
    try:
        stats = await files.stat(path)
        value = int(await files.read(path))
    except NotFoundError:
        return 0, ABSENT
    # What was read may be newer than the version; then the version is refused.
    return value, stats.version


def line(mark: int, number: int) -> bytes:
    """Return a line that nobody else writes; their lengths differ."""
    return b"%d:%d:%s\n" % (mark, number, b"x" * (number % 5 * 100))


async def append_lines(
    files: FileSystem, path: str, mark: int, count: int
) -> list[tuple[bytes, int]]:
    """Append so many lines, wherever the end is; return each with the size it got."""
    return [
        (line(mark, number), await files.append(path, line(mark, number)))
        for number in range(count)
    ]


async def append_at_size(
    files: FileSystem, path: str, mark: int, count: int
) -> list[tuple[bytes, int]]:
    """Append so many lines, each at the size it knows; return each with the size it got."""
    done = []
    size = 0
    for number in range(count):
        for _ in range(MOST_TRIES):
            try:
                size = await files.append(path, line(mark, number), if_size=size)
                break
            except ConflictError as conflict:
                size = _size_of(conflict)
        else:
            raise AssertionError("nobody gets on")
        done.append((line(mark, number), size))
    return done


def _size_of(conflict: ConflictError) -> int:
    assert isinstance(conflict.actual, int), f"the size found, not {conflict.actual!r}"
    return conflict.actual


async def append_synced(
    files: FileSystem, path: str, mark: int, count: int
) -> list[tuple[bytes, int]]:
    """Append so many lines and sync after each; return each with the size it got."""
    done = []
    for number in range(count):
        done.append((line(mark, number), await files.append(path, line(mark, number))))
        await files.sync(path)
    return done


def check_appended(
    content: bytes, answers: Iterable[list[tuple[bytes, int]]], *, count: int
) -> None:
    """Fail unless every line is there once, where its caller was told, and nothing else."""
    total = 0
    for answer in answers:
        assert len(answer) == count
        sizes = [size for _, size in answer]
        assert sizes == sorted(sizes), "one caller's lines are out of order"
        for data, size in answer:
            assert content[size - len(data) : size] == data, "a size is wrong, or bytes are lost"
            total += len(data)
    assert len(content) == total, "there is more than was appended, or less"


async def read_often(files: FileSystem, path: str, times: int) -> list[bytes]:
    """Return what was read, again and again; nothing for a file that was not there."""
    found = []
    for _ in range(times):
        try:
            found.append(await files.read(path))
        except NotFoundError:
            found.append(b"")
    return found


async def write_often(files: FileSystem, path: str, contents: Sequence[bytes]) -> None:
    """Put one content after the other in place."""
    for data in contents:
        await files.write(path, data, durable=False)


async def fill(files: FileSystem, paths: Sequence[str]) -> None:
    """Make these files."""
    for path in paths:
        await files.append(path, b"1")


async def list_often(files: FileSystem, path: str, limit: int, times: int) -> list[list[str]]:
    """Return all names of the folder, page by page, again and again."""
    listings = []
    for _ in range(times):
        names: list[str] = []
        after: str | None = ""
        while after is not None:
            page = await files.list(path, after=after, limit=limit)
            names += page.names
            after = page.after
            assert len(names) < MOST_TRIES, "the pages never end"
        listings.append(names)
    return listings


async def delete_each(files: FileSystem, paths: Sequence[str]) -> None:
    """Delete these files."""
    for path in paths:
        await files.delete(path)


async def delete_trees(files: FileSystem, path: str, times: int) -> None:
    """Remove the folder again and again."""
    for _ in range(times):
        await files.delete_tree(path)


async def append_each(files: FileSystem, paths: Sequence[str], data: bytes) -> list[int]:
    """Append to each of these files; return the sizes."""
    return [await files.append(path, data) for path in paths]


async def write_each(files: FileSystem, paths: Sequence[str], data: bytes) -> None:
    """Write each of these files."""
    for path in paths:
        await files.write(path, data, durable=False)


async def add(files: FileSystem, path: str, data: bytes) -> None:
    """Append once."""
    await files.append(path, data)


async def changed(files: Any, path: str, size: int, seconds: float = LONG_SECONDS) -> None:
    """Wait as `Watch` offers it."""
    await files.changed(path, size, seconds)
