"""The commands that read a dialogue: `tree`, `history`, `tail`, `context`; and `check`."""

from collections.abc import Iterable, Sequence
from typing import Any

from session_store.formats import to_anthropic, to_openai
from session_store.model.context import estimate_tokens
from session_store.model.messages import encode_message
from session_store.model.records import Finding, Message
from session_store.store.checking import CheckReport

from .failures import FOUND_ERRORS
from .frame import Frame
from .interrupts import interrupts_kept
from .looks import all_lines, label, short, style, symbol
from .lookup import find_message, find_session
from .options import (
    CountOption,
    FollowOption,
    Format,
    FormatOption,
    IdsOption,
    LeafOption,
    LimitOption,
    MessagesOption,
    RepairOption,
    SessionArgument,
    TokensOption,
)
from .output import counted, size, visible, when
from .rawlog import RawLog
from .screen import Screen
from .tree import Piece, draw

_SEVERITIES = {"error": "red", "warning": "yellow", "info": "dim"}


def tree(frame: Frame, session: SessionArgument, ids: IdsOption = False) -> None:
    """Draw the dialogue as a tree.

    The way to the head is not indented. Ids are shortened to their end, which the other
    commands understand as well.
    """
    with frame.reading() as store:
        session_id = find_session(store, session)
        messages = store.get_messages(session_id)
        branches = store.get_branches(session_id)
        head = store.get_head(session_id)
    if frame.json:
        frame.document(
            {"sessionId": session_id, "head": head, "branches": branches, "messages": messages}
        )
        return
    screen = frame.screen
    for line in draw(messages, branches, head, width=screen.width, full_ids=ids):
        screen.pieces(line)
    if not messages:
        _nothing(screen)


def history(
    frame: Frame, session: SessionArgument, leaf: LeafOption = None, limit: LimitOption = None
) -> None:
    """Print the messages from the root to the head."""
    with frame.reading() as store:
        session_id = find_session(store, session)
        end = None if leaf is None else find_message(store, session_id, leaf)
        messages = store.get_linear_history(session_id, end, limit=limit)
    _print(frame, messages)


def tail(
    frame: Frame, session: SessionArgument, count: CountOption = 10, follow: FollowOption = False
) -> None:
    """Print the last messages, of whatever branch.

    With -f also those that come, from whichever process, until Ctrl-C.
    """
    with frame.reading() as store, frame.files() as raw:
        session_id = find_session(store, session)
        last = raw.driver.run(RawLog(raw.files, session_id).last(max(count, 1)))
        shown = last if count else []
        if not follow:
            _print(frame, shown)
            return
        _each(frame, shown)
        after = last[-1].id if last else None
        with interrupts_kept():
            for message in store.subscribe(session_id, after=after):
                _each(frame, [message])


def context(
    frame: Frame,
    session: SessionArgument,
    leaf: LeafOption = None,
    max_tokens: TokensOption = None,
    max_messages: MessagesOption = None,
    form: FormatOption = Format.plain,
) -> None:
    """Print what a model would be sent.

    That is the way to the head, cut to the budget from its old end.
    """
    with frame.reading() as store:
        session_id = find_session(store, session)
        end = None if leaf is None else find_message(store, session_id, leaf)
        messages = store.get_context(
            session_id, end, max_tokens=max_tokens, max_messages=max_messages
        )
    if form is Format.openai:
        frame.document(to_openai(messages))
    elif form is Format.anthropic:
        frame.document(to_anthropic(messages))
    elif frame.json:
        frame.document(messages)
    else:
        _print(frame, messages)
        tokens = sum(map(estimate_tokens, messages))
        said = f"{counted(len(messages), 'message')}, about {counted(tokens, 'token')}"
        frame.screen.line(frame.screen.paint(said, "dim"))


def _print(frame: Frame, messages: Sequence[Message]) -> None:
    _each(frame, messages)
    if not messages and not frame.json:
        _nothing(frame.screen)


def _each(frame: Frame, messages: Iterable[Message]) -> None:
    screen = frame.screen
    for message in messages:
        if frame.json:
            frame.record(encode_message(message))
            continue
        screen.pieces(
            [
                Piece(f"{symbol(message)} {label(message)}", style(message)),
                Piece(f"  {when(message.timestamp)}  {short(message.id)}", "dim"),
            ]
        )
        for line in all_lines(message):
            screen.line(f"  {line}".rstrip())
        screen.line()
    screen.flush()


def _nothing(screen: Screen) -> None:
    screen.note("no messages yet")


def check(frame: Frame, repair_index: RepairOption = False) -> int:
    """Verify all that is stored.

    Tells what is damaged, lost or left over; exits with 1 if something is damaged or lost.
    """
    with frame.reading_all("checking") as store:
        report = store.check(repair_index=repair_index)
    if frame.json:
        frame.document({"ok": report.ok, **_told(report)})
    else:
        _report(frame.screen, report)
    return 0 if report.ok else FOUND_ERRORS


def _told(report: CheckReport) -> dict[str, Any]:
    return {
        "findings": report.findings,
        "sessions": report.sessions,
        "messages": report.messages,
        "bytes": report.bytes,
        "unverified": report.unverified,
    }


def _report(screen: Screen, report: CheckReport) -> None:
    for finding in sorted(report.findings, key=_gravity):
        colour = _SEVERITIES.get(finding.severity, "plain")
        place = finding.path
        if finding.offset is not None:
            place += f" at byte {finding.offset:,}"
        screen.pieces(
            [Piece(f"{finding.severity:8}", colour), Piece(visible(f"{finding.code}  {place}"))]
        )
        screen.line(f"        {visible(finding.detail)}")
    if report.findings:
        screen.line()
    read = f"{counted(report.messages, 'message')} ({size(report.bytes)})"
    screen.line(f"checked {counted(report.sessions, 'session')}, {read}")
    if report.unverified:
        screen.line(f"{counted(report.unverified, 'line')} carry no checksum to verify")
    counts = {
        name: sum(one.severity == name for one in report.findings) for name in ("error", "warning")
    }
    if report.ok:
        end = counted(counts["warning"], "warning") + ", " if counts["warning"] else ""
        screen.line(screen.paint(f"✓ {end}nothing is lost or wrong", "green"))
    else:
        said = " and ".join(counted(count, name) for name, count in counts.items() if count)
        screen.line(screen.paint(f"✗ {said}", "red"))


def _gravity(finding: Finding) -> int:
    order = list(_SEVERITIES)
    return order.index(finding.severity) if finding.severity in order else len(order)
