"""Two faces, one text: the async and the blocking classes have the same names and signatures."""

import importlib
import inspect
from collections.abc import (
    AsyncGenerator,
    AsyncIterable,
    AsyncIterator,
    Awaitable,
    Callable,
    Coroutine,
    Generator,
    Iterable,
    Iterator,
)
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from typing import Any, get_args, get_origin

import pytest

TWINS = ["SessionStore", "Session"]

# For `session_store.runtime.on_fork`, not for people.
MACHINERY = {"after_fork"}

_PLAIN: dict[Any, str] = {
    AsyncIterator: "Iterator",
    AsyncIterable: "Iterator",
    AsyncGenerator: "Iterator",
    Iterator: "Iterator",
    Iterable: "Iterator",
    Generator: "Iterator",
    AbstractAsyncContextManager: "ContextManager",
    AbstractContextManager: "ContextManager",
}


def twins(name: str) -> tuple[type, type]:
    """Return the class of that name in the async and in the blocking face."""
    package = importlib.import_module("session_store")
    blocking = importlib.import_module("session_store.sync")
    assert hasattr(package, name), f"session_store.{name} is missing"
    assert hasattr(blocking, name), f"session_store.sync.{name} is missing"
    return getattr(package, name), getattr(blocking, name)


def public_names(face: type) -> set[str]:
    """Return what a person may use of a class."""
    return {name for name in dir(face) if not name.startswith("_")} - MACHINERY


def plain(annotation: Any) -> str:
    """Return an annotation as text, with all that waits taken out of it."""
    if isinstance(annotation, list):
        return f"[{', '.join(map(plain, annotation))}]"
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in {Awaitable, Coroutine}:
        return plain(arguments[-1])
    if origin in _PLAIN:
        return f"{_PLAIN[origin]}[{plain(arguments[0])}]"
    if origin is not None:
        inside = ", ".join(plain(argument) for argument in arguments)
        return f"{getattr(origin, '__name__', origin)}[{inside}]"
    return getattr(annotation, "__name__", repr(annotation))


def signature(member: Any) -> tuple[list[tuple[str, Any, Any, str]], str]:
    """Return names, kinds, defaults and types of a method, and what it comes to."""
    signature = inspect.signature(member, eval_str=True)
    parameters = [
        (parameter.name, parameter.kind, parameter.default, plain(parameter.annotation))
        for parameter in signature.parameters.values()
    ]
    return parameters, plain(signature.return_annotation)


def _type_of(member: property) -> Any:
    assert member.fget is not None
    return inspect.signature(member.fget, eval_str=True).return_annotation


@pytest.mark.parametrize("name", TWINS)
def test_both_faces_have_the_same_names(name: str) -> None:
    waiting, blocking = twins(name)

    assert public_names(waiting) - public_names(blocking) == set(), "missing in the blocking face"
    assert public_names(blocking) - public_names(waiting) == set(), "missing in the async face"


@pytest.mark.parametrize("name", TWINS)
def test_both_faces_have_the_same_signatures(name: str) -> None:
    waiting, blocking = twins(name)

    for member in sorted(public_names(waiting) & public_names(blocking)):
        one, other = (inspect.getattr_static(face, member) for face in (waiting, blocking))
        assert isinstance(one, property) == isinstance(other, property), member
        if isinstance(one, property) and isinstance(other, property):
            assert plain(_type_of(one)) == plain(_type_of(other)), f"{name}.{member}"
        elif callable(getattr(waiting, member)):
            expected, found = (signature(getattr(face, member)) for face in (waiting, blocking))
            assert found == expected, f"{name}.{member}"


@pytest.mark.parametrize("name", TWINS)
def test_a_store_is_made_alike_in_both_faces(name: str) -> None:
    waiting, blocking = twins(name)

    one, other = (list(inspect.signature(face).parameters) for face in (waiting, blocking))

    assert one == other


@pytest.mark.parametrize("name", TWINS)
def test_nothing_in_the_blocking_face_has_to_be_awaited(name: str) -> None:
    _, blocking = twins(name)

    for member in sorted(public_names(blocking)):
        value = inspect.getattr_static(blocking, member)
        function = getattr(value, "__func__", value)
        assert not inspect.iscoroutinefunction(function), member
        assert not inspect.isasyncgenfunction(function), member


@pytest.mark.parametrize("name", TWINS)
def test_the_blocking_face_is_documented_in_one_line(name: str) -> None:
    _, blocking = twins(name)

    for member in sorted(public_names(blocking)):
        text = inspect.getattr_static(blocking, member).__doc__
        assert text, f"{name}.{member} has no docstring"
        assert "\n" not in text, f"{name}.{member}: one line is enough, its twin says the rest"


def test_types_differ_only_in_what_waits() -> None:
    assert plain(Callable[[], Awaitable[int]]) == plain(Callable[[], int])
    assert plain(AsyncGenerator[str, None]) == plain(Iterator[str])
    assert plain(AbstractAsyncContextManager[None]) == plain(AbstractContextManager[None])
    assert plain(dict[str, int]) != plain(dict[str, str])
    assert plain(str | None) != plain(str)
