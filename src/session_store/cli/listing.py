"""The commands about sessions: `ls`, `show`, `keys`, `stats`, `rm`."""

import sys
import time
from typing import Any

import msgspec

from session_store.model.records import SessionMetadata
from session_store.sync import SessionStore

from .failures import STOPPED, CommandError, not_found, usage
from .frame import Frame
from .looks import short
from .lookup import each_session, find_session, unknown_session
from .options import AddOption, AnySessionArgument, RemoveOption, SessionArgument, YesOption
from .output import ago, counted, json_line, padded, shorten, size, visible, when, width_of
from .tree import Piece

_COUNT_CELLS = 10
_AGE_CELLS = 11
_FIELD_CELLS = 10


def ls(frame: Frame) -> None:
    """List the sessions, the last used first."""
    screen = frame.screen
    now = time.time_ns() // 1_000_000
    name_cells = screen.width - _COUNT_CELLS - _AGE_CELLS - 4
    none = True
    with frame.reading() as store:
        for listed in each_session(store, sort="updated"):
            # A live writer may not have noted its last messages yet.
            metadata = store.get_metadata(listed.session_id)
            if metadata is None:
                continue  # deleted meanwhile
            keys = store.get_session_keys(metadata.session_id)
            if frame.json:
                frame.record({**_plain(metadata), "keys": keys})
                continue
            if none:
                head = f"{'SESSION':{name_cells}}  {'MESSAGES':>{_COUNT_CELLS}}  UPDATED"
                screen.line(screen.paint(head, "dim"))
            none = False
            name = ", ".join(map(visible, keys)) or visible(metadata.session_id)
            screen.pieces(
                [
                    Piece(padded(shorten(name, name_cells), name_cells), "" if keys else "dim"),
                    Piece(f"  {_number(metadata.message_count):>{_COUNT_CELLS}}"),
                    Piece(f"  {ago(metadata.updated_at, now)}", "dim"),
                ]
            )
    if none and not frame.json:
        screen.note("no sessions yet; `session-store append KEY user TEXT` makes one")


def show(frame: Frame, session: SessionArgument) -> None:
    """Show what is known of a session."""
    with frame.reading() as store:
        session_id = find_session(store, session)
        metadata = store.get_metadata(session_id)
        if metadata is None:
            raise unknown_session(store, session)
        keys = store.get_session_keys(session_id)
        branches = store.get_branches(session_id)
        head = store.get_head(session_id)
        lock = store.get_lock(session_id)
    if frame.json:
        known = {"keys": keys, "head": head, "branches": branches, "lock": lock}
        frame.document({**_plain(metadata), **known})
        return
    now = time.time_ns() // 1_000_000
    rows: list[tuple[str, str]] = [
        ("id", visible(session_id)),
        ("keys", ", ".join(map(visible, keys)) or "none"),
        ("created", f"{when(metadata.created_at)}  ({ago(metadata.created_at, now)})"),
        ("updated", f"{when(metadata.updated_at)}  ({ago(metadata.updated_at, now)})"),
        ("messages", _number(metadata.message_count)),
    ]
    if metadata.log is not None:
        rows.append(("size", size(metadata.log.size)))
    rows.append(("head", visible(head) if head else "none"))
    for branch in branches:
        tip = f"{visible(branch.name)}  →  {short(branch.leaf_message_id)}"
        rows.append(("branch", f"{tip}  ({counted(len(branch.path), 'message')})"))
    if lock is None:
        rows.append(("lock", "free"))
    else:
        rows.append(("lock", f"{visible(lock.owner_id)} until {when(lock.expires_at)}"))
    for label, value in (
        ("user", metadata.user_id),
        ("tokens", metadata.token_estimate),
        ("models", metadata.model_overrides),
        ("metadata", metadata.metadata),
    ):
        if value is not None:
            rows.append((label, visible(value) if isinstance(value, str) else json_line(value)))
    _table(frame, rows)


def keys(
    frame: Frame,
    session: AnySessionArgument = None,
    add: AddOption = None,
    remove: RemoveOption = None,
) -> None:
    """List, add and remove keys.

    Without KEY|ID all keys are listed. A key that names another session is moved.
    """
    if session is None:
        if add is not None:
            raise usage("say which session the key is to name: keys KEY|ID --add KEY")
        _all_keys(frame, remove)
        return
    with frame.reading() as store:
        session_id = find_session(store, session)
        if add is not None:
            _add_key(frame, store, add, session_id)
        if remove is not None:
            _remove_key(frame, store, remove, session_id)
        found = store.get_session_keys(session_id)
    if frame.json:
        frame.document({"sessionId": session_id, "keys": found})
        return
    for key in found:
        frame.screen.line(visible(key))
    if not found:
        frame.screen.note(f"no key names this session; its id is {visible(session_id)}")


def _all_keys(frame: Frame, remove: str | None) -> None:
    with frame.reading() as store:
        if remove is not None:
            _remove_key(frame, store, remove, None)
        named = {key: store.get_session_id(key) for key in sorted(store.get_all_keys())}
    if frame.json:
        frame.document({"keys": named})
        return
    cells = min(frame.screen.width // 2, max((width_of(visible(key)) for key in named), default=0))
    for key, session_id in named.items():
        name = padded(shorten(visible(key), cells), cells)
        frame.screen.pieces([Piece(name), Piece(f"  {visible(session_id or '')}", "dim")])


def _add_key(frame: Frame, store: SessionStore, key: str, session_id: str) -> None:
    before = store.get_session_id(key)
    store.add_key(key, session_id)
    if before is not None and before != session_id:
        frame.screen.note(f"{visible(key)} named session {visible(before)} before")


def _remove_key(frame: Frame, store: SessionStore, key: str, session_id: str | None) -> None:
    named = store.get_session_id(key)
    if named is None:
        raise not_found("key_not_found", f"there is no key {key!r}; `session-store keys` lists all")
    if session_id is not None and named != session_id:
        raise usage(f"the key {key!r} names another session: {named}")
    store.remove_key(key)
    if not store.get_session_keys(named):
        frame.screen.note(f"no key names session {visible(named)} any more; its id still does")


def stats(frame: Frame) -> None:
    """Count what the store holds."""
    with frame.reading() as store:
        ids = store.get_all_session_ids()
        messages = bytes_ = 0
        largest: SessionMetadata | None = None
        latest: SessionMetadata | None = None
        with frame.screen.progress("counting", len(ids)) as bar:
            for session_id in ids:
                bar.advance(1)
                metadata = store.get_metadata(session_id)
                if metadata is None:
                    continue
                messages += metadata.message_count
                bytes_ += metadata.log.size if metadata.log else 0
                if largest is None or metadata.message_count > largest.message_count:
                    largest = metadata
                if latest is None or metadata.updated_at > latest.updated_at:
                    latest = metadata
        key_count = len(store.get_all_keys())
        names = {
            found.session_id: ", ".join(store.get_session_keys(found.session_id))
            or found.session_id
            for found in (largest, latest)
            if found is not None
        }
    if frame.json:
        frame.document(
            {
                "sessions": len(ids),
                "keys": key_count,
                "messages": messages,
                "bytes": bytes_,
                "largest": largest.session_id if largest else None,
                "latest": latest.session_id if latest else None,
            }
        )
        return
    rows = [
        ("sessions", _number(len(ids))),
        ("keys", _number(key_count)),
        ("messages", _number(messages)),
        ("size", size(bytes_)),
    ]
    if largest is not None:
        count = counted(largest.message_count, "message")
        rows.append(("largest", f"{visible(names[largest.session_id])}  ({count})"))
    if latest is not None:
        rows.append(("latest", f"{visible(names[latest.session_id])}  ({when(latest.updated_at)})"))
    _table(frame, rows)


def rm(frame: Frame, session: SessionArgument, yes: YesOption = False) -> None:
    """Erase a session, for good.

    Its messages, branches and keys go with it.
    """
    with frame.reading() as store:
        session_id = find_session(store, session)
        metadata = store.get_metadata(session_id)
        count = counted(metadata.message_count if metadata else 0, "message")
        if not yes:
            _ask(frame, f"Erase {visible(session)} with {count} for good? [y/N] ")
        store.delete_session(session_id)
    if frame.json:
        frame.document({"removed": session_id})
    else:
        frame.screen.line(f"erased {visible(session)} with {count}")


def _ask(frame: Frame, question: str) -> None:
    if frame.json or not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise usage("this erases the session for good; add --yes")
    sys.stderr.write(question)
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise CommandError("stopped", "nothing was erased", STOPPED)


def _table(frame: Frame, rows: list[tuple[str, str]]) -> None:
    for label, value in rows:
        frame.screen.pieces([Piece(f"{label:{_FIELD_CELLS}}", "dim"), Piece(value)])


def _number(value: Any) -> str:
    return f"{value:,}" if isinstance(value, int) else visible(str(value))


def _plain(metadata: SessionMetadata) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(metadata)
    return plain
