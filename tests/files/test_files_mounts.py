"""A folder that other hosts share is refused before anything is written there."""

from pathlib import Path
from typing import Any

import pytest

from session_store.errors import ConfigError
from session_store.files import RealFileSystem, mounts
from session_store.files.mounts import kind_of
from session_store.files.urls import open_files
from session_store.runtime import run

TABLE = r"""
22 27 0:21 / /proc rw,relatime - proc proc rw
27 1 254:0 / / rw,relatime shared:1 - ext4 /dev/vda rw
40 27 0:44 / /mnt rw - tmpfs tmpfs rw
41 40 0:45 / /mnt/our\040files rw,relatime shared:7 master:2 - nfs4 server:/export rw,vers=4.2
42 27 0:46 / /mnt/over rw - nfs server:/old rw
43 42 0:47 / /mnt/over rw - xfs /dev/vdb rw
a line that is none
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/srv/bot/sessions", "ext4"),
        ("/mnt", "tmpfs"),
        ("/mnt/our files", "nfs4"),
        ("/mnt/our files/a/b", "nfs4"),
        ("/mnt/our files and more", "tmpfs"),
        ("/mnt/over/sessions", "xfs"),
    ],
)
def test_the_mount_that_holds_a_path_is_the_innermost_and_the_last(path: str, kind: str) -> None:
    assert kind_of(path, TABLE) == kind


def test_of_a_table_that_says_nothing_nothing_is_known() -> None:
    assert kind_of("/srv", "") == ""


@pytest.mark.parametrize("kind", ["nfs", "nfs4", "cifs", "smb3", "9p", "fuse.sshfs"])
def test_a_folder_on_a_network_is_refused_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    table = tmp_path / "mountinfo"
    shared = tmp_path / "shared"
    table.write_text(
        f"27 1 254:0 / / rw - ext4 /dev/vda rw\n41 27 0:4 / {shared} rw - {kind} s rw\n"
    )
    monkeypatch.setattr(mounts, "MOUNTS", str(table))
    urls: list[Any] = [str(shared / "sessions"), shared / "sessions", f"file://{shared}/sessions"]

    for url in urls:
        with pytest.raises(ConfigError, match=kind):
            open_files(url)
    assert not shared.exists()

    allowed = RealFileSystem(shared / "sessions", allow_network=True)
    run(allowed.append("a", b"1"))
    told = open_files(f"file:{shared}/sessions?allow_network=1")
    assert run(told.read("a")) == b"1"
    beside = open_files(tmp_path / "beside")
    for files in (allowed, told, beside):
        run(files.close())


def test_where_the_system_tells_no_mounts_every_folder_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(mounts, "MOUNTS", str(tmp_path / "absent"))

    files = RealFileSystem(tmp_path / "sessions")

    run(files.append("a", b"1"))
    run(files.close())


@pytest.mark.parametrize("query", ["allow_network=0", "durability=os", "x"])
def test_a_url_with_a_query_that_means_nothing_is_refused(query: str) -> None:
    with pytest.raises(ConfigError, match="allow_network=1"):
        open_files(f"file:./sessions?{query}")
