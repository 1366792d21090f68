"""Who is right where the original and our journal changed the same thing (PROTOCOLS I5).

Pure. The original had its turn on a snapshot that lagged behind the journal, because a process
of ours had crashed. It came later, so what it did stands; what only the journal knows stays.
"""

from typing import Any, Final

from msgspec import Raw

from .fields import Stored, fields_of
from .records import JournalRecord
from .state import IndexState

# Of a log's length the log itself is the judge.
_COUNTED: Final = frozenset({"log", "messageCount"})
_NO_FIELDS: Final = Raw(b"{}")


def corrections(
    before: IndexState, theirs: IndexState, ours: IndexState, at: int | float
) -> list[JournalRecord]:
    """Return the changes that let what the original did stand.

    It made `theirs` of `before`; `ours` is `theirs` with the lines on top of it that it did not
    know. A session that those lines delete stays deleted. Done twice they change nothing.
    """
    return _of_sessions(before, theirs, ours, at) + _of_keys(before, theirs, ours, at)


def _of_sessions(
    before: IndexState, theirs: IndexState, ours: IndexState, at: int | float
) -> list[JournalRecord]:
    records: list[JournalRecord] = []
    for session_id, stored in theirs.sessions.items():
        replayed = ours.sessions.get(session_id)
        # As JSON first: of a million sessions the journal has changed a few.
        if replayed is None or replayed == stored:
            continue
        changes = _overwritten(before.sessions.get(session_id, _NO_FIELDS), stored, replayed)
        if changes:
            records.append(
                JournalRecord(op="update", at=at, session_id=session_id, changes=changes)
            )
    return records


def _overwritten(before: Stored, theirs: Stored, ours: Stored) -> dict[str, Any]:
    """Return the fields that they changed, and that are different in ours."""
    old, then, now = fields_of(before), fields_of(theirs), fields_of(ours)
    return {
        name: then.get(name)
        for name in {**then, **now}
        if name not in _COUNTED and then.get(name) not in (now.get(name), old.get(name))
    }


def _of_keys(
    before: IndexState, theirs: IndexState, ours: IndexState, at: int | float
) -> list[JournalRecord]:
    records: list[JournalRecord] = []
    for key in {**theirs.keys, **ours.keys}:
        old, then, now = before.keys.get(key), theirs.keys.get(key), ours.keys.get(key)
        if then in (now, old):
            continue
        if then is not None:
            if then in ours.sessions:
                records.append(JournalRecord(op="add_key", at=at, session_id=then, key=key))
        elif old in theirs.sessions:
            # Else it went with its session, and nobody meant the key.
            records.append(JournalRecord(op="remove_key", at=at, key=key))
    return records
