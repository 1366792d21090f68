"""Indexes that break one promise each, and the topics by which that must be found."""

import asyncio
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec
from filesystem_sound import Suspending

from session_store.errors import ConfigError, InvalidIdError, SessionNotFoundError
from session_store.index.journal import JournalIndex
from session_store.index.manager import Recount, SessionIndexManager, SessionPage
from session_store.model.records import LogMark, SessionMetadata
from session_store.runtime import Runtime

Where = Mapping[str, Any] | None


async def turn() -> None:
    """Let the others go on."""
    for _ in range(5):
        await asyncio.sleep(0)


class RegistersTwice(JournalIndex):
    """A key that is registered again names the newer session."""

    async def register(self, session_id: str, key: str | None, metadata: SessionMetadata) -> str:
        made = await super().register(session_id, None, metadata)
        if key is not None:
            await self.add_key(key, made)
        return made


class RegistersAfterALook(JournalIndex):
    """Whether a key names a session is asked first, and acted upon later."""

    async def register(self, session_id: str, key: str | None, metadata: SessionMetadata) -> str:
        named = None if key is None else await self.resolve_key(key)
        await turn()
        if named is not None:
            return named
        made = await super().register(session_id, None, metadata)
        if key is not None:
            await self.add_key(key, made)
        return made


class TrimsKeys(JournalIndex):
    """Blanks around a key do not count."""

    async def register(self, session_id: str, key: str | None, metadata: SessionMetadata) -> str:
        return await super().register(session_id, key and key.strip(), metadata)

    async def resolve_key(self, key: str) -> str | None:
        return await super().resolve_key(key.strip())


class CutsKeys(JournalIndex):
    """Of a key only the beginning counts."""

    async def register(self, session_id: str, key: str | None, metadata: SessionMetadata) -> str:
        return await super().register(session_id, key and key[:200], metadata)

    async def resolve_key(self, key: str) -> str | None:
        return await super().resolve_key(key[:200])


class AnswersFromMemory(JournalIndex):
    """What was asked once is answered so for ever."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._answers: dict[str, list[str]] = {}

    async def keys_of(self, session_id: str) -> list[str]:
        if session_id not in self._answers:
            self._answers[session_id] = await super().keys_of(session_id)
        return self._answers[session_id]


class MovesNothing(JournalIndex):
    """A key that names a session keeps naming it."""

    async def add_key(self, key: str, session_id: str) -> None:
        if await self.resolve_key(key) is None:
            await super().add_key(key, session_id)


class RemovesNothing(JournalIndex):
    """A key that is taken away stays."""

    async def remove_key(self, key: str) -> bool:
        return await self.resolve_key(key) is not None


class RoundsTimes(JournalIndex):
    """A time has no parts of milliseconds."""

    async def register(self, session_id: str, key: str | None, metadata: SessionMetadata) -> str:
        rounded = msgspec.structs.replace(metadata, created_at=int(metadata.created_at))
        return await super().register(session_id, key, rounded)


class ReplacesMetadata(JournalIndex):
    """A change takes away what it does not name."""

    async def update(self, session_id: str, changes: Mapping[str, Any]) -> SessionMetadata:
        return await super().update(session_id, {"userId": None, "metadata": None, **changes})


class UpdatesWhatItHasRead(JournalIndex):
    """A change writes back all that was there a while ago."""

    async def update(self, session_id: str, changes: Mapping[str, Any]) -> SessionMetadata:
        found = await self.metadata(session_id)
        if found is None:
            raise SessionNotFoundError(session_id)
        await turn()
        whole = {
            "userId": found.user_id,
            "tokenEstimate": found.token_estimate,
            "metadata": found.metadata,
            "modelOverrides": found.model_overrides,
        }
        return await super().update(session_id, {**whole, **changes})


class BelievesTheLastNote(JournalIndex):
    """What is noted last stands, though it is less."""

    async def note_append(
        self, session_id: str, updated_at: int | float, mark: LogMark | None
    ) -> None:
        await super().note_append(session_id, updated_at, mark)
        if mark is not None:
            await super().note_count(session_id, mark)


class BelievesTheLargestNote(JournalIndex):
    """A recount is one note among others."""

    async def note_count(self, session_id: str, mark: LogMark) -> None:
        found = await self.metadata(session_id)
        if found is not None:
            await super().note_append(session_id, found.updated_at, mark)


class MakesWhatIsNoted(JournalIndex):
    """A note of a session that is not there makes one."""

    async def note_append(
        self, session_id: str, updated_at: int | float, mark: LogMark | None
    ) -> None:
        if not await self.has(session_id):
            made = SessionMetadata(
                session_id=session_id, created_at=updated_at, updated_at=updated_at
            )
            await super().register(session_id, None, made)
        await super().note_append(session_id, updated_at, mark)


class ForgetsNotes(JournalIndex):
    """What is noted is written down at `flush` alone."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._kept: list[tuple[Any, ...]] = []

    async def note_append(
        self, session_id: str, updated_at: int | float, mark: LogMark | None
    ) -> None:
        self._kept.append((session_id, updated_at, mark))

    async def flush(self, *, snapshot: bool = False) -> None:
        for noted in self._kept:
            await super().note_append(*noted)
        await super().flush(snapshot=snapshot)


class Paging(JournalIndex):
    """An index whose pages can be changed behind its back."""

    async def page(
        self,
        *,
        sort: str = "updated",
        where: Where = None,
        after: str | None = None,
        limit: int = 100,
    ) -> SessionPage:
        page = await super().page(sort=sort, where=self.asked(where), after=after, limit=limit)
        return self.shown(page)

    def asked(self, where: Where) -> Where:
        return where

    def shown(self, page: SessionPage) -> SessionPage:
        return page


class ListsTheOldestFirst(Paging):
    """A page is the wrong way round."""

    def shown(self, page: SessionPage) -> SessionPage:
        return SessionPage(page.sessions[::-1], page.after)


class ListsOneTooFew(Paging):
    """The last of a page is left out, and the next begins behind it."""

    def shown(self, page: SessionPage) -> SessionPage:
        return SessionPage(page.sessions[:-1] or page.sessions, page.after)


class ListsOn(Paging):
    """The last page has one behind it."""

    def shown(self, page: SessionPage) -> SessionPage:
        return SessionPage(page.sessions, page.after or "created:0:")


class TakesTrueForOne(Paging):
    """Values are compared as Python does."""

    def asked(self, where: Where) -> Where:
        return where and {
            name: int(value) if isinstance(value, bool) else value for name, value in where.items()
        }


class TakesPrefixesForPatterns(Paging):
    """What begins a key is compared as LIKE does."""

    def asked(self, where: Where) -> Where:
        return where and {
            name: "" if name == "key_prefix" and value == "%" else value
            for name, value in where.items()
        }


class MixesUsers(Paging):
    """The NUL ends a text."""

    def asked(self, where: Where) -> Where:
        return where and {
            name: value.partition("\0")[0] if isinstance(value, str) else value
            for name, value in where.items()
        }


class ListsWhatMakesNoSense(JournalIndex):
    """What nobody can answer is answered with nothing."""

    async def page(self, **asked: Any) -> SessionPage:
        try:
            return await super().page(**asked)
        except ConfigError:
            return SessionPage([])


class ListsByNumbers(JournalIndex):
    """A cursor counts the sessions before it."""

    async def page(
        self, *, sort: str = "updated", after: str | None = None, limit: int = 100, **asked: Any
    ) -> SessionPage:
        page = await super().page(sort=sort, limit=1_000, **asked)
        begin = int(after or 0)
        some = page.sessions[begin : begin + limit]
        more = begin + limit < len(page.sessions)
        return SessionPage(some, str(begin + limit) if more else None)


class ForgetsDeletes(JournalIndex):
    """Of a session that was ended nothing is on record."""

    async def is_deleted(self, session_id: str) -> bool:
        return False


class RevivesIds(JournalIndex):
    """The id of a session that was ended is taken for another."""

    async def register(self, session_id: str, key: str | None, metadata: SessionMetadata) -> str:
        try:
            return await super().register(session_id, key, metadata)
        except InvalidIdError:
            return session_id


class DeletesWhatIsNotThere(JournalIndex):
    """Whoever deletes is told that it was he."""

    async def delete(self, session_id: str) -> bool:
        await super().delete(session_id)
        return True


class DeletesAfterALook(JournalIndex):
    """Of several who delete all are told that it was they."""

    async def delete(self, session_id: str) -> bool:
        there = await self.has(session_id)
        await turn()
        await super().delete(session_id)
        return there


class GuardsNothing(JournalIndex):
    """It says that a session and its folder end in one step."""

    guards_files = True


class StaysOpen(JournalIndex):
    """A closed index answers."""

    async def close(self) -> None:
        await self.flush()


class RebuildsNothing(JournalIndex):
    """What was lost stays lost."""

    async def rebuild(self) -> None:
        return None


class Case(NamedTuple):
    """A broken index, and the prefixes of the tests that have to find it."""

    verbs: tuple[str, ...]
    kind: type[JournalIndex]


class Files(Suspending):
    """Files that keep an index of their own."""

    def __init__(self, kind: type[JournalIndex]) -> None:
        super().__init__()
        self._kind = kind

    def session_index(
        self, runtime: Runtime, *, recount: Recount, save_delay_ms: int
    ) -> SessionIndexManager:
        return self._kind(
            self, runtime, commit=self.sync, recount=recount, save_delay_ms=save_delay_ms
        )


BROKEN = {
    case.kind.__name__: case
    for case in (
        Case(("key",), RegistersTwice),
        Case(("key",), TrimsKeys),
        Case(("key",), CutsKeys),
        Case(("key",), AnswersFromMemory),
        Case(("key",), MovesNothing),
        Case(("key",), RemovesNothing),
        Case(("metadata",), RoundsTimes),
        Case(("metadata",), ReplacesMetadata),
        Case(("metadata",), BelievesTheLastNote),
        Case(("metadata",), BelievesTheLargestNote),
        Case(("metadata",), MakesWhatIsNoted),
        Case(("metadata",), ForgetsNotes),
        Case(("page",), ListsTheOldestFirst),
        Case(("page",), ListsOneTooFew),
        Case(("page_says",), ListsOn),
        Case(("page_finds",), TakesTrueForOne),
        Case(("page_finds",), TakesPrefixesForPatterns),
        Case(("page_finds",), MixesUsers),
        Case(("page_refuses",), ListsWhatMakesNoSense),
        Case(("delete",), ForgetsDeletes),
        Case(("delete",), RevivesIds),
        Case(("delete",), DeletesWhatIsNotThere),
        Case(("delete",), GuardsNothing),
        Case(("close",), StaysOpen),
        Case(("rebuild",), RebuildsNothing),
        Case(("race",), RegistersAfterALook),
        Case(("race",), UpdatesWhatItHasRead),
        Case(("race",), DeletesAfterALook),
        Case(("race_with_a_listing",), ListsByNumbers),
    )
}
