"""What a crash excuses: that something is missing where its hole is, and nobody was promised it.

Whatever else is wrong with a world that has crashed is the fault of the store.
"""

from session_store.model.records import Finding
from session_store.testing.history import APPENDS

from .case import Case
from .truth import Deed


def excused(case: Case, sentence: str) -> bool:
    """Return whether a hole in the log accounts for what was said of a session."""
    session, _, said = sentence.partition(": ")
    holes = case.holes(session)
    if not holes:
        return False
    if "before it is lost" in said:
        return _lost_in(case, session, holes, said.partition(" is there")[0])
    if "not all or nothing" in said:
        names = said.rpartition(": ")[2].split(", ")
        [batch] = [deed for deed in case.of(session) if deed.facts.get("ids") == names]
        return (batch.outcome != "ok" or case.lossy(batch)) and _meets(batch, holes)
    if "does not stand before" in said:
        child = said.partition(" ")[0]
        lines = case.log(session).lines
        # Of a batch with a hole in it the bytes alone do not say that it counts.
        place = [line.offset for line in lines if line.record.get("content") == child]
        return not place or holes[0][0] <= place[0]
    return "the metadata counts" in said and may_be_miscounted(case, session)


def _lost_in(case: Case, session: str, holes: list[tuple[int, int]], name: str) -> bool:
    """Return whether all that was answered before `name` was said and is missing was in holes."""
    said = [deed for deed in case.of(session) if deed.kind in APPENDS]
    began = min(deed.began for deed in said if name in deed.facts["ids"])
    there = {line.record.get("content") for line in case.log(session).lines}
    return all(
        case.lossy(deed) and ("id" in deed.facts or _meets(deed, holes))
        for deed in said
        if deed.outcome == "ok" and deed.ended < began and not there.issuperset(deed.facts["ids"])
    )


def _meets(deed: Deed, holes: list[tuple[int, int]]) -> bool:
    """Return whether there is a hole where the call wrote."""
    return any(start < deed.size_after and deed.size_before < end for start, end in holes)


def may_be_miscounted(case: Case, session: str) -> bool:
    """Return whether the index may have counted lines that were not synced, and are in holes.

    In any mode: it is told of a line before that is answered. What was promised is asked elsewhere.
    """
    return bool(case.holes(session))


def explained(case: Case, finding: Finding) -> bool:
    """Return whether a crash has done what `check` has found, and cost nothing promised."""
    match finding.code:
        case "damaged_line" | "nul_run":
            start, length = finding.offset or 0, finding.length or 0
            return case.since > 0 and case.world.disk.has_hole(finding.path, start, start + length)
        case "wrong_count":
            return may_be_miscounted(case, finding.session_id or "")
        case "lost_session":
            return _unregistered(case, finding.path.rstrip("/"))
        case _:
            return False


def _unregistered(case: Case, session: str) -> bool:
    """Return whether a power cut may have taken the session's line in the journal."""
    said = [deed for deed in case.deeds if session in (deed.session, deed.answer)]
    return all(case.lossy(deed) for deed in said if deed.outcome == "ok")


def cut_short(case: Case, delete: Deed) -> bool:
    """Return whether somebody who wrote to a deleted session was stopped before clearing up."""
    # Who closes writes to the lock of each session it holds.
    closed = [deed for deed in case.deeds if deed.kind == "close"]
    return any(
        deed.outcome == "unknown" and deed.ended > delete.began
        for deed in [*case.of(delete.session), *closed]
    )
