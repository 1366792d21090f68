"""All topics together, and the rule that nobody takes a test out."""

from typing import Any, Final

from .appending import AppendTests
from .cancelling import CancelTests
from .closing import CloseTests
from .crashes import CrashTests
from .deleting import DeleteTests
from .facts import FactTests
from .handles import HandleTests
from .listing import ListTests
from .model import ModelTests
from .paths import PathTests
from .races import RaceTests
from .reading import ReadTests
from .stats import StatTests
from .syncing import SyncTests
from .writing import WriteTests


class FileSystemSuite(
    StatTests,
    ReadTests,
    WriteTests,
    AppendTests,
    DeleteTests,
    ListTests,
    SyncTests,
    CloseTests,
    FactTests,
    PathTests,
    HandleTests,
    RaceTests,
    CancelTests,
    CrashTests,
    ModelTests,
):
    """What a file system has to keep: inherit it and write one fixture, `files`.

    `files` yields the file system. Two more are optional: `reopen`, a callable that opens
    another one on the same files (picklable, if processes shall race too), and `crash`, a
    callable that cuts the power and returns the file system as it comes up afterwards.
    """

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        for name in TESTS:
            if getattr(cls, name, None) is not getattr(FileSystemSuite, name):
                raise TypeError(
                    f"{cls.__name__} overrides {name}: the suite says what every engine keeps; "
                    "what an engine cannot do it declares in its traits"
                )


TESTS: Final = tuple(name for name in dir(FileSystemSuite) if name.startswith("test_"))
