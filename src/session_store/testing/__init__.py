"""For authors of engines: the contract as tests to inherit, and tools that break things.

    from session_store.testing import FileSystemSuite, SessionIndexSuite, StoreSuite

`FileSystemSuite` asks what a file system has to keep, `SessionIndexSuite` what an index has to,
`StoreSuite` what a user of the whole store may rely on; `python -m session_store.testing URL`
runs them and prints a table. Beside them: `history` judges what many callers were answered,
`faults` makes calls of a file system fail, `simulation` plays schedules that a seed decides.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any, Final

from session_store.errors import MissingExtraError

if TYPE_CHECKING:
    from .filesystem_suite import FileSystemSuite
    from .index_suite import SessionIndexSuite
    from .store_suite import StoreSuite

__all__ = ["FileSystemSuite", "SessionIndexSuite", "StoreSuite"]

_WHERE: Final = {
    "FileSystemSuite": "filesystem_suite",
    "SessionIndexSuite": "index_suite",
    "StoreSuite": "store_suite",
}


def __getattr__(name: str) -> Any:
    # Not imported before it is asked for: the other tools need no pytest.
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    try:
        return getattr(import_module(f"{__name__}.{_WHERE[name]}"), name)
    except ModuleNotFoundError as error:
        if error.name in {"hypothesis", "pytest"}:
            raise MissingExtraError("testing") from error
        raise
