"""Calls written down as they are made: what was asked, when, and what was answered."""

import json
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, Literal, TypeAlias

Outcome: TypeAlias = Literal["ok", "fail", "unknown"]

NEVER = float("inf")


@dataclass(slots=True)
class Operation:
    """One call. Without an end it is unknown: its caller may have died in it."""

    actor: str
    kind: str
    session: str = ""
    facts: dict[str, Any] = field(default_factory=dict)
    began: float = 0.0
    ended: float = NEVER
    outcome: Outcome = "unknown"
    answer: Any = None
    history: "History | None" = field(default=None, repr=False, compare=False)
    number: int = 0

    def ok(self, answer: Any = None) -> None:
        """Note that the call returned `answer`."""
        self._end("ok", answer)

    def fail(self, error: BaseException | str) -> None:
        """Note that the call said that it did not happen."""
        self._end("fail", repr(error))

    def unknown(self, error: BaseException | str) -> None:
        """Note that the call could not say whether it happened."""
        self._end("unknown", repr(error))

    def _end(self, outcome: Outcome, answer: Any) -> None:
        self.outcome, self.answer = outcome, answer
        if self.history is not None:
            self.history.close(self)


class History:
    """The calls of one process or of many, in the order in which they began.

    With `sink` each call is handed on as a line of JSON before it is made and again when it is
    answered, so that a killed process leaves behind what it had asked.
    """

    def __init__(
        self, clock: Callable[[], float], sink: Callable[[str], object] | None = None
    ) -> None:
        self._clock = clock
        self._sink = sink
        self.operations: list[Operation] = []

    def begin(self, actor: str, kind: str, session: str = "", **facts: Any) -> Operation:
        """Note that a call is about to be made, and return what its end is noted on."""
        operation = Operation(actor, kind, session, facts, self._clock(), history=self)
        operation.number = len(self.operations)
        self.operations.append(operation)
        if self._sink is not None:
            self._sink(_begun(operation))
        return operation

    def close(self, operation: Operation) -> None:
        """Note the time at which a call of this history ended."""
        operation.ended = self._clock()
        if self._sink is not None:
            self._sink(_ended(operation))

    def lines(self) -> Iterator[str]:
        """Yield the history as lines of JSON, each with its LF."""
        for operation in self.operations:
            yield _begun(operation)
            if operation.ended != NEVER:
                yield _ended(operation)

    @classmethod
    def merged(cls, *histories: Iterable[str]) -> "History":
        """Return one history of what several processes wrote; a torn last line is left out."""
        merged = cls(lambda: NEVER)
        for lines in histories:
            merged.operations += _parse(lines)
        merged.operations.sort(key=lambda operation: operation.began)
        return merged


def _begun(operation: Operation) -> str:
    return _line(
        n=operation.number,
        actor=operation.actor,
        kind=operation.kind,
        session=operation.session,
        facts=operation.facts,
        began=operation.began,
    )


def _ended(operation: Operation) -> str:
    return _line(
        n=operation.number,
        ended=operation.ended,
        outcome=operation.outcome,
        answer=operation.answer,
    )


def _line(**fields: Any) -> str:
    return json.dumps(fields, separators=(",", ":")) + "\n"


def _parse(lines: Iterable[str]) -> list[Operation]:
    found: dict[int, Operation] = {}
    for line in lines:
        if not line.endswith("\n"):
            break
        fields = json.loads(line)
        number = fields.pop("n")
        if "actor" in fields:
            found[number] = Operation(**fields, number=number)
        else:
            operation = found[number]
            operation.ended, operation.outcome = fields["ended"], fields["outcome"]
            operation.answer = fields["answer"]
    return list(found.values())
