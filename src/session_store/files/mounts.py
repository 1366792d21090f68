"""Folders that other hosts share: there a lock may lie and a write may come late.

The seam rests on `flock`, `O_APPEND`, a `stat` that is true and an fsync that means it. Over
NFS, SMB or 9p each of them holds sometimes, by version, mount option and server.
"""

import os
import re
from typing import Final

from session_store.errors import ConfigError

MOUNTS: Final = "/proc/self/mountinfo"

_SHARED: Final = frozenset(
    ("nfs", "nfs4", "cifs", "smb2", "smb3", "smbfs", "ncpfs", "afs", "9p")
    + ("fuse.sshfs", "fuse.s3fs", "fuse.rclone", "fuse.gcsfuse", "fuse.davfs")
)


def refuse_network(root: str) -> None:
    """Raise `ConfigError` if the folder `root`, which need not exist yet, is on a network."""
    kind = network_of(root)
    if kind is not None:
        raise ConfigError(
            "root",
            f"the folder is on a network file system ({kind}), where other hosts break the "
            "promises of a folder: take a disk of this host, or allow it with "
            "RealFileSystem(root, allow_network=True) or file:folder?allow_network=1",
        )


def network_of(path: str) -> str | None:
    """Return the type of the network file system that `path` is on, None if it is on none.

    It need not exist yet. Where the system does not list its mounts as Linux does, nothing is
    known, and that is None.
    """
    try:
        with open(MOUNTS, "rb") as file:
            mounts = file.read()
    except OSError:
        return None
    kind = kind_of(os.path.realpath(path), os.fsdecode(mounts))
    return kind if kind in _SHARED else None


def kind_of(path: str, mounts: str) -> str:
    """Return the type of the file system that holds `path`, "" if that is not told.

    `mounts` is written as in proc_pid_mountinfo(5). Of several on one place the last one counts.
    """
    kind, longest = "", -1
    for line in mounts.split("\n"):
        before, found, after = line.partition(" - ")
        fields = before.split(" ")
        if not found or len(fields) < 5:
            continue
        place = re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[4])
        inside = path == place or path.startswith(place.rstrip("/") + "/")
        if inside and len(place) >= longest:
            kind, longest = after.split(" ")[0], len(place)
    return kind
