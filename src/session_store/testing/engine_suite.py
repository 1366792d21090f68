"""What both suites stand on: the fixtures that an author writes, and the rule that all tests stay.

Without it each suite would be handed its engine in a way of its own, and an author who wants
both would write everything twice.
"""

import asyncio
from collections.abc import Callable, Coroutine, Iterator
from functools import partial
from typing import Any, ClassVar, TypeAlias, TypeVar

import pytest

from session_store.files.filesystem import FileSystem
from session_store.files.urls import open_files

from .children import Children

T = TypeVar("T")

Opens: TypeAlias = Callable[[], FileSystem]


class EngineSuite:
    """Tests of an engine; one of the fixtures `files` and `url` has to be written."""

    _runner: ClassVar[asyncio.Runner]
    _children: ClassVar[Children]
    _kept: ClassVar[dict[str, Any]] = {}
    """The tests that no subclass may override."""

    def __init_subclass__(cls, *, complete: bool = False, **kwargs: Any) -> None:
        """Refuse a class that overrides a test of one that was declared `complete`."""
        super().__init_subclass__(**kwargs)
        if complete:
            names = [name for name in dir(cls) if name.startswith("test_")]
            cls._kept = {name: getattr(cls, name) for name in names}
        for suite in cls.__mro__:
            for name, test in vars(suite).get("_kept", {}).items():
                if getattr(cls, name, None) is not test:
                    raise TypeError(
                        f"{cls.__name__} overrides {name}: the suite says what every engine "
                        "keeps; what an engine cannot do it declares in its traits"
                    )

    @classmethod
    def setup_class(cls) -> None:
        """Make the event loop in which all tests of this class drive what does not block."""
        cls._runner = asyncio.Runner()
        cls._children = Children()

    @classmethod
    def teardown_class(cls) -> None:
        """End the event loop, and the processes that raced."""
        cls._children.close()
        cls._runner.close()

    @classmethod
    def drive(cls, call: Coroutine[Any, Any, T]) -> T:
        """Return what `call` returns, driven in the event loop of this class.

        It is here for fixtures: a client that belongs to a loop is closed in that loop by
        `self.drive(files.close())`.
        """
        return cls._runner.run(call)

    @pytest.fixture
    def url(self) -> str | None:
        """Return the URL of the engine under test, unless `files` is written."""
        return None

    @pytest.fixture
    def files(self, url: str | None) -> Iterator[FileSystem]:
        """Yield the file system of the engine under test."""
        if url is None:
            pytest.fail("write a fixture `files` that yields your FileSystem, or `url`")
        files = open_files(url)
        yield files
        self.drive(files.close())

    @pytest.fixture
    def reopen(self, files: FileSystem, url: str | None) -> Opens | None:
        """Return what opens another file system on the same files; None if nothing can."""
        if url is None or files.traits.scope == "process":
            return None
        return partial(open_files, url)

    @pytest.fixture
    def crash(self) -> Opens | None:
        """Return what cuts the power, and returns the file system as it comes up afterwards."""
        return None

    @pytest.fixture
    def cut(self, files: FileSystem, crash: Opens | None) -> Opens:
        """Return `crash`; skips the test where there is none, or nothing is to survive it."""
        if not files.traits.durable:
            pytest.skip("traits.durable is false")
        if crash is None:
            pytest.skip("needs the fixture `crash`")
        return crash
