"""All topics together."""

from .appending import AppendTests
from .branching import BranchTests
from .closing import CloseTests
from .crashes import CrashTests
from .damage import DamageTests
from .deleting import DeleteTests
from .hostile import HostileTests
from .keys import KeyTests
from .listing import ListTests
from .locking import LockTests
from .metadata import MetadataTests
from .model import ModelTests
from .reading import ReadTests
from .resetting import ResetTests
from .subscribing import SubscribeTests
from .writers import WriterTests


class StoreSuite(
    KeyTests,
    AppendTests,
    ReadTests,
    BranchTests,
    ResetTests,
    MetadataTests,
    ListTests,
    DeleteTests,
    LockTests,
    SubscribeTests,
    CloseTests,
    HostileTests,
    DamageTests,
    WriterTests,
    CrashTests,
    ModelTests,
    complete=True,
):
    """What a store on an engine has to keep: inherit it and write one fixture, `files` or `url`.

    `files` yields the file system of the engine, `url` returns what `SessionStore.open` takes.
    Two more are optional: `reopen`, a callable that opens another file system on the same files
    (picklable, if processes shall race too), and `crash`, a callable that cuts the power and
    returns the file system as it comes up afterwards. An engine that keeps the index elsewhere
    than in files sets `index_in_files = False`.
    """
