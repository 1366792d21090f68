"""Bytes come back as they were given, from any range."""

from itertools import product
from typing import Final

import pytest

from session_store.errors import NotFoundError

from .base import Suite
from .folder import Folder, check_bytes

LARGE_BYTES: Final = (8 << 20) + 1
# Where engines that store pieces cut them.
CHUNKS: Final = (512, 4096, 65_536, 1 << 20, 4 << 20, 5 << 20, 8 << 20)


def large() -> bytes:
    """Return more than 8 MiB in which no two pieces are alike."""
    words = b"".join(number.to_bytes(4, "big") for number in range(65_536))
    pieces = [b"%08d" % number + words for number in range(LARGE_BYTES // len(words) + 1)]
    return b"".join(pieces)[:LARGE_BYTES]


class ReadTests(Suite):
    """`read`: bytes come back as they were given, from any range."""

    def test_read_gives_every_range(self, folder: Folder) -> None:
        """`read` gives the bytes from `start` up to `end`, and past the end what there is."""
        folder.write("file", b"01234")
        starts, ends = range(8), (None, *range(8))

        found = {pair: folder.read("file", *pair) for pair in product(starts, ends)}

        assert found == {pair: b"01234"[pair[0] : pair[1]] for pair in product(starts, ends)}

    def test_read_far_past_the_end_gives_nothing(self, folder: Folder) -> None:
        """`read` from the end or far past it gives `b""`, as does a `start` after the `end`."""
        folder.append("file", b"0123456789")

        for start, end in ((10, None), (11, None), (10**12, None), (10**12, 10**13), (7, 3)):
            assert folder.read("file", start, end) == b""
        assert folder.read("file", 9, 10**13) == b"9"

    def test_read_of_an_empty_file_gives_nothing(self, folder: Folder) -> None:
        """`read` of a file of no bytes gives `b""`, whatever the range."""
        folder.write("file", b"")

        assert [folder.read("file", *pair) for pair in ((), (0, 0), (0, 1), (1,))] == [b""] * 4

    def test_read_gives_bytes_as_they_are(self, folder: Folder) -> None:
        """All 256 bytes come back, also NUL, CR LF and what is no UTF-8, and as `bytes`."""
        data = bytes(range(256)) + b"\r\n\n\r\0\xff\xfe\x1a"
        folder.write("written", data)
        folder.append("appended", data)

        for name in ("written", "appended"):
            found = folder.read(name)
            assert found == data
            assert type(found) is bytes

    def test_read_sees_what_was_written_before(self, folder: Folder) -> None:
        """`read` sees every write, append and delete that returned before it began."""
        folder.append("file", b"one")
        folder.append("file", b"two")
        assert folder.read("file") == b"onetwo"
        assert folder.read("file", 3) == b"two"

        folder.write("file", b"three")
        assert folder.read("file") == b"three"

        folder.delete("file")
        with pytest.raises(NotFoundError):
            folder.read("file")

    def test_read_of_large_files_is_exact(self, folder: Folder) -> None:
        """More than 8 MiB come back whole, and in ranges around the borders of chunks."""
        data = large()
        folder.write("file", data)

        check_bytes(folder.read("file"), data)
        for place in (*CHUNKS, len(data) - 1):
            for start, end in ((place - 1, place + 1), (place, place + 4097)):
                check_bytes(folder.read("file", start, end), data[start:end])
        check_bytes(folder.read("file", 1, len(data) - 1), data[1:-1])
        check_bytes(folder.read("file", len(data) - 3), data[-3:])

    def test_read_of_no_file_is_not_found(self, folder: Folder) -> None:
        """Reading nothing, a folder, a name below a file: `NotFoundError`, and its `path`."""
        folder.append("a/file", b"1")

        for name in ("none", "none/none", "a", "a/none", "a/file/none"):
            with pytest.raises(NotFoundError) as caught:
                folder.read(name)
            assert caught.value.path == folder.path(name)
            with pytest.raises(NotFoundError):
                folder.read(name, 5, 2)
