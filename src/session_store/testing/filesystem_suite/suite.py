"""All topics together."""

from .appending import AppendTests
from .cancelling import CancelTests
from .closing import CloseTests
from .crashes import CrashTests
from .deleting import DeleteTests
from .direct import DirectTests
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
    DirectTests,
    PathTests,
    HandleTests,
    RaceTests,
    CancelTests,
    CrashTests,
    ModelTests,
    complete=True,
):
    """What a file system has to keep: inherit it and write one fixture, `files` or `url`.

    `files` yields the file system, `url` returns what `SessionStore.open` takes. Two more are
    optional: `reopen`, a callable that opens another file system on the same files (picklable,
    if processes shall race too), and `crash`, a callable that cuts the power and returns the
    file system as it comes up afterwards.
    """
