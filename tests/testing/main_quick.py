"""`python -m session_store.testing`, but each test once; with `--broken` on a broken engine.

With `--only=read,write` only the tests whose names begin with `test_read` or `test_write`.

In a process of its own, for it changes what others share.
"""

import sys
from typing import Any

from store_broken import KeepsFolders

from session_store.files import urls
from session_store.testing import __main__ as command
from session_store.testing.filesystem_suite import model as files_model
from session_store.testing.store_suite import model as store_model
from session_store.testing.store_suite import table


class Once(table.Table):
    """Of the values that a test is made with only the first."""

    only: tuple[str, ...] = ("test_",)

    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        super().pytest_collection_modifyitems(items)
        first: dict[tuple[type, str], Any] = {}
        for item in items:
            if item.originalname.startswith(self.only):
                first.setdefault((item.cls, item.originalname), item)
        items[:] = first.values()


if __name__ == "__main__":
    # What finds in any order what others find too takes longest.
    files_model.EXAMPLES = store_model.EXAMPLES = 1  # type: ignore[misc]
    table.Table = Once  # type: ignore[misc]
    for argument in [one for one in sys.argv if one.startswith("--only=")]:
        sys.argv.remove(argument)
        names = argument.removeprefix("--only=").split(",")
        Once.only = tuple(f"test_{name}" for name in names)
    if "--broken" in sys.argv:
        sys.argv.remove("--broken")
        urls.InMemoryFileSystem = KeepsFolders  # type: ignore[misc]
    sys.exit(command.main())
