"""The door: nothing is written that some reader could not read back as it was.

Parsers differ on NaN, huge integers, half characters and deep nesting, and writers turn
bytes, sets and decimals into something else without a word. So only what all of them agree
on passes, and nothing is converted.
"""

from math import isfinite
from typing import Any, Final, TypeAlias

from session_store.errors import InvalidMessageError

from .ids import has_surrogate

MAX_DEPTH: Final = 64
MAX_INTEGER: Final = 2**63 - 1
MAX_CONTAINERS: Final = 2**24
"""Lists and dicts in one value. Whoever puts one list into itself twice, sixty times over,
has more than any line can hold, and would otherwise wait for ever."""

_Trail: TypeAlias = "tuple[_Trail, str | int] | None"


def check_json(value: object, path: str, *, around: int = 0) -> None:
    """Raise `InvalidMessageError` unless every JSON parser reads `value` back unchanged.

    It names the offending value by its way from `path`, as in `content[0].source.data`.
    `around` is how many lists and dicts the value will stand in; with these it may be
    `MAX_DEPTH` deep. A cycle is too deep.
    """
    kind = type(value)
    if kind is not dict and kind is not list:
        reason = _why_not(value)
        if reason is not None:
            raise InvalidMessageError(path, reason)
        return
    pending: list[tuple[Any, int, _Trail]] = [(value, around + 1, None)]
    visited = 0
    while pending:
        # The last one first, so that a cycle gets too deep before it gets too wide.
        container, depth, trail = pending.pop()
        visited += 1
        if depth > MAX_DEPTH:
            raise InvalidMessageError(
                _spell(path, trail), f"nested more than {MAX_DEPTH} deep, or within itself"
            )
        if visited > MAX_CONTAINERS:
            raise InvalidMessageError(path, f"more than {MAX_CONTAINERS} lists and dicts")
        if type(container) is dict:
            for key in container:
                if type(key) is not str:
                    raise InvalidMessageError(
                        _spell(path, trail), f"the key {key!r} is no str; JSON keys are text"
                    )
                if has_surrogate(key):
                    raise InvalidMessageError(
                        _spell(path, trail), f"the key {key!r} holds a lone surrogate"
                    )
            children: Any = container.items()
        else:
            children = enumerate(container)
        for place, child in children:
            kind = type(child)
            if kind is str:
                if child.isascii():
                    continue
            elif kind is int:
                if -MAX_INTEGER <= child <= MAX_INTEGER:
                    continue
            elif kind is dict or kind is list:
                pending.append((child, depth + 1, (trail, place)))
                continue
            reason = _why_not(child)
            if reason is not None:
                raise InvalidMessageError(_spell(path, (trail, place)), reason)


def check_text(value: object, path: str) -> None:
    """Raise `InvalidMessageError` unless `value` is a plain str of whole characters."""
    if type(value) is not str:
        raise InvalidMessageError(path, f"a str is needed, not {type(value).__name__}")
    if has_surrogate(value):
        raise InvalidMessageError(path, "it holds a lone surrogate")


def same_json(one: Any, other: Any) -> bool:
    """Return whether both are the same JSON value, whatever the order of their keys."""
    if isinstance(one, dict):
        return (
            isinstance(other, dict)
            and one.keys() == other.keys()
            and all(same_json(value, other[key]) for key, value in one.items())
        )
    if isinstance(one, list):
        return (
            isinstance(other, list) and len(one) == len(other) and all(map(same_json, one, other))
        )
    return isinstance(one, bool) is isinstance(other, bool) and bool(one == other)


def _why_not(value: object) -> str | None:
    # By exact type: what a subclass adds (an enum's name, a unit) would be lost in silence.
    kind = type(value)
    if value is None or kind is bool:
        return None
    if kind is str:
        assert isinstance(value, str)
        return "it holds a lone surrogate" if has_surrogate(value) else None
    if kind is int:
        assert isinstance(value, int)
        if -MAX_INTEGER <= value <= MAX_INTEGER:
            return None
        return "an integer beyond ±(2^63-1); write it as text"
    if kind is float:
        assert isinstance(value, float)
        return None if isfinite(value) else f"{value!r} is no JSON number"
    return (
        f"{kind.__name__} is not kept as it is; only None, bool, int, float, str, list and dict are"
    )


def _spell(path: str, trail: _Trail) -> str:
    steps: list[str] = []
    while trail is not None:
        trail, place = trail
        if isinstance(place, int):
            steps.append(f"[{place}]")
        elif place.isidentifier():
            steps.append(f".{place}")
        else:
            steps.append(f"[{place!r}]")
    return (path + "".join(reversed(steps))).removeprefix(".")
