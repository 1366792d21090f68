"""Whether a store that was cut off is whole: read by a fresh process, and gone on with."""

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from disk_children import answer_of
from disk_work import Notes, name_of, open_store

from session_store.errors import SessionStoreError
from session_store.runtime import run
from session_store.testing.history import History, check, read_final

# Of what was never acknowledged, NULs may be left at the end of a log: that is no loss.
HARMLESS = {"nul_run"}


@dataclass(slots=True)
class Verdict:
    """What is wrong, what was met besides, and how much there was to lose."""

    violations: list[str] = field(default_factory=list)
    findings: dict[str, int] = field(default_factory=dict)
    messages: int = 0


def judge(
    root: Path,
    history: History,
    *,
    notes: Path | None = None,
    clock: Callable[[], float] = lambda: 0.0,
    actor: str = "judge",
    harmless: Iterable[str] = HARMLESS,
) -> Verdict:
    """Return the verdict of a fresh process on the store in `root`, which it appends to.

    What it appends is written down in `notes`, for the verdicts to come.
    """
    answer = answer_of(lambda: _judge(root, history, notes, clock, actor, set(harmless)))
    return Verdict(**answer)


def _judge(
    root: Path,
    history: History,
    notes: Path | None,
    clock: Callable[[], float],
    actor: str,
    harmless: set[str],
) -> dict[str, Any]:
    violations: list[str] = []
    found: Counter[str] = Counter()
    messages = 0
    try:
        store = open_store(root)
        messages = _look(store, history, violations, found, harmless)
        _go_on(store, notes, clock, actor, violations)
        report = store.check()
        _report(report.findings, violations, harmless, "after going on, ")
        store.close()
    except (SessionStoreError, OSError, ArithmeticError, LookupError, ValueError) as error:
        violations.append(f"the store is not usable: {type(error).__name__}: {error}")
    return {"violations": violations, "findings": dict(found), "messages": messages}


def _look(
    store: Any,
    history: History,
    violations: list[str],
    found: Counter[str],
    harmless: set[str],
) -> int:
    report = store.check()
    found.update(finding.code for finding in report.findings)
    _report(report.findings, violations, harmless, "")
    final = run(read_final(store._engine, name_of))
    violations += check(history, final)
    for session, left in final.sessions.items():
        head = store.get_head(session)
        if (head is None) != (not left.visible):
            violations.append(f"{session}: the head is {head}, of {left.visible} messages")
        for branch in store.get_branches(session):
            if not store.get_linear_history(session, branch.leaf_message_id):
                violations.append(f"{session}: nothing leads to the branch {branch.name}")
    return report.messages


def _report(findings: Any, violations: list[str], harmless: set[str], when: str) -> None:
    violations += [
        f"{when}check: {finding.code} in {finding.path}: {finding.detail}"
        for finding in findings
        if finding.severity == "error" and finding.code not in harmless
    ]


def _go_on(
    store: Any, notes: Path | None, clock: Callable[[], float], actor: str, violations: list[str]
) -> None:
    """Every session can be appended to, and so can one more."""
    written = Notes(notes, clock) if notes else None
    history = written.history if written else History(clock)
    new = f"{actor}:new"
    call = history.begin(actor, "resolve", key=new)
    call.ok(store.resolve(new))
    for number, session in enumerate(store.get_all_session_ids()):
        name = f"{actor}.{number}"
        before = [message.id for message in store.get_messages(session)]
        call = history.begin(actor, "append", session, ids=[name])
        stored = store.append(session, {"type": "user", "content": name})
        call.ok()
        after = [message.id for message in store.get_messages(session)]
        if after != [*before, stored.id]:
            violations.append(f"{session}: {name} was appended and does not stand at the end")
    if written:
        written.close()


def gathered(*files: Path) -> History:
    """Return what the processes have written down in these files."""
    return History.merged(*(path.open(encoding="utf-8") for path in files if path.exists()))
