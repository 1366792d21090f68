"""All topics together."""

from .ending import EndTests
from .listing import PageTests
from .naming import KeyTests
from .noting import NoteTests
from .racing import RaceTests


class SessionIndexSuite(KeyTests, NoteTests, PageTests, EndTests, RaceTests, complete=True):
    """What an index has to keep: inherit it and write one fixture, `files` or `url`.

    It asks the index that the engine has of its own, or else the journal on its files. `reopen`
    is optional, as in `StoreSuite`; so is `index_in_files = False`.
    """
