"""A disk behind a page cache: what every process sees, and what a power cut leaves of it.

Without it only the death of processes could be simulated, and that never loses a byte. It is
meaner than any one file system: names and bytes that were not synced each meet a fate of
their own, in no order. What was synced stays.
"""

import re
from random import Random

from session_store.errors import ConflictError, NotFoundError
from session_store.files.filesystem import ABSENT, ANY, FileStats, IfVersion, Page

SECTOR = 512
"""What the disk writes whole."""

_LF = re.compile(b"\n")


class Inode:
    """The bytes of one file: the first `synced` of them are on the disk.

    A failed fsync dropped the pages in `lost`: the cache shows what the disk never got.
    """

    __slots__ = ("data", "failed", "lost", "synced", "version")

    def __init__(self, data: bytes, synced: int, version: int) -> None:
        self.data = data
        self.synced = synced
        self.version = version
        self.failed = False
        self.lost: list[tuple[int, int]] = []

    def stats(self) -> FileStats:
        """Return what `FileSystem.stat` says of it."""
        return FileStats(len(self.data), 0, str(self.version))


class Disk:
    """Files in a dict. No call waits; what may be interrupted is made of several calls."""

    def __init__(self, files: dict[str, bytes] | None = None) -> None:
        self.files: dict[str, Inode] = {}
        self.folders: set[str] = set()
        self.loose: set[str] = set()
        """Folders whose own name is not on the disk yet."""
        self.before: dict[str, list[Inode | None]] = {}
        """What else a name may stand for after a power cut, as far back as its last sync."""
        self.holes: dict[str, list[tuple[int, int]]] = {}
        """Where a crash has taken bytes of a file, or kept its writer from ending a line."""
        for number, (path, data) in enumerate((files or {}).items()):
            self.files[path] = Inode(data, len(data), number)
            self.folders.add(path.rpartition("/")[0])
            if not data.endswith(b"\n"):
                self.hole(path, data.rfind(b"\n") + 1, len(data))
        self.versions = len(self.files)

    def put(self, path: str, data: bytes) -> None:
        """Let `data` stand at `path`, durably."""
        self.versions += 1
        self.files[path] = Inode(data, len(data), self.versions)
        self.before.pop(path, None)
        self.folders.add(path.rpartition("/")[0])

    def data(self, path: str) -> bytes:
        """Return what the cache holds of a file, nothing if it is absent."""
        inode = self.files.get(path)
        return inode.data if inode is not None else b""

    def hole(self, path: str, start: int, end: int) -> None:
        """Note that nobody may ask for a record in these bytes."""
        self.holes.setdefault(path, []).append((start, end))

    def has_hole(self, path: str, start: int, end: float) -> bool:
        """Return whether a crash has left a hole that reaches into this range."""
        return any(first < end and start < last for first, last in self.holes.get(path, ()))

    def below(self, folder: str) -> list[str]:
        """Return the files below a folder."""
        return [path for path in self.files if path.startswith(f"{folder}/")]

    def find(self, path: str) -> Inode:
        """Return the file at `path`, or raise `NotFoundError`."""
        inode = self.files.get(path)
        if inode is None:
            raise NotFoundError(path)
        return inode

    def append(self, path: str, data: bytes, if_size: int | None) -> int:
        """Add to the cache, under the precondition; a new name is not durable."""
        inode = self.files.get(path)
        size = len(inode.data) if inode is not None else 0
        if if_size is not None and if_size != size:
            raise ConflictError(path, expected=if_size, actual=size)
        if inode is None:
            inode = Inode(b"", 0, 0)
            self.name(path, inode)
        inode.data += data
        inode.version = self._version()
        return size + len(data)

    def replace(self, path: str, data: bytes, if_version: IfVersion, synced: bool) -> FileStats:
        """Rename a new file over the name, which is durable only after `sync_folder`."""
        found = self.files.get(path)
        version = str(found.version) if found is not None else None
        if if_version is not ANY and if_version != (ABSENT if version is None else version):
            raise ConflictError(path, expected=if_version, actual=version)
        inode = Inode(data, len(data) if synced else 0, self._version())
        self.name(path, inode)
        return inode.stats()

    def delete(self, path: str, if_version: IfVersion = ANY) -> None:
        """Take the name away; it may come back until `sync_folder`."""
        found = self.files.get(path)
        if found is None:
            return
        if if_version is not ANY and if_version != str(found.version):
            raise ConflictError(path, expected=if_version, actual=str(found.version))
        self.name(path, None)

    def name(self, path: str, inode: Inode | None) -> None:
        """Let the name stand for `inode` in the cache, and perhaps on the disk."""
        self.before.setdefault(path, []).append(self.files.get(path))
        if inode is None:
            del self.files[path]
            return
        self.files[path] = inode
        self.make_folder(folder_of(path))

    def make_folder(self, folder: str) -> None:
        """Make a folder whose name is not durable."""
        if folder and folder not in self.folders:
            self.folders.add(folder)
            self.loose.add(folder)

    def remove_folder(self, folder: str) -> None:
        """Take the name of an empty folder away."""
        if not self.below(folder):
            self.folders.discard(folder)

    def sync_data(self, path: str) -> None:
        """Bring the bytes of a file to the disk, but for those that it has dropped before."""
        inode = self.find(path)
        inode.synced = len(inode.data)

    def drop_pages(self, path: str) -> None:
        """Let an fsync fail: the bytes not synced stay in the cache, and nowhere else."""
        inode = self.find(path)
        inode.failed = True
        inode.lost.append((inode.synced, len(inode.data)))

    def sync_folder(self, folder: str) -> None:
        """Bring the names in a folder, and those of the folders above, to the disk."""
        if self.before:
            for path in [path for path in self.before if folder_of(path) in (folder, "")]:
                del self.before[path]
        # The chain of folders is synced up to the root.
        self.loose.clear()

    def page(self, folder: str, after: str, limit: int) -> Page:
        """Return a page of the names in a folder."""
        start = f"{folder}/" if folder else ""
        found = {_first(path[len(start) :]) for path in self.files if path.startswith(start)}
        if not folder:
            found |= {f"{name}/" for name in self.folders if name}
        names = sorted(name for name in found if name > after)
        page = names[:limit]
        return Page(page, after=page[-1] if len(names) > limit else None)

    def copy(self) -> "Disk":
        """Return a disk that goes its own way from here, all of it durable."""
        return self._left({path: inode.data for path, inode in self.files.items()})

    def cut_power(self, dice: Random) -> "tuple[Disk, list[str]]":
        """Return what a power cut may leave of this disk, and what became of the rest."""
        fates: list[str] = []
        files = dict(self.files)
        for path, others in self.before.items():
            choice = dice.randrange(len(others) + 1)
            if choice < len(others):
                inode = others[choice]
                files.pop(path, None)
                if inode is not None:
                    files[path] = inode
                fates.append(f"{path} is {'gone' if inode is None else 'what it was before'}")
        for folder in sorted(self.loose):
            if dice.random() < 0.5:
                fates.append(f"the folder {folder} is gone")
                files = {path: one for path, one in files.items() if folder_of(path) != folder}
        left: dict[str, bytes] = {}
        for path, inode in files.items():
            data = left[path] = inode.data
            if inode.synced != len(data) or inode.lost:
                left[path] = _left_of(inode, dice)
                sizes = f"{len(left[path])} of {len(data)} bytes, {inode.synced} were synced"
                fates.append(f"{path} has {sizes}")
        disk = self._left(left)
        for path, data in left.items():
            before = files[path].data
            if not before.startswith(data):
                pairs = zip(before, data, strict=False)
                first = next(at for at, (was, left) in enumerate(pairs) if was != left)
                disk.hole(path, first, len(data))
        return disk, fates

    def _left(self, files: dict[str, bytes]) -> "Disk":
        """Return a disk with these files, and with the holes that they had here."""
        disk = Disk(files)
        for path in self.holes.keys() & files.keys():
            disk.holes.setdefault(path, []).extend(self.holes[path])
        return disk

    def _version(self) -> int:
        # A counter: a version never comes back, not even when the content does.
        self.versions += 1
        return self.versions


def folder_of(path: str) -> str:
    """Return the folder of a file, `""` for the root."""
    return path.rpartition("/")[0]


def _first(path: str) -> str:
    name, slash, _ = path.partition("/")
    return name + slash


def _left_of(inode: Inode, dice: Random) -> bytes:
    """Return what a power cut leaves of a file's bytes."""
    data, synced = inode.data, inode.synced
    for start, end in inode.lost:
        data = data[:start] + bytes(end - start) + data[end:]
    rest = data[synced:]
    kind = dice.randrange(6)
    if kind == 0 or not rest:
        return data[:synced]
    if kind == 1:
        return data
    ends = [match.end() for match in _LF.finditer(rest)]
    size = dice.choice(ends) if ends and kind == 2 else dice.randrange(len(rest) + 1)
    if kind < 4:
        return data[: synced + size]
    if kind == 4:
        # The size came to the disk, the bytes did not.
        return data[: synced + size] + bytes(len(rest) - size)
    sectors = bytearray(data)
    for start in range(synced // SECTOR * SECTOR, len(data), SECTOR):
        if dice.random() < 0.5:
            start, end = max(start, synced), min(start + SECTOR, len(data))
            sectors[start:end] = bytes(end - start)
    return bytes(sectors)
