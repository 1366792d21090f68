"""The same loop below the seam: the n-th system call that the files room makes fails."""

from __future__ import annotations

import errno
import fcntl
import importlib
import os
import pkgutil
import shutil
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple
from unittest.mock import patch

import session_store.files
from session_store.errors import SessionStoreError
from session_store.files import RealFileSystem
from session_store.files.filesystem import ABSENT, FileSystem
from session_store.runtime import run

COUNTED = frozenset(
    ("open", "close", "stat", "fstat", "mkdir", "chmod", "fchmod", "rename", "unlink", "rmdir")
    + ("scandir", "write", "pwrite", "pread", "ftruncate", "utime", "fsync", "fdatasync", "flock")
)
ERRNOS = {
    name: getattr(errno, name)
    for name in ("EIO", "ENOSPC", "EDQUOT", "EACCES", "EMFILE", "EINTR", "EROFS", "ENOENT")
}
SHORT = "short"
"""A write that takes only a part, and then is refused for space."""

MOST_CALLS = 500
IO_TIMEOUT_MS = 50


class Plan:
    """Which call fails, and how."""

    def __init__(self) -> None:
        self.how = ""
        self.at = 0
        self.times: int | None = 1
        self.calls = 0
        self.struck: list[str] = []
        self.refuse_writes = False

    def arm(self, how: str, at: int, times: int | None) -> None:
        self.how, self.at, self.times = how, at, times
        self.calls = 0
        self.struck = []
        self.refuse_writes = False

    def heal(self) -> None:
        self.how = ""
        self.refuse_writes = False

    def call(self, name: str, function: Callable[..., Any], *args: Any, **facts: Any) -> Any:
        if not self.how:
            return function(*args, **facts)
        if self.how == SHORT:
            return self._short(name, function, *args, **facts)
        self.calls += 1
        done = self.times is not None and len(self.struck) >= self.times
        if self.calls < self.at or done:
            return function(*args, **facts)
        self.struck.append(name)
        if name == "close":
            function(*args, **facts)  # the descriptor is gone all the same
        number = ERRNOS[self.how]
        raise OSError(number, os.strerror(number))

    def _short(self, name: str, function: Callable[..., Any], *args: Any, **facts: Any) -> Any:
        if name not in ("write", "pwrite"):
            return function(*args, **facts)
        if self.refuse_writes and self.times is None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        self.calls += 1
        if self.calls == self.at + 1 and self.struck:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        if self.calls != self.at:
            return function(*args, **facts)
        self.struck.append(name)
        self.refuse_writes = True
        fd, data, *rest = args
        return function(fd, bytes(data)[: max(1, len(data) // 2)], *rest)


class System:
    """A module of system calls, seen through a plan."""

    def __init__(self, module: Any, plan: Plan) -> None:
        self._module = module
        self._plan = plan

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._module, name)
        if name not in COUNTED:
            return found

        def call(*args: Any, **facts: Any) -> Any:
            return self._plan.call(name, found, *args, **facts)

        return call


@contextmanager
def failing(plan: Plan) -> Iterator[None]:
    """Let every system call of the files room go by the plan."""
    patches = []
    for found in pkgutil.iter_modules(session_store.files.__path__):
        module = importlib.import_module(f"session_store.files.{found.name}")
        for name, system in (("os", os), ("fcntl", fcntl)):
            if getattr(module, name, None) is system:
                patches.append(patch.object(module, name, System(system, plan)))
    for one in patches:
        one.start()
    try:
        yield
    finally:
        for one in patches:
            one.stop()


# What is tried, and on what

FILES = {"log/messages.jsonl": b"first\n", "whole.json": b"whole", "tree/a/b": b"deep"}

Verb = Callable[[FileSystem], Awaitable[Any]]


async def _replace(files: FileSystem) -> Any:
    version = (await files.stat("whole.json")).version
    return await files.write("whole.json", b"newer" * 10, if_version=version)


async def _delete_version(files: FileSystem) -> Any:
    version = (await files.stat("whole.json")).version
    return await files.delete("whole.json", if_version=version)


async def _append_and_sync(files: FileSystem) -> Any:
    size = await files.append("log/messages.jsonl", b"second\n", if_size=6)
    await files.sync("log/messages.jsonl")
    return size


VERBS: dict[str, Verb] = {
    "stat": lambda files: files.stat("whole.json"),
    "exists": lambda files: files.exists("whole.json"),
    "read": lambda files: files.read("log/messages.jsonl"),
    "read a part": lambda files: files.read("log/messages.jsonl", 2, 4),
    "write": lambda files: files.write("whole.json", b"newer" * 10),
    "write a new one": lambda files: files.write("new/a/file", b"new", if_version=ABSENT),
    "write a version": _replace,
    "write, not durably": lambda files: files.write("whole.json", b"newer", durable=False),
    "append": lambda files: files.append("log/messages.jsonl", b"second\n"),
    "append at a size": lambda files: files.append("log/messages.jsonl", b"second\n", if_size=6),
    "append the first": lambda files: files.append("new/messages.jsonl", b"first\n", if_size=0),
    "append and sync": _append_and_sync,
    "sync": lambda files: files.sync("log/messages.jsonl"),
    "delete": lambda files: files.delete("whole.json"),
    "delete a version": _delete_version,
    "delete nothing": lambda files: files.delete("tree/none"),
    "delete_tree": lambda files: files.delete_tree("tree"),
    "list": lambda files: files.list(""),
    "list a page": lambda files: files.list("", limit=1),
    "mkdir": lambda files: files.mkdir("made/here"),
}


def content(root: Path) -> dict[str, bytes | None]:
    """Return all files and folders below `root`, drafts included."""
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else None
        for path in sorted(root.rglob("*"))
    }


def without_folders(found: dict[str, bytes | None]) -> dict[str, bytes | None]:
    """Return what counts: folders do not, and a log that is empty is as good as none."""
    return {path: data for path, data in found.items() if data}


class Outcome(NamedTuple):
    kind: str
    told: str = ""


def attempt(files: FileSystem, verb: Verb) -> Outcome:
    """Try the verb, and return what the caller was told."""
    try:
        answer = run(_awaited(verb(files)))
    except SessionStoreError as error:
        kind = "unknown" if getattr(error, "unknown", False) else "failed"
        return Outcome(kind, f"{type(error).__name__}: {error}")
    except Exception as error:
        return Outcome("untyped", f"{type(error).__name__}: {error}")
    return Outcome("ok", type(answer).__name__)


async def _awaited(call: Awaitable[Any]) -> Any:
    return await call


class Bench:
    """Folders to try verbs in, each the same at the beginning."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.plan = Plan()
        self.struck = 0
        self.shots = 0
        self.violations: list[str] = []
        self._number = 0

    def folder(self) -> Path:
        self._number += 1
        root = self.base / f"r{self._number}"
        for path, data in FILES.items():
            (root / path).parent.mkdir(parents=True, exist_ok=True)
            (root / path).write_bytes(data)
        return root

    def loop(self, name: str, how: str, *, warm: bool, lasting: bool) -> None:
        """Let the first, second, third … system call fail, until the verb gets through."""
        expected = self._undisturbed(name, warm=warm)
        for at in range(1, MOST_CALLS):
            self._shoot(name, how, at, warm=warm, lasting=lasting, expected=expected)
            self.shots += 1
            self.struck += len(self.plan.struck)
            if not self.plan.struck:
                return
        self.violations.append(f"{name}: more than {MOST_CALLS} system calls")

    def _undisturbed(self, name: str, *, warm: bool) -> tuple[Outcome, dict[str, bytes | None]]:
        root = self.folder()
        files = RealFileSystem(root)
        self._warm(files, warm)
        outcome = attempt(files, VERBS[name])
        run(files.close())
        found = content(root)
        shutil.rmtree(root)
        return outcome, found

    @staticmethod
    def _warm(files: FileSystem, warm: bool) -> None:
        if warm:
            run(files.append("log/messages.jsonl", b""))
            run(files.sync("log/messages.jsonl"))

    def _shoot(
        self,
        name: str,
        how: str,
        at: int,
        *,
        warm: bool,
        lasting: bool,
        expected: tuple[Outcome, dict[str, bytes | None]],
    ) -> None:
        shot = f"{name}/{how}/{'warm' if warm else 'cold'}/{'lasting' if lasting else 'once'}/{at}"
        due, after = expected
        root = self.folder()
        before = content(root)
        opened = _descriptors()
        files = RealFileSystem(root, io_timeout_ms=IO_TIMEOUT_MS)
        with failing(self.plan):
            self._warm(files, warm)
            self.plan.arm(how, at, None if lasting else 1)
            outcome = attempt(files, VERBS[name])
            self.plan.heal()
            struck = list(self.plan.struck)
        found = content(root)

        def wrong(said: str) -> None:
            where = f"{struck[0]} " if struck else ""
            self.violations.append(f"{shot} at {where}: {outcome.kind} {outcome.told}: {said}")

        if outcome.kind == "untyped":
            wrong("an untyped error")
        if drafts := [path for path in found if ".tmp-" in path]:
            # A disk that refuses to remove it leaves it.
            if not lasting and struck != ["unlink"]:
                wrong(f"left {drafts}")
            for path in drafts:
                del found[path]
        landed = self._landed(found, before, after)
        # One that was gone for a moment looks as if it had been replaced meanwhile.
        replaced = how == "ENOENT" and name.startswith("append") and struck[:1] == ["stat"]
        if landed is None and name != "delete_tree" and not replaced:
            wrong(f"neither before nor after: {_differing(found, before)}")
        # That a file is not there is no error to those who remove it.
        lied = how == "ENOENT" and name.startswith("delete")
        if outcome.kind == "ok" and landed == "before" and not lied:
            wrong("acknowledged, and has not happened")
        changes = without_folders(before) != without_folders(after)
        several = name == "append and sync"
        if (
            outcome.kind == "failed"
            and landed != "before"
            and changes
            and not (several or replaced)
        ):
            wrong("the error says it did not happen")
        self._again(name, files, root, struck, how, (due, after, landed), wrong)
        run(files.close())
        del files
        if _descriptors() != opened:
            wrong("a descriptor is left open")
        shutil.rmtree(root)

    @staticmethod
    def _landed(
        found: dict[str, bytes | None],
        before: dict[str, bytes | None],
        after: dict[str, bytes | None],
    ) -> str | None:
        # Folders may have been made for what was then refused.
        if without_folders(found) == without_folders(before):
            return "before" if without_folders(before) != without_folders(after) else "after"
        return "after" if without_folders(found) == without_folders(after) else None

    def _again(
        self,
        name: str,
        files: FileSystem,
        root: Path,
        struck: list[str],
        how: str,
        expected: tuple[Any, ...],
        wrong: Callable[[str], None],
    ) -> None:
        due, after, landed = expected
        other = RealFileSystem(root, io_timeout_ms=IO_TIMEOUT_MS)
        told = attempt(files, VERBS[name])
        if told.kind != "ok" and {"fsync", "fdatasync"} & set(struck):
            # A disk that failed to sync is not asked again, by this process.
            told = attempt(other, VERBS[name])
        conflicts = ("ConflictError", "NotFoundError")
        natural = landed != "before" and told.told.startswith(conflicts)
        if told != due and not natural:
            wrong(f"repeated: {told.kind} {told.told}")
        elif name in ("append", "append and sync") and landed != "before":
            pass
        elif without_folders(content(root)) != without_folders(after):
            drafts = [path for path in content(root) if ".tmp-" in path]
            if not drafts:
                wrong(f"repeated: {_differing(content(root), after)}")
        held = attempt(other, lambda seam: seam.append("log/messages.jsonl", b"free\n"))
        if held.kind != "ok":
            wrong(f"another cannot write: {held}")
        held = attempt(other, lambda seam: seam.write("log/other", b"free", if_version=ABSENT))
        if held.kind != "ok":
            wrong(f"another cannot write beside it: {held}")
        run(other.close())


def _descriptors() -> int:
    return len(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else 0


def _differing(one: dict[str, bytes | None], other: dict[str, bytes | None]) -> str:
    names = [name for name in one.keys() | other.keys() if one.get(name) != other.get(name)]
    return ", ".join(f"{name}: {one.get(name)!r}" for name in sorted(names))


@contextmanager
def bench() -> Iterator[Bench]:
    """Give a bench in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory(prefix="nth-") as base:
        yield Bench(Path(base))
