"""Whether a store kept its promises: what is left is read by a process that comes afterwards."""

from collections.abc import Iterator
from typing import Any

from session_store.errors import NotFoundError
from session_store.model.config import StoreConfig
from session_store.model.records import Message
from session_store.runtime import run
from session_store.store.engine import Engine
from session_store.testing.history import NEVER, Final, History, Left, check, read_final

from .case import Case
from .excuses import cut_short, excused, explained, may_be_miscounted
from .players import NAMES
from .process import Fresh
from .truth import Deed, Log, judge_log, states_of
from .world import World

_CONFIG = StoreConfig(durability="os")


def judge_logs(case: Case) -> Iterator[str]:
    """Yield what is wrong with the logs as they are now."""
    for session in {deed.session for deed in case.deeds if deed.session}:
        if not case.deleted(session, "ok", "unknown"):
            log, holes = case.log(session), case.holes(session)
            if len(holes) < len(log.damage):
                yield f"{session}: no crash has done the damage at {log.damage}"
            if not holes:
                yield from judge_log(log.lines, case.of(session), case.since)
            elif not log.batches:
                # What was written before the power cut may lean on what the cut has taken.
                later = [d.size_before for d in case.of(session) if d.began >= case.since]
                murky = (holes[0][0], min(later, default=NEVER))
                yield from judge_log(log.lines, case.of(session), case.since, murky)


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
        if not excused(case, sentence):
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


def _agreement(case: Case, fresh: Engine, final: Final) -> Iterator[str]:
    for session in final.sessions:
        log = case.log(session)
        # Of a batch with a hole in it the bytes alone do not say that it counts.
        told = not (log.damage and log.batches)
        engines = [
            (process.name, engine)
            for process, engine in case.engines.items()
            if not process.dead and not engine._closed
        ]
        for name, engine in [("fresh", fresh), *engines]:
            if not finish(engine.has_session(session)):
                yield f"{name} knows nothing of {session}"
                continue
            if told:
                yield from _agrees(name, engine, fresh, case, session, log)
        if told:
            yield from _branches_are_there(case, fresh, session, log)


def _agrees(
    name: str, engine: Engine, fresh: Engine, case: Case, session: str, log: Log
) -> Iterator[str]:
    state = states_of(log.lines)[-1]
    wanted: tuple[Any, ...] = (
        state.visible,
        tuple(line.record["id"] for line in log.lines if not line.kind),
        state.head,
        len(state.visible),
        run(fresh.get_branches(session)),
        run(fresh.get_linear_history(session)),
    )
    counted = finish(engine.get_metadata(session)).message_count
    found = (
        tuple(message.id for message in finish(engine.get_messages(session))),
        tuple(m.id for m in finish(engine.get_messages(session, include_reset=True))),
        finish(engine.get_head(session)),
        len(state.visible) if may_be_miscounted(case, session) else counted,
        finish(engine.get_branches(session)),
        finish(engine.get_linear_history(session)),
    )
    if found != wanted:
        yield f"{name} reads {found}, the bytes say {wanted}"
    known = engine._logs._logs.get(session)
    if known is not None:
        stands = (finish(known.head()), known.tail.branch)
        if stands != (state.head, state.branch):
            yield f"{name} stands at {stands}, the bytes say {state}"


def _nothing_left_over(case: Case, final: Final) -> Iterator[str]:
    for deed in case.deeds:
        if deed.kind == "delete" and deed.outcome == "ok" and deed.session not in final.sessions:
            left = case.world.names_below(deed.session)
            if left and not cut_short(case, deed):
                yield f"{deed.session} was deleted and left {left}"


def _findings(case: Case, fresh: Engine) -> Iterator[str]:
    for finding in run(fresh.check()).findings:
        if finding.severity == "error" and not explained(case, finding):
            yield f"check says {finding}"


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
