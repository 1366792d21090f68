"""Stores that break one promise each, and the topics by which that must be found.

Some stand on a file system that is broken where only a store looks; in others one rule of the
store itself is taken out.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest
from filesystem_simulated import Simulated
from filesystem_sound import Memory, Suspending
from races_sabotage import (
    with_hasty_idempotence,
    with_one_mode,
    without_a_post_check,
    without_deletions,
    without_ending_tails,
    without_fences,
    without_heads,
    without_hiding_parents,
    without_idempotence,
    without_listening,
    without_owners,
    without_remembering,
    without_seals,
    without_the_deletion,
    without_the_index_precondition,
    without_verified_counts,
    without_waiting_for_the_sync,
    without_whole_batches,
)

from session_store.files import FileSystem
from session_store.files.filesystem import ANY, FileStats, IfVersion
from session_store.index import journal, paging
from session_store.model import context, messages
from session_store.store import feed
from session_store.store.catalogue import Catalogue
from session_store.store.opened import Opened
from session_store.store.reader import Reader
from session_store.testing.simulation import World

Patch = pytest.MonkeyPatch

LOG = "messages.jsonl"


# File systems


class ForgetsWhoAppended(Memory):
    """A log takes an append at any size; every other file keeps the precondition."""

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        if_size = None if path.endswith(LOG) else if_size
        return await super().append(path, data, if_size=if_size)


class ReadsOldBytes(Memory):
    """What was read of a log once is given again, also if it was shorter then."""

    def __init__(self) -> None:
        super().__init__()
        self._read: dict[tuple[str, int], bytes] = {}

    async def read(self, path: str, start: int = 0, end: int | None = None) -> bytes:
        data = await super().read(path, start, end)
        return self._read.setdefault((path, start), data) if path.endswith(LOG) else data


class KeepsFolders(Memory):
    """A folder in which a log lies is not removed."""

    async def delete_tree(self, path: str) -> None:
        if f"{path}/{LOG}" not in self._files:
            await super().delete_tree(path)


class SharesLocks(Suspending):
    """`lock.json` may be replaced by anybody."""

    async def write(
        self, path: str, data: bytes, *, if_version: IfVersion = ANY, durable: bool = True
    ) -> FileStats:
        if_version = ANY if path.endswith("lock.json") else if_version
        return await super().write(path, data, if_version=if_version, durable=durable)


class LosesLongLines(Memory):
    """An append of more than a mebibyte is cut to that, and nobody is told."""

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        size = await super().append(path, data[: 2**20], if_size=if_size)
        return size + max(0, len(data) - 2**20)


class TearsBetweenTasks(Suspending):
    """A batch is written line by line, and others see it on its way."""

    async def append(self, path: str, data: bytes, *, if_size: int | None = None) -> int:
        size = 0
        for line in data.splitlines(keepends=True):
            size = await super().append(path, line, if_size=if_size)
            if_size = None
            for _ in range(20):
                await self._turn()
        return size


# Rules taken out


def without_the_last(patch: Patch) -> None:
    """A page of sessions lacks the one at its end, and the next begins behind it."""
    look = paging.look

    def skip(state: Any, query: Any, before: Any, limit: int) -> Any:
        found = look(state, query, before, limit)
        return found._replace(sessions=found.sessions[: max(1, limit - 1)])

    patch.setattr(journal, "look", skip)


def without_other_fields(patch: Patch) -> None:
    """A change of the metadata takes away what was not given."""
    update = Catalogue.update_metadata

    async def whole(self: Catalogue, session_id: str, changes: Any) -> Any:
        given = {"user_id": None, "metadata": None, "token_estimate": None}
        return await update(self, session_id, {**given, **changes})

    patch.setattr(Catalogue, "update_metadata", whole)


def without_limits(patch: Patch) -> None:
    """The history is cut at the wrong end."""
    path = Reader.path

    async def cut(self: Reader, log: Any, leaf_id: str, limit: int | None) -> Any:
        whole = await path(self, log, leaf_id, None)
        return whole if limit is None else whole[:limit]

    patch.setattr(Reader, "path", cut)


def without_hiding_controls(patch: Patch) -> None:
    """A subscriber is shown what the store writes for itself."""
    patch.setattr(feed, "is_control", lambda _: False)


def without_a_door(patch: Patch) -> None:
    """What no store could keep is let in."""
    patch.setattr(messages, "check_fields", lambda *_: None)


def without_pairs(patch: Patch) -> None:
    """A call of a tool is sent to a model without its results."""
    patch.setattr(
        context, "exchanges", lambda body: [context.Exchange(place) for place in range(len(body))]
    )


def without_an_end(patch: Patch) -> None:
    """A closed store goes on, and keeps what it holds."""

    async def goes_on(_self: Opened) -> None:
        return None

    patch.setattr(Opened, "close", goes_on)


def without_keys_in_the_index(patch: Patch) -> None:
    """A key that is moved stays where it was, too."""

    async def nothing(*_: object) -> None:
        return None

    patch.setattr(journal.JournalIndex, "add_key", nothing)


def whole(_patch: Patch) -> None:
    """No rule is taken out."""


class Case(NamedTuple):
    """A broken store: the prefixes of the tests that have to find it, its files, its rules."""

    verbs: tuple[str, ...]
    files: Callable[[], FileSystem] = Memory
    sabotage: Callable[[Patch], None] = whole


def simulated() -> FileSystem:
    return Simulated(World(1))


BROKEN: dict[str, Case] = {
    "ForgetsWhoAppended": Case(("append",), ForgetsWhoAppended),
    "ReadsOldBytes": Case(("read",), ReadsOldBytes),
    "KeepsFolders": Case(("delete_leaves",), KeepsFolders),
    "SharesLocks": Case(("writers_under",), SharesLocks),
    "LosesLongLines": Case(("append_of_large",), LosesLongLines),
    "TearsBetweenTasks": Case(("writers",), TearsBetweenTasks),
    "WithoutIdempotence": Case(("append",), sabotage=without_idempotence),
    "WithHastyIdempotence": Case(("append",), sabotage=with_hasty_idempotence),
    "WithoutIdempotenceAmongMany": Case(("writers",), Suspending, without_idempotence),
    "WithoutAPostCheck": Case(("delete",), sabotage=without_a_post_check),
    "WithoutEndingTails": Case(("damage",), sabotage=without_ending_tails),
    "WithoutSeals": Case(("damage",), sabotage=without_seals),
    "WithoutSyncs": Case(("crash",), simulated, with_one_mode),
    "WithoutWholeBatches": Case(("damage",), sabotage=without_whole_batches),
    "WithoutTheIndexPrecondition": Case(("key",), Suspending, without_the_index_precondition),
    "WithoutVerifiedCounts": Case(("metadata",), sabotage=without_verified_counts),
    "WithoutTheDeletion": Case(("delete",), sabotage=without_the_deletion),
    "WithoutHidingParents": Case(("reset",), sabotage=without_hiding_parents),
    "WithoutHeads": Case(("branch",), sabotage=without_heads),
    "WithoutDeletions": Case(("branch",), sabotage=without_deletions),
    "WithoutHeadsInAnyOrder": Case(("model",), sabotage=without_heads),
    "WithoutFences": Case(("lock",), sabotage=without_fences),
    "WithoutListening": Case(("lock",), sabotage=without_listening),
    "WithoutRemembering": Case(("lock",), sabotage=without_remembering),
    "WithoutOwners": Case(("lock",), sabotage=without_owners),
    "WithoutTheLast": Case(("list",), sabotage=without_the_last),
    "WithoutOtherFields": Case(("metadata",), sabotage=without_other_fields),
    "WithoutLimits": Case(("history",), sabotage=without_limits),
    "WithoutHidingControls": Case(("subscribe",), sabotage=without_hiding_controls),
    "WithoutWaitingForTheSync": Case(
        ("crash_keeps_what_a_subscriber_saw",), simulated, without_waiting_for_the_sync
    ),
    "WithoutADoor": Case(("hostile",), sabotage=without_a_door),
    "WithoutPairs": Case(("context",), sabotage=without_pairs),
    "WithoutAnEnd": Case(("close",), sabotage=without_an_end),
    "WithoutKeysInTheIndex": Case(("key",), sabotage=without_keys_in_the_index),
}
