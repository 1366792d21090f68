"""The seam: the ten verbs that every engine offers and everything above relies on.

Each verb carries the precondition that makes it safe with many writers. What is policy
(durability modes, retries, leases, caches) lives above.

Paths are relative and `/`-separated; a component is never empty, `.` or `..` and holds no
NUL. Anything else is `InvalidIdError` before anything is touched.
"""

from collections.abc import Awaitable
from enum import Enum
from typing import Final, Literal, Protocol, TypeAlias, TypeGuard, runtime_checkable

import msgspec

from session_store.runtime import Runtime


class Precondition(Enum):
    """What `if_version` may ask for besides one version."""

    ANY = "any"
    ABSENT = "absent"


ANY: Final = Precondition.ANY
ABSENT: Final = Precondition.ABSENT

IfVersion: TypeAlias = str | Precondition


class FileStats(msgspec.Struct, frozen=True, gc=False):
    """What is known of a file without reading it.

    `version` is opaque and changes whenever the content does.
    """

    size: int
    mtime_ms: int
    version: str


class Page(msgspec.Struct, frozen=True):
    """Some of the names in a folder; a folder's own name ends in `/`.

    `after` is the cursor of the next page, None when this is the last.
    """

    names: list[str]
    after: str | None = None


class Traits(msgspec.Struct, frozen=True, kw_only=True):
    """Facts about an engine.

    `scope` is how far its preconditions hold; `durable` whether `sync` makes bytes survive a
    power cut; `blocking` whether its calls block the thread and never suspend; `durable_appends`
    whether they survive it as soon as `append` returns, so that nobody needs to call `sync`.
    """

    scope: Literal["process", "host", "network"]
    durable: bool
    blocking: bool
    durable_appends: bool = False


class FileSystem(Protocol):
    """Files that many writers can share."""

    @property
    def traits(self) -> Traits:
        """Facts about this engine."""
        ...

    async def stat(self, path: str) -> FileStats:
        """Return what is known of the file at `path`, or raise `NotFoundError`."""
        ...

    async def exists(self, path: str) -> bool:
        """Return whether there is a file at `path`."""
        ...

    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        """Return the bytes from `start` up to `end`, or raise `NotFoundError`.

        Past the end it returns what there is, also if that is nothing.
        """
        ...

    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        """Put `data` at `path`, whole or not at all, and return its stats.

        With `if_version=ABSENT` it only creates, with a version it only replaces that
        version, else it raises `ConflictError` with the version found (None for no file);
        of several racing callers exactly one wins. Missing folders are made. It survives
        a power cut when it returns, unless told `durable=False`; even then a crash leaves
        the old file, the new one, or one that cannot be read.
        """
        ...

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        """Add `data` at the end of `path` and return the new size in bytes.

        An absent file counts as empty, and missing folders are made. With `if_size` the
        call takes effect only if the file has exactly that size, else it raises
        `ConflictError` with the size found; of several racing callers exactly one wins.
        """
        ...

    async def delete(self, path: str, *, if_version: IfVersion = ANY) -> None:
        """Remove the file at `path`; one that is not there is removed already.

        With a version it removes only that version, else it raises `ConflictError`.
        """
        ...

    async def delete_tree(self, path: str) -> None:
        """Remove the folder at `path` with everything in it, if it is there."""
        ...

    async def list(self, path: str, *, after: str = "", limit: int = 1000) -> Page:
        """Return up to `limit` names in the folder at `path`, `""` for the root.

        Each name that is present throughout comes exactly once over all pages, in an order
        that is the engine's own; a folder's name ends in `/`. A folder that is not there
        has no names.
        """
        ...

    async def mkdir(self, path: str) -> None:
        """Make the folder at `path` and those above it, where folders exist."""
        ...

    async def sync(self, path: str) -> None:
        """Return when every earlier byte of `path`, and its name, survives a power cut.

        Concurrent callers share one sync. Raises `UnavailableError` if that cannot be
        promised, and `NotFoundError` if there is no file.
        """
        ...

    async def close(self) -> None:
        """Let go of what is held open; later calls raise `ClosedError`."""
        ...


@runtime_checkable
class Bindable(Protocol):
    """A file system that waits, and can wait in the way of another runtime."""

    def bind(self, runtime: Runtime) -> FileSystem:
        """Return the same files, waiting by `runtime`; closing either closes both."""
        ...


@runtime_checkable
class Direct(Protocol):
    """A file system with plain calls for what needs no waiting, most of the time.

    They are used unless a subclass has changed `append` alone.
    """

    def append_now(self, path: str, data: bytes, size: int) -> bool:
        """Do `append(path, data, if_size=size)` at once and return True, or else do nothing.

        False says nothing about why: `append` will. Raises what `append` raises.
        """
        ...

    def size_now(self, path: str) -> int | None:
        """Return the size of the file that was last appended to at `path`, None if unknown.

        Should that file have been removed or replaced since, this does not tell.
        """
        ...

    def read_now(self, path: str, start: int, end: int) -> bytes:
        """Return these bytes of the file of which `size_now` tells, fewer where it ends before."""
        ...

    def is_now(self, path: str, size: int) -> bool:
        """Return whether the file at `path` has `size` bytes, if one look can tell, else False."""
        ...

    def sync_now(self, path: str) -> bool:
        """Do `sync(path)`, blocking, and return True; or do nothing, if others sync it too.

        Raises what `sync` raises.
        """
        ...


def is_direct(files: object) -> TypeGuard[Direct]:
    """Return whether it is `Direct`, and its `append_now` no older than its `append`."""
    kind = type(files)
    # Asked of its class, for that answer is remembered.
    return issubclass(kind, Direct) and _age(kind, "append_now") <= _age(kind, "append")


def _age(kind: type, name: str) -> int:
    return next(age for age, base in enumerate(kind.__mro__) if name in vars(base))


@runtime_checkable
class Watch(Protocol):
    """A file system that can tell of a change sooner than a `stat` every so often."""

    def changed(self, path: str, size: int, timeout: float) -> Awaitable[None]:
        """Return once `path` differs from `size` bytes, or after `timeout` seconds."""
        ...
