"""Counts and times on their way into the journal: gathered, and written now and then."""

import threading
from typing import Any

import msgspec

from session_store.model.records import LogMark

from .records import JournalRecord

Noted = dict[str, tuple[dict[str, Any], bool]]


class LazyNotes:
    """What is noted of sessions and not yet written; safe to be shared by threads."""

    def __init__(self, delay_ms: int) -> None:
        self._delay = delay_ms / 1000
        self._notes: Noted = {}
        self._appends: dict[str, tuple[int, int, int | None, str]] = {}
        self._last = float("-inf")
        self._guard = threading.Lock()

    def __bool__(self) -> bool:
        return bool(self._notes or self._appends)

    def put(self, session_id: str, changes: dict[str, Any], *, recount: bool) -> None:
        """Note changes of a session's fields, in place of what was noted of them before."""
        with self._guard:
            self._fold(session_id)
            before, exact = self._notes.get(session_id, ({}, False))
            self._notes[session_id] = ({**before, **changes}, exact or recount)

    def put_append(
        self, session_id: str, append: tuple[int, int, int | None, str], now: float
    ) -> bool:
        """Note an append in place of those before; nothing, and False, if the notes are due."""
        if now - self._last >= self._delay:
            return False
        # One store, which needs no guard: who takes the notes finds it, or leaves it there.
        self._appends[session_id] = append
        return True

    def due(self, now: float) -> bool:
        """Return whether something is noted and the last writing is long enough ago."""
        return bool(self._notes or self._appends) and now - self._last >= self._delay

    def take(self, now: float) -> Noted:
        """Return what is noted and forget it; the caller writes it or gives it back."""
        with self._guard:
            for session_id in list(self._appends):
                self._fold(session_id)
            notes, self._notes = self._notes, {}
            self._last = now
        return notes

    def give_back(self, notes: Noted) -> None:
        """Note again what could not be written, beneath what was noted since."""
        with self._guard:
            for session_id, (changes, exact) in notes.items():
                since, recount = self._notes.get(session_id, ({}, False))
                self._notes[session_id] = ({**changes, **since}, exact or recount)

    def after_fork(self) -> None:
        """Forget everything: the parent writes what is its own."""
        self._guard = threading.Lock()
        self._notes = {}
        self._appends = {}

    def _fold(self, session_id: str) -> None:
        noted = self._appends.pop(session_id, None)
        if noted is not None:
            updated_at, size, messages, last_id = noted
            changes: dict[str, Any] = {"updatedAt": updated_at}
            if messages is not None:
                changes["messageCount"] = messages
                changes["log"] = {"size": size, "messages": messages, "lastId": last_id}
            before, exact = self._notes.get(session_id, ({}, False))
            self._notes[session_id] = ({**before, **changes}, exact)


def to_records(notes: Noted, at: int) -> list[JournalRecord]:
    """Return the notes as records of a journal."""
    return [
        JournalRecord(
            op="update", at=at, session_id=id_, changes=changes, lazy=True, recount=recount
        )
        for id_, (changes, recount) in notes.items()
    ]


def counts_of(mark: LogMark) -> dict[str, Any]:
    """Return the fields of a session's metadata that tell how far its log was counted."""
    return {"messageCount": mark.messages, "log": msgspec.to_builtins(mark)}
