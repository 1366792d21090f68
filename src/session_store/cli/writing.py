"""The commands that change a dialogue: `append`, `branch`, `switch`."""

import sys
from typing import Any, Final

from session_store.model.messages import encode_message, normalise
from session_store.sync import SessionStore

from .failures import USAGE, CommandError, usage
from .frame import Frame
from .looks import short
from .lookup import find_branch, find_message, find_session, known_session, unknown_session
from .options import (
    AnyNameArgument,
    AtOption,
    DeleteOption,
    IdOption,
    KeyArgument,
    NameArgument,
    ParentOption,
    RoleArgument,
    SessionArgument,
    TextArgument,
    TypeOption,
)
from .output import counted, padded, visible, width_of
from .tree import Piece

NO_PARENT: Final = "none"
STDIN: Final = "-"


def append(
    frame: Frame,
    key: KeyArgument,
    role: RoleArgument,
    text: TextArgument,
    parent: ParentOption = None,
    type_: TypeOption = None,
    id_: IdOption = None,
) -> None:
    """Add a message, and print its id.

    It continues from the head of the session. A new KEY makes a session.
    """
    content = _stdin() if text == STDIN else text
    message: dict[str, Any] = {"role": role, "content": content}
    if type_ is not None:
        message["type"] = type_
    if id_ is not None:
        message["id"] = id_
    normalise(message)  # a bad message must not make a session, nor a store
    named = parent is not None and parent != NO_PARENT
    with frame.reading() if named else frame.writing() as store:
        session_id = known_session(store, key)
        if named:
            if session_id is None:
                raise unknown_session(store, key)
            assert parent is not None
            message["parentId"] = find_message(store, session_id, parent)
        elif parent is not None:
            message["parentId"] = None
        stored = store.append(session_id or store.resolve(key), message)
    if frame.json:
        frame.record(encode_message(stored))
    else:
        frame.screen.line(visible(stored.id))


def _stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode().removesuffix("\n")
    except UnicodeDecodeError as error:
        raise CommandError("usage", f"standard input is no UTF-8: {error}", USAGE) from None


def branch(
    frame: Frame,
    key: SessionArgument,
    name: AnyNameArgument = None,
    at: AtOption = None,
    delete: DeleteOption = False,
) -> None:
    """Name the way to the head, or list the names.

    One can then switch back to it. A name that exists is moved.
    """
    if name is None and (delete or at is not None):
        raise usage("say which branch: branch KEY NAME")
    if delete and at is not None:
        raise usage("--at and --delete do not go together")
    with frame.reading() as store:
        session_id = find_session(store, key)
        if name is None:
            _list(frame, store, session_id)
        elif delete:
            find_branch(store, session_id, name)
            store.delete_branch(session_id, name)
            _told(frame, {"deleted": name}, f"forgot {visible(name)}; its messages stay")
        else:
            leaf = None if at is None else find_message(store, session_id, at)
            made = store.create_branch(session_id, name, leaf)
            _told(frame, made, f"{visible(name)}  →  {short(made.leaf_message_id)}")


def _list(frame: Frame, store: SessionStore, session_id: str) -> None:
    branches = store.get_branches(session_id)
    head = store.get_head(session_id)
    if frame.json:
        frame.document({"sessionId": session_id, "head": head, "branches": branches})
        return
    cells = max((width_of(visible(one.name)) for one in branches), default=0)
    for one in branches:
        pieces = [
            Piece(padded(visible(one.name), cells), "branch"),
            Piece(f"  {short(one.leaf_message_id)}  {counted(len(one.path), 'message')}", "dim"),
        ]
        if one.leaf_message_id == head:
            pieces.append(Piece("  HEAD", "head"))
        frame.screen.pieces(pieces)
    if not branches:
        frame.screen.note("no branches yet; `session-store branch KEY NAME` names the head")


def switch(frame: Frame, key: SessionArgument, name: NameArgument) -> None:
    """Go on from the newest message of a branch."""
    with frame.reading() as store:
        session_id = find_session(store, key)
        find_branch(store, session_id, name)
        head = store.switch_to_branch(session_id, name)
    _told(
        frame,
        {"sessionId": session_id, "branch": name, "head": head},
        f"on {visible(name)}  →  {short(head)}",
    )


def _told(frame: Frame, value: Any, text: str) -> None:
    if frame.json:
        frame.document(value)
    else:
        frame.screen.line(text)
