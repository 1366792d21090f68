"""`python -m session_store.testing`, but quick; with `--broken` on an engine that is broken.

In a process of its own, for it changes what others share.
"""

import sys

from store_broken import KeepsFolders

from session_store.files import urls
from session_store.testing import __main__ as command
from session_store.testing.filesystem_suite import model as files_model
from session_store.testing.store_suite import model as store_model

if __name__ == "__main__":
    # What finds in any order what others find too takes longest.
    files_model.EXAMPLES = store_model.EXAMPLES = 1  # type: ignore[misc]
    if "--broken" in sys.argv:
        sys.argv.remove("--broken")
        urls.InMemoryFileSystem = KeepsFolders  # type: ignore[misc]
    sys.exit(command.main())
