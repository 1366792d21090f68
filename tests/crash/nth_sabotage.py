"""Stores with one safety step taken out, each of which the loop must notice."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple
from unittest.mock import patch

from session_store.errors import FileSystemError, UnavailableError
from session_store.index.core import Core
from session_store.store.catalogue import Catalogue
from session_store.store.locking import Locking
from session_store.store.log import SessionLog
from session_store.store.logs import LogUse
from session_store.store.writer import Writer


class Sabotage(NamedTuple):
    """What is taken out, and the course on which it must be noticed."""

    what: str
    owner: type
    name: str
    instead: Any
    case: str
    fault: str
    warm: bool = True

    def done(self) -> AbstractContextManager[Any]:
        return patch.object(self.owner, self.name, self.instead)


_send = Writer._send
_core_send = Core._send
_append = Writer._append
_exit = LogUse.__aexit__
_commit = Writer.commit


async def _cache_first(self: Writer, log: SessionLog, data: bytes, last: str) -> int:
    """What is written counts before it has landed."""
    if not log.torn:
        lines = data.splitlines(keepends=True)
        records = [log.file._decode(line[:-1], 0) for line in lines]
        before = log.size
        log.wrote(records, lines, before + len(data))
        log.size = before
    return await _send(self, log, data, last)


async def _swallow(self: Writer, log: SessionLog, data: bytes, last: str) -> int:
    """An append that was refused is passed over."""
    try:
        return await _send(self, log, data, last)
    except UnavailableError:
        return log.size + len(data)


async def _keep_mutex(self: LogUse, kind: Any = None, *rest: object) -> None:
    """After an error the mutex of the log is left behind."""
    if kind is None:
        await _exit(self, kind, *rest)


async def _believe(self: Writer, log: SessionLog, data: bytes, last: str) -> bool:
    """An append whose answer was lost counts as refused by another."""
    return False


async def _blind(self: Writer, session_id: str, path: str, last: str) -> None:
    """A failed sync is passed over as a plain refusal."""
    await self._commit(path)


async def _not_unknown(self: Core, path: str, data: bytes, size: int) -> None:
    """A change of the index whose answer was lost counts as refused."""
    try:
        await self.files.append(path, data, if_size=size)
    except UnavailableError as error:
        raise UnavailableError(path, error.reason) from error


async def _untyped(self: Core) -> None:
    """Something of Python's own comes through."""
    try:
        await _settle(self)
    except FileSystemError as error:
        raise RuntimeError("not settled") from error


_settle = Core.settle


async def _forget_the_lease(self: Locking, *_: Any) -> None:
    """A lock that could not be acquired is left where it is."""


async def _delete(self: Catalogue, session_id: str) -> None:
    """The folder of a deleted session is removed once or never."""
    await self._ready()
    await self._guard(session_id)
    await self._index.delete(session_id)
    await self._files.delete_tree(session_id)


async def _in_memory_first(self: Core, *records: Any) -> None:
    """A change of the index counts before it stands in the journal."""
    for record in records:
        self.state.apply(record)
    await _core_append(self, *records)


_core_append = Core.append

SABOTAGES: Sequence[Sabotage] = (
    Sabotage("cache before append", Writer, "_send", _cache_first, "append", "refused"),
    Sabotage("swallowed error", Writer, "_send", _swallow, "append", "refused"),
    Sabotage("mutex left", LogUse, "__aexit__", _keep_mutex, "append", "refused"),
    Sabotage("lost answer unsettled", Writer, "_stands", _believe, "append", "lost answer"),
    Sabotage("sync not unknown", Writer, "commit", _blind, "append", "refused"),
    Sabotage("index not unknown", Core, "_send", _not_unknown, "add_key", "lost answer"),
    Sabotage("untyped", Core, "settle", _untyped, "add_key", "refused"),
    Sabotage("index before journal", Core, "append", _in_memory_first, "add_key", "refused"),
    Sabotage("lease left", Locking, "_give_back", _forget_the_lease, "lock", "refused"),
    Sabotage("folder left", Catalogue, "delete_session", _delete, "delete_session", "refused"),
)
