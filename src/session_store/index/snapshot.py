"""`sessions.json`: the bytes of a snapshot, ours and the original's.

Pure. Ours is one line that ends in its checksum. The original writes back what it read with
its own changes and layout: then the checksum no longer stands at the end, and the snapshot is
*foreign*, the newest truth in somebody else's words.
"""

from typing import Annotated, Any, Final, NamedTuple
from zlib import crc32

import msgspec

from session_store.errors import CorruptionError, InvalidIdError
from session_store.files.paths import check_component
from session_store.jsonl.lines import (
    CRC_TAIL_BYTES,
    checksum,
    close_line,
    is_blurred,
    parse_json,
)
from session_store.model.records import Finding

from .fields import Stored, dump, plain
from .records import FORMAT, OWN_PREFIX, SNAPSHOT
from .state import IndexState

MAX_FINDINGS: Final = 1000
MAX_EPOCH: Final = 10**17

_OURS: Final = frozenset({"keys", "sessions", "journal", "crc"})


class Snapshot(NamedTuple):
    """What a snapshot says: the index, and how much of which journal it holds.

    An epoch of 0 means that it does not say.
    """

    state: IndexState
    epoch: int
    size: int
    foreign: bool
    findings: list[Finding]


class DamagedError(Exception):
    """These bytes are no snapshot; the message says why."""


class _Mark(msgspec.Struct):
    epoch: Annotated[int, msgspec.Meta(ge=1, le=MAX_EPOCH)]
    size: Annotated[int, msgspec.Meta(ge=0)]


class _Format(msgspec.Struct):
    format: int = FORMAT


_NO_MARK: Final = _Mark(0, 0)


def encode_snapshot(state: IndexState, epoch: int, size: int, nonce: str) -> bytes:
    """Return the snapshot of `state`, which holds `size` bytes of the journal `epoch`."""
    body = {
        "keys": dump(state.keys_as_read()) if state.halves else state.keys,
        "sessions": state.sessions,
        **state.extras,
        "journal": {"epoch": epoch, "size": size, "format": FORMAT, "nonce": nonce},
    }
    return close_line(msgspec.json.encode(body))


def digest(data: bytes | None) -> str:
    """Return what tells this snapshot from others; of none it is empty."""
    return "" if data is None else f"{crc32(data):08x}-{len(data)}"


def decode_snapshot(data: bytes) -> Snapshot:
    """Return what a snapshot says.

    Raises `DamagedError` if it cannot be used, and `CorruptionError` if a newer version wrote
    it, which must not be written over.
    """
    closed = _is_closed(data)
    findings: list[Finding] = []
    halves: dict[str, dict[str, str]] = {}
    try:
        parts, keys, sessions = _decode(data)
    except (ValueError, RecursionError):
        try:
            parts, keys, sessions = _decode_leniently(data, findings, halves)
        except RecursionError:
            raise DamagedError("nested too deeply") from None
    if not closed and is_blurred(data.removesuffix(b"\n")):
        text = "its checksum is damaged; by all it still says the rest is whole"
        findings.append(_finding("damaged_checksum", text))
    mark = _mark(parts)
    # Mostly every session has one key, in the same order.
    aligned = list(keys.values()) == list(sessions)
    if aligned:
        # Each id once in memory: so a known key is found in a tenth less time among a million.
        keys = dict(zip(keys, sessions, strict=True))
    else:
        findings += _dangling(keys, sessions)
    findings += _suspects(sessions)
    return Snapshot(
        IndexState(keys, sessions, {k: v for k, v in parts.items() if k not in _OURS}, halves),
        mark.epoch,
        mark.size,
        not (closed and mark.epoch),
        findings,
    )


def _is_closed(data: bytes) -> bool:
    """Return whether a checksum stands where ours does; `DamagedError` if it is a wrong one."""
    # No copy of the whole, which is hundreds of megabytes for a million sessions.
    start = max(len(data) - data.endswith(b"\n") - CRC_TAIL_BYTES, 0)
    expected = checksum(data[start:].removesuffix(b"\n"))
    if expected is not None and crc32(memoryview(data)[:start]) != expected:
        raise DamagedError("the checksum does not match")
    return expected is not None


def _decode(
    data: bytes,
) -> tuple[dict[str, msgspec.Raw], dict[str, str], dict[str, Stored]]:
    if data.find(b"\n", 0, len(data) - 1) >= 0:
        data = msgspec.json.format(data, indent=-1)
    parts = msgspec.json.decode(data, type=dict[str, msgspec.Raw])
    if "keys" not in parts or "sessions" not in parts:
        raise DamagedError("it has no keys or no sessions")
    keys = msgspec.json.decode(parts["keys"], type=dict[str, str])
    records = msgspec.json.decode(parts["sessions"], type=dict[str, msgspec.Raw])
    sessions: dict[str, Any] = records
    return parts, keys, sessions


def _decode_leniently(
    data: bytes, findings: list[Finding], halves: dict[str, dict[str, str]]
) -> tuple[dict[str, msgspec.Raw], dict[str, str], dict[str, Stored]]:
    try:
        value = parse_json(data)
    except ValueError as error:
        raise DamagedError(f"no JSON: {error}" if data.strip(b" \t\r\n\0") else "empty") from None
    if not isinstance(value, dict):
        raise DamagedError("no JSON object")
    keys, sessions = value.get("keys"), value.get("sessions")
    if not isinstance(keys, dict) or not isinstance(sessions, dict):
        raise DamagedError("it has no keys or no sessions")
    named: dict[str, str] = {}
    for key, session_id in keys.items():
        if isinstance(session_id, str):
            named[key] = plain(session_id)
        else:
            findings.append(_finding("unusable_key", f"the key {key!r} names no session"))
    names = {plain(key): session_id for key, session_id in named.items()}
    halves |= _halves(named, findings)
    stored: dict[str, Stored] = {plain(name): dump(fields) for name, fields in sessions.items()}
    return {plain(name): dump(part) for name, part in value.items()}, names, stored


def _halves(named: dict[str, str], findings: list[Finding]) -> dict[str, dict[str, str]]:
    """Return the keys with half a character, and those like them, by what they show as."""
    halves: dict[str, dict[str, str]] = {plain(key): {} for key in named if plain(key) != key}
    for key, session_id in named.items() if halves else ():
        shown = plain(key)
        if shown in halves:
            halves[shown][key] = session_id
    for shown, alike in halves.items():
        if len(alike) > 1:
            text = f"{len(alike)} keys show as {shown!r}; only the last of them is found"
            findings.append(_finding("ambiguous_key", text))
    return halves


def _mark(parts: dict[str, msgspec.Raw]) -> _Mark:
    """Return the mark; what is none, because others mean something else by it, is absent."""
    journal = parts.get("journal", msgspec.Raw(b"null"))
    try:
        check_format(SNAPSHOT, msgspec.json.decode(journal, type=_Format).format)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        pass
    try:
        return msgspec.json.decode(journal, type=_Mark)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return _NO_MARK


def check_format(path: str, written: int | None) -> None:
    """Raise `CorruptionError` if `path` says that a newer version wrote it."""
    if written is not None and written > FORMAT:
        reason = f"written by a newer format ({written}); upgrade session-store"
        raise CorruptionError(path, 0, reason)


def _dangling(keys: dict[str, str], sessions: dict[str, Stored]) -> list[Finding]:
    return [
        _finding("dangling_key", f"the key {key!r} names {keys[key]!r}, which is no session")
        for key in [key for key in keys if keys[key] not in sessions][:MAX_FINDINGS]
    ]


def _suspects(sessions: dict[str, Stored]) -> list[Finding]:
    findings: list[Finding] = []
    # All at once first: a million ids are checked at every opening.
    text = "".join(sessions)
    plain = text.isascii() and "/" not in text and "\0" not in text
    if plain and max(map(len, sessions), default=0) <= 200 and sessions.keys().isdisjoint(_DOTS):
        return findings
    for session_id in sessions:
        reason = unsafe(session_id)
        if reason and len(findings) < MAX_FINDINGS:
            findings.append(_finding("unsafe_id", f"{session_id!r} is no folder's name: {reason}"))
    return findings


_DOTS: Final = frozenset({"", ".", ".."})


def unsafe(session_id: str) -> str | None:
    """Return why the session cannot have a folder of its own, or None if it can."""
    if session_id.startswith(OWN_PREFIX):
        return "the index has files of such names"
    try:
        check_component(session_id)
    except InvalidIdError as error:
        return error.reason
    return None


def _finding(code: str, detail: str) -> Finding:
    return Finding(severity="warning", code=code, path=SNAPSHOT, detail=detail)
