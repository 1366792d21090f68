"""Session Store: dialogues of AI agents and bots, as trees of messages that nothing loses.

    from session_store import SessionStore

    async with SessionStore.open("./sessions") as store:
        chat = await store.session("telegram:123")
        await chat.append("user", "Hello")

`session_store.sync` is the same for threads instead of tasks.
"""

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
from session_store.store import CheckReport, Session, SessionStore

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
