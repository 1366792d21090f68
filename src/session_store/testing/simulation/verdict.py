"""Whether a store kept its promises: what is left is read by a process that comes afterwards."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from session_store.errors import NotFoundError
from session_store.model.config import StoreConfig
from session_store.model.records import Finding, Message
from session_store.runtime import run
from session_store.store.engine import Engine
from session_store.testing.history import Final, History, Left, check, read_final

from .players import NAMES
from .process import Fresh, Process
from .truth import Deed, Log, judge_log, read_log, states_of
from .world import World

_CONFIG = StoreConfig(durability="os")


@dataclass(slots=True)
class Case:
    """What is to be judged: a world in which nothing moves any more, and what was done in it.

    Answers of calls that began before `since` were true of another disk than this one.
    """

    world: World
    deeds: list[Deed]
    durability: str
    since: int = 0
    engines: dict[Process, Engine] = field(default_factory=dict)
    read: dict[tuple[str, bytes], Left] = field(default_factory=dict)
    """What a fresh process has read of logs of the same bytes before."""

    def log(self, session: str) -> Log:
        """Return what the bytes of a session's log say."""
        return read_log(self.world.bytes_of(f"{session}/messages.jsonl"))

    def torn(self, session: str) -> bool:
        """Return whether the log has damage in what was never acknowledged."""
        return self.world.rough and bool(self.log(session).damage)

    def of(self, session: str) -> list[Deed]:
        """Return what was done in a session."""
        return [deed for deed in self.deeds if deed.session == session]

    def deleted(self, session: str, *outcomes: str) -> bool:
        """Return whether a delete of the session came to one of these ends."""
        return any(
            deed.kind == "delete" and deed.session == session and deed.outcome in outcomes
            for deed in self.deeds
        )


def judge_logs(case: Case) -> Iterator[str]:
    """Yield what is wrong with the logs as they are now."""
    for session in {deed.session for deed in case.deeds if deed.session}:
        if not case.deleted(session, "ok", "unknown"):
            log = case.log(session)
            if not log.damage:
                yield from judge_log(log.lines, case.of(session), case.since)


def judge(case: Case, *, thorough: bool) -> Iterator[str]:
    """Yield what is wrong with the store and with what was answered.

    A `thorough` look also asks `check`, every engine that is alive, and whether it goes on.
    """
    quiet(case.world)
    process = Fresh(case.world)
    fresh = Engine(process, _CONFIG, process)
    final = run(read_final(fresh, _content)) if thorough else _glance(case, fresh)
    history = History(case.world.tick)
    history.operations = list(case.deeds)
    for sentence in check(history, final):
        if not _excused(case, sentence):
            yield sentence
    for deed in case.deeds:
        if isinstance(deed.error, NotFoundError):
            yield f"{deed.session}: {deed.kind} speaks of files: {deed.error}"
    if thorough:
        yield from _agreement(case, fresh, final)
        yield from _nothing_left_over(case, final)
        yield from _findings(case, fresh)
        yield from _goes_on(case, fresh, final)


def _glance(case: Case, fresh: Engine) -> Final:
    """Return which sessions there are and what is in them, and read no log twice."""
    final = Final({})
    reset = any(deed.kind == "reset" for deed in case.deeds)
    for session in run(fresh.get_all_session_ids()):
        data = case.world.bytes_of(f"{session}/messages.jsonl")
        left = case.read.get((session, data))
        if left is None:
            messages = run(fresh.get_messages(session, include_reset=True))
            names = {message.id: _content(message) for message in messages}
            left = Left(
                [(names[m.id], names.get(m.parent_id or "", m.parent_id)) for m in messages]
            )
            if reset:
                left.visible = len(run(fresh.get_messages(session)))
            case.read[session, data] = left
        final.sessions[session] = left
    return final


def _content(message: Message) -> str:
    return str(message.content)


def quiet(world: World) -> None:
    """Let nothing go wrong any more."""
    world.deaths = world.cancels = world.faults = world.tears = 0.0
    world.ambush = ""
    world.over = True


def finish(coroutine: Any) -> Any:
    """Return what a coroutine returns that is now alone."""
    while True:
        try:
            coroutine.send(None)
        except StopIteration as done:
            return done.value


def _excused(case: Case, sentence: str) -> bool:
    """Return whether a hole in what was never acknowledged explains it (DESIGN: damaged middle)."""
    if not case.torn(sentence.partition(":")[0]):
        return False
    if "before it is lost" in sentence:
        return case.durability == "os"
    return any(words in sentence for words in _HOLES)


_HOLES = ("not all or nothing", "does not stand before", "the metadata counts")
"""What is seen of unanswered lines whose neighbours a power cut has taken: check names them."""


def _agreement(case: Case, fresh: Engine, final: Final) -> Iterator[str]:
    for session in final.sessions:
        log = case.log(session)
        if log.damage and case.world.rough:
            continue
        engines = [
            (process.name, engine)
            for process, engine in case.engines.items()
            if not process.dead and not engine._closed
        ]
        for name, engine in [("fresh", fresh), *engines]:
            if not finish(engine.has_session(session)):
                yield f"{name} knows nothing of {session}"
                continue
            yield from _agrees(name, engine, fresh, session, log)
        yield from _branches_are_there(case, fresh, session, log)


def _agrees(name: str, engine: Engine, fresh: Engine, session: str, log: Log) -> Iterator[str]:
    state = states_of(log.lines)[-1]
    wanted: tuple[Any, ...] = (
        state.visible,
        tuple(line.record["id"] for line in log.lines if not line.kind),
        state.head,
        len(state.visible),
        run(fresh.get_branches(session)),
        run(fresh.get_linear_history(session)),
    )
    found = (
        tuple(message.id for message in finish(engine.get_messages(session))),
        tuple(m.id for m in finish(engine.get_messages(session, include_reset=True))),
        finish(engine.get_head(session)),
        finish(engine.get_metadata(session)).message_count,
        finish(engine.get_branches(session)),
        finish(engine.get_linear_history(session)),
    )
    if found != wanted:
        yield f"{name} reads {found}, the bytes say {wanted}"
    known = engine._logs._logs.get(session)
    if known is not None and (known.tail.head, known.tail.branch) != (state.head, state.branch):
        yield f"{name} stands at {known.tail.head}, {known.tail.branch}, the bytes say {state}"


def _nothing_left_over(case: Case, final: Final) -> Iterator[str]:
    for deed in case.deeds:
        if deed.kind == "delete" and deed.outcome == "ok" and deed.session not in final.sessions:
            left = case.world.names_below(deed.session)
            if left and not case.world.rough:
                yield f"{deed.session} was deleted and left {left}"


def _findings(case: Case, fresh: Engine) -> Iterator[str]:
    for finding in run(fresh.check()).findings:
        if finding.severity == "error" and not _explained(case, finding):
            yield f"check says {finding}"


def _explained(case: Case, finding: Finding) -> bool:
    """Return whether something that went wrong explains it, and cost nothing acknowledged."""
    if not case.world.rough:
        return False
    if finding.code in ("damaged_line", "nul_run"):
        # A tail that was cut off and ended by a LF, its seal cut off as well (or never due).
        return True
    if finding.code == "wrong_count":
        return case.torn(finding.session_id or "")
    if finding.path.split("/")[0] in {d.session for d in case.deeds if d.kind == "delete"}:
        # Somebody died in the midst of refusing to write to a deleted session.
        return True
    return case.since > 0 and case.durability == "os" and finding.code == "lost_session"


def _goes_on(case: Case, engine: Engine, final: Final) -> Iterator[str]:
    """Yield whatever keeps a new process from going on where the others have stopped."""
    for session, left in final.sessions.items():
        path = f"{session}/messages.jsonl"
        before = len(case.world.bytes_of(path))
        said = run(engine.append(session, {"type": "user", "content": "and on"}))
        log = case.log(session)
        last = log.lines[-1] if log.lines else None
        if last is None or last.record["id"] != said.id or last.offset < before:
            yield f"{session} does not go on behind {left}"


def _branches_are_there(case: Case, fresh: Engine, session: str, log: Log) -> Iterator[str]:
    touching = [deed for deed in case.of(session) if deed.kind in _BRANCHING]
    if not touching or (case.since and case.durability == "os"):
        return
    there = {branch.name: branch for branch in run(fresh.get_branches(session))}
    for name in NAMES:
        about = [d for d in touching if d.facts.get("name", name) == name and d.outcome != "fail"]
        if not about:
            continue
        last = max(about, key=lambda deed: deed.began)
        alone = all(deed is last or deed.ended < last.began for deed in about)
        if last.outcome != "ok" or not alone:
            continue
        if last.kind != "branch":
            if name in there:
                yield f"branch {name} is there after {last.kind}"
        elif name not in there:
            yield f"branch {name} was created and is not there"
        else:
            tips = _tips(log, name, last)
            if there[name].leaf_message_id not in tips:
                yield f"branch {name} is at {there[name].leaf_message_id}, not at {tips}"


_BRANCHING = ("branch", "unbranch", "reset")


def _tips(log: Log, name: str, created: Deed) -> list[str]:
    """Return where a branch may be that was created by this call."""
    on = [line for line in log.lines if line.record.get("branch") == name]
    tips = [line.record["id"] for line in on if line.offset >= created.size_before]
    if on and on[-1].offset >= created.size_after:
        return tips[-1:]
    return [*tips, created.answer.leaf_message_id]
