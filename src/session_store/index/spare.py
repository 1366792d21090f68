"""The second way to the whole index, from the previous snapshot and the journals since.

Nobody goes it until `sessions.json` is lost, and then it is too late to learn that it is
damaged too. Thin, and read-only.
"""

from session_store.errors import CorruptionError, NotFoundError
from session_store.model.records import Finding

from .core import Core
from .records import PREVIOUS, SNAPSHOT, journal_path, scan
from .snapshot import DamagedError, decode_snapshot, digest


async def spare_findings(core: Core) -> list[Finding]:
    """Return what of the second way is missing or damaged, up to where the snapshot stands."""
    base = core.base
    if base is None or not base.epoch or core.broken:
        return []
    found = await _walk(core, base.epoch, base.size)
    # Else another has rotated meanwhile: what is missing then is not missed.
    return found if await core.version(SNAPSHOT) == base.version else []


async def _walk(core: Core, epoch: int, size: int) -> list[Finding]:
    previous, _ = await core.read_whole(PREVIOUS)
    opened = scan(await core.head(journal_path(epoch)), 0).records
    after = opened[0].after if opened and opened[0].op == "open" else None
    if after != "seal" and after != digest(previous):
        previous = None  # it is no part of the way
    at, offset = epoch, 0
    found: list[Finding] = []
    if previous is None:
        if after == "seal":
            # None is needed until the first rotation is done: the first journal tells all.
            first = scan(await core.head(journal_path(1)), 0).records
            if not first or first[0].op != "open" or first[0].after != digest(None):
                return [_finding("previous_missing", PREVIOUS, "there is none")]
            at = 1
    else:
        try:
            snapshot = decode_snapshot(previous)
        except (DamagedError, CorruptionError) as error:
            return [_finding("previous_damaged", PREVIOUS, str(error))]
        if after == "seal" and snapshot.epoch:
            at, offset = snapshot.epoch, snapshot.size
        found += [
            _finding(told.code, PREVIOUS, told.detail)
            for told in snapshot.findings
            if told.code == "damaged_checksum"
        ]
    while at <= epoch:
        path = journal_path(at)
        try:
            data = await core.files.read(path, offset, size if at == epoch else None)
        except NotFoundError:
            return [*found, _finding("journal_missing", path, "there is none")]
        lines, onward = scan(data, offset), 0
        found += [
            _finding(code, path, reason, start, length)
            for code, start, length, reason in lines.damage
            if code not in ("unknown_op", "sealed_tail")
        ]
        if at == epoch and lines.end < size:
            text = f"up to byte {size} it should be whole lines"
            found.append(_finding("journal_short", path, text, lines.end, size - lines.end))
        for record in lines.records:
            onward = (record.op == "seal" and record.next) or 0
        if at == epoch:
            return found
        if onward <= at:
            return [*found, _finding("journal_missing", path, "nothing leads on from its end")]
        at, offset = onward, 0
    return found


def _finding(
    code: str, path: str, reason: str, offset: int | None = None, length: int | None = None
) -> Finding:
    return Finding(
        severity="warning",
        code=code,
        path=path,
        detail=f"nothing is lost, but if sessions.json were, this would be missed: {reason}",
        offset=offset,
        length=length,
    )


__all__ = ["spare_findings"]
