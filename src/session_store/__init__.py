"""Session Store: dialogues of AI agents and bots, as trees of messages that nothing loses.

    from session_store import SessionStore

    async with SessionStore.open("./sessions") as store:
        chat = await store.session("telegram:123")
        await chat.append("user", "Hello")

`session_store.sync` is the same for threads instead of tasks.
"""

import importlib
import typing

if typing.TYPE_CHECKING:
    from session_store.errors import (
        AppendUnknownError,
        BranchNotFoundError,
        ClosedError,
        ConfigError,
        ConflictError,
        CorruptionError,
        DuplicateMessageError,
        FileSystemError,
        InvalidIdError,
        InvalidKeyError,
        InvalidMessageError,
        LeaseLostError,
        LockedError,
        LockTimeoutError,
        MessageNotFoundError,
        MissingExtraError,
        NotFoundError,
        NotLockOwnerError,
        QuotaExceededError,
        SessionNotFoundError,
        SessionStoreError,
        StorageFullError,
        UnavailableError,
        UnknownParentError,
    )
    from session_store.files import FileSystem, InMemoryFileSystem, RealFileSystem
    from session_store.index import SessionIndexManager, SessionPage
    from session_store.jsonl import JSONLFile
    from session_store.locks import LockManager
    from session_store.model import (
        AutoResetConfig,
        AutoResetManager,
        Branch,
        Finding,
        Lock,
        LockResult,
        Message,
        SessionMetadata,
        StoreConfig,
        ToolCall,
        ToolResult,
    )
    from session_store.store.aio import SessionStore
    from session_store.store.checking import CheckReport
    from session_store.store.session import Session

__version__ = "0.1.0"

__all__ = [
    "AppendUnknownError",
    "AutoResetConfig",
    "AutoResetManager",
    "Branch",
    "BranchNotFoundError",
    "CheckReport",
    "ClosedError",
    "ConfigError",
    "ConflictError",
    "CorruptionError",
    "DuplicateMessageError",
    "FileSystem",
    "FileSystemError",
    "Finding",
    "InMemoryFileSystem",
    "InvalidIdError",
    "InvalidKeyError",
    "InvalidMessageError",
    "JSONLFile",
    "LeaseLostError",
    "Lock",
    "LockManager",
    "LockResult",
    "LockTimeoutError",
    "LockedError",
    "Message",
    "MessageNotFoundError",
    "MissingExtraError",
    "NotFoundError",
    "NotLockOwnerError",
    "QuotaExceededError",
    "RealFileSystem",
    "Session",
    "SessionIndexManager",
    "SessionMetadata",
    "SessionNotFoundError",
    "SessionPage",
    "SessionStore",
    "SessionStoreError",
    "StorageFullError",
    "StoreConfig",
    "ToolCall",
    "ToolResult",
    "UnavailableError",
    "UnknownParentError",
    "__version__",
]

# From the ground up: whoever asks for an error opens no more than the errors.
_HOMES: typing.Final = (
    *("errors", "model", "files", "jsonl", "locks", "index"),
    *("store.checking", "store.session", "store.aio"),
)


def _find(name: str) -> typing.Any:
    """Return what the package offers as `name`, and keep it at hand.

    Only now is it imported: who blocks does not wait for asyncio, nor a program for a store
    that it may not open.
    """
    if name in __all__:
        for home in _HOMES:
            module = importlib.import_module(f"{__name__}.{home}")
            if name in vars(module):
                return globals().setdefault(name, vars(module)[name])
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


if not typing.TYPE_CHECKING:  # else every name would seem to exist
    __getattr__ = _find
