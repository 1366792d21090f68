"""Stores in need: full disks, no inodes, quota, file-size limit, no descriptors, read-only.

Every shortage is gone through `--amount` times, with another seed each time.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path

from disk_campaign import Tally, arguments, say
from disk_judge import Verdict
from disk_mounts import (
    make_image,
    missing,
    mount_memory,
    mounted,
    own_mounts,
    remount,
    scratch,
    unmount,
)
from disk_squeeze import (
    REFUSED,
    FileSize,
    Filler,
    MovedRoot,
    NoDescriptors,
    NoInodes,
    NoPermission,
    Quota,
    RemovedMount,
    Shortage,
    endure,
)

Mount = Callable[[Path], AbstractContextManager[Path]]


class UserFiller(Filler):
    """The user has used up what is his."""


class ReadOnly(Shortage):
    """The file system was mounted again, read-only."""

    allowed = REFUSED

    def begin(self) -> None:
        """Mount it read-only."""
        remount(self.root.parent, read_only=True)

    def end(self) -> None:
        """Mount it as before."""
        remount(self.root.parent, read_only=False)


def image(kind: str, *options: str, mount: str = "", size: int | None = None) -> Mount:
    """Return what mounts a new image in a folder."""

    @contextmanager
    def place(folder: Path) -> Iterator[Path]:
        made = make_image(folder / "image", kind, *options, size=size)
        with mounted(made, folder / "mnt", kind, mount) as there:
            there.chmod(0o777)
            yield there

    return place


def memory(options: str) -> Mount:
    """Return what mounts a tmpfs in a folder."""

    @contextmanager
    def place(folder: Path) -> Iterator[Path]:
        there = folder / "mnt"
        mount_memory(there, options)
        try:
            there.chmod(0o777)
            yield there
        finally:
            unmount(there)

    return place


FOLDERS: dict[str, type[Shortage]] = {
    "file size limit": FileSize,
    "no descriptors": NoDescriptors,
    "no permission": NoPermission,
    "quota, told by the system call": Quota,
    "root moved away": MovedRoot,
    "disk taken away": RemovedMount,
}

MOUNTS: dict[str, tuple[Mount, type[Shortage]]] = {
    "tmpfs full": (memory("size=2m"), Filler),
    "ext4 full": (image("ext4", "-m", "0", size=12 << 20), Filler),
    "xfs full": (image("xfs"), Filler),
    "tmpfs without inodes": (memory("size=8m,nr_inodes=80"), NoInodes),
    "ext4 without inodes": (image("ext4", "-N", "128"), NoInodes),
    "ext4 read-only": (image("ext4"), ReadOnly),
    "xfs read-only": (image("xfs"), ReadOnly),
    "tmpfs quota": (memory("size=64m,usrquota_block_hardlimit=2m"), UserFiller),
}


def main() -> int:
    """Run the campaign."""
    args = arguments(__doc__ or "", 50)
    last = args.seed + args.amount - 1
    tally = Tally("full_disk", "shortages", seeds=f"{args.seed}-{last}")
    for name, kind in FOLDERS.items():
        _repeat(name, args.seed, last, tally, lambda seed, kind=kind: _in_folder(kind, seed))
    try:
        own_mounts()
    except OSError as error:
        tally.skipped.append(f"{', '.join(MOUNTS)}: need root on Linux ({error})")
        return tally.finish()
    for name, (place, kind) in MOUNTS.items():
        reason = _missing(name, place)
        if reason is not None:
            tally.skipped.append(reason)
            continue
        _repeat(
            name,
            args.seed,
            last,
            tally,
            lambda seed, place=place, kind=kind: _in_mount(place, kind, seed),
        )
    return tally.finish()


def _repeat(name: str, first: int, last: int, tally: Tally, run: Callable[[int], Verdict]) -> None:
    for seed in range(first, last + 1):
        verdict = run(seed)
        verdict.findings = {f"{name}, {what}": n for what, n in verdict.findings.items()}
        tally.judged(f"{name} {seed}", verdict)
    say(f"{name}: {last + 1 - first} times, {tally.violations} violations")


def _in_folder(kind: type[Shortage], seed: int) -> Verdict:
    with scratch() as folder:
        folder.chmod(0o777)
        return endure(kind(folder / "store"), seed=seed, nobody=True)


def _in_mount(place: Mount, kind: type[Shortage], seed: int) -> Verdict:
    with scratch() as folder, place(folder) as mount:
        return endure(
            kind(mount / "store"),
            seed=seed,
            # While a file is open for writing the system refuses to go read-only.
            fresh=kind is ReadOnly,
            nobody=kind is UserFiller,
        )


def _missing(name: str, place: Mount) -> str | None:
    try:
        with scratch() as folder, place(folder):
            return None
    except OSError as error:
        kind = name.partition(" ")[0]
        return f"{name}: {missing(kind) if kind in ('ext4', 'xfs') else None or error}"


if __name__ == "__main__":
    sys.exit(main())
