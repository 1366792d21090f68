"""The N-th sync fails, for every N, on a disk that lies about it afterwards (C6, A7)."""

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from disk_eio import fail_nth_sync
from disk_judge import Verdict
from disk_lying import LyingDisk
from disk_mounts import scratch

from session_store.errors import AppendUnknownError, UnavailableError
from session_store.files import RealFileSystem, posix
from session_store.runtime import run
from session_store.sync import SessionStore

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="needs the names in /proc")

MOST = 400


def verdicts(seed: int, *, for_good: bool, step: int, in_place: bool = False) -> Iterator[Verdict]:
    for nth in range(1, MOST, step):
        with scratch() as folder:
            verdict = fail_nth_sync(folder, nth, seed=seed, for_good=for_good, in_place=in_place)
        if verdict is None:
            return
        yield verdict
    raise AssertionError("it never came to an end")


@pytest.mark.parametrize("for_good", [False, True], ids=["once", "for good"])
def test_whichever_sync_fails_nothing_acknowledged_is_lost(for_good: bool) -> None:
    judged = list(verdicts(1, for_good=for_good, step=4))

    assert len(judged) >= 10
    assert [one.violations for one in judged if one.violations] == []


def test_a_sync_that_is_asked_for_again_in_place_is_found_out() -> None:
    judged = list(verdicts(1, for_good=False, step=2, in_place=True))

    sentences = [sentence for one in judged for sentence in one.violations]
    assert any("acknowledged, and lost" in sentence for sentence in sentences)
    assert any("written to after their sync had failed" in sentence for sentence in sentences)


def test_a_disk_that_failed_for_good_makes_its_session_read_only_and_no_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = SessionStore(RealFileSystem(tmp_path / "store"))
    sick, well = store.session("sick"), store.session("well")
    for chat in (sick, well):
        chat.append("user", "acknowledged")
    synced, inode = posix.fdatasync, (tmp_path / "store" / sick.id / "messages.jsonl").stat()
    folder = (tmp_path / "store" / sick.id).stat().st_ino

    def failing(fd: int) -> None:
        if posix.os.fstat(fd).st_ino in (inode.st_ino, folder):
            raise OSError(5, "Input/output error")
        synced(fd)

    monkeypatch.setattr(posix, "fdatasync", failing)
    monkeypatch.setattr(posix, "fsync", lambda fd: failing(fd) if fd else None)
    monkeypatch.setattr("session_store.files.syncing.replace", _no_copy)

    with pytest.raises(AppendUnknownError):
        sick.append("user", "unknown")
    with pytest.raises(UnavailableError, match="the disk failed"):
        sick.append("user", "refused")

    assert sick.messages()[0].content == "acknowledged"
    assert well.append("user", "goes on") == well.messages()[-1]


def _no_copy(*_: object) -> None:
    raise OSError(5, "Input/output error")


def test_the_lying_disk_keeps_what_was_synced_and_makes_the_rest_nul(tmp_path: Path) -> None:
    disk = LyingDisk(2)
    root = tmp_path / "root"
    files = RealFileSystem(root)
    with disk.installed():
        run(files.append("log", b"synced\n"))
        posix.fdatasync(_fd(root / "log"))
        run(files.append("log", b"failed\n"))
        with pytest.raises(OSError, match="Input/output error"):
            posix.fdatasync(_fd(root / "log"))
        posix.fdatasync(_fd(root / "log"))  # says OK, and has done nothing
        run(files.append("other", b"never synced\n"))

    disk.lay_out(root, tmp_path / "left")
    disk.close()

    assert (tmp_path / "left" / "log").read_bytes() == b"synced\n" + bytes(7)
    assert (tmp_path / "left" / "other").read_bytes() == b""


def _fd(path: Path) -> int:
    return posix.os.open(path, posix.os.O_RDONLY)
