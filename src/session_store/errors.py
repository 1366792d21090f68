"""Everything this library raises, in one tree.

Every error ends in `Error`, carries its facts as attributes, survives pickling,
has a stable `code`, says whether the same call may succeed later (`retryable`),
and is also the builtin that a stranger to this library would catch.

    SessionStoreError
    ├─ FileSystemError (.path)                                      OSError
    │  ├─ NotFoundError                                             FileNotFoundError
    │  ├─ ConflictError (.expected .actual)                         FileExistsError
    │  ├─ UnavailableError (.reason .unknown)                       TimeoutError
    │  └─ StorageFullError
    ├─ SessionNotFoundError (.session_id)                           LookupError
    ├─ MessageNotFoundError (.session_id .message_id)               LookupError
    ├─ UnknownParentError (.session_id .parent_id)                  LookupError
    ├─ BranchNotFoundError (.session_id .name)                      LookupError
    ├─ InvalidIdError (.value .reason)                              ValueError
    ├─ InvalidKeyError (.key .reason)                               ValueError
    ├─ InvalidMessageError (.path .reason)                          ValueError
    ├─ DuplicateMessageError (.session_id .message_id)              ValueError
    ├─ ConfigError (.field .reason)                                 ValueError
    ├─ LockedError (.session_id .owner .expires_at)                 RuntimeError
    ├─ LockTimeoutError (.session_id .owner .timeout_ms)            TimeoutError
    ├─ LeaseLostError (.session_id .owner)                          RuntimeError
    ├─ NotLockOwnerError (.session_id .owner)                       PermissionError
    ├─ ClosedError                                                  ValueError
    ├─ AppendUnknownError (.session_id .message_id .reason)         OSError
    ├─ QuotaExceededError (.limit .actual)                          RuntimeError
    ├─ CorruptionError (.path .offset .reason)                      ValueError
    └─ MissingExtraError (.extra)                                   ImportError
"""

from typing import Any, ClassVar


class SessionStoreError(Exception):
    """The root: `except SessionStoreError` catches all that this library raises."""

    code: ClassVar[str] = "session_store"
    retryable: ClassVar[bool] = False

    def __reduce__(self) -> tuple[Any, ...]:
        # Not the inherited one: it calls the class again with the message alone.
        return _revive, (type(self), self.args, dict(self.__dict__))


def _revive(
    kind: type[SessionStoreError], args: tuple[Any, ...], facts: dict[str, Any]
) -> SessionStoreError:
    error = kind.__new__(kind, *args)
    error.args = args
    error.__dict__.update(facts)
    return error


class FileSystemError(SessionStoreError, OSError):
    """A call of the file system failed; `path` is relative to its root."""

    code = "file_system"

    def __init__(self, path: str, message: str) -> None:
        super().__init__(message)
        self.path = path


class NotFoundError(FileSystemError, FileNotFoundError):
    """There is no file at `path`."""

    code = "not_found"

    def __init__(self, path: str) -> None:
        super().__init__(path, f"there is no file {path!r}")


class ConflictError(FileSystemError, FileExistsError):
    """A precondition did not hold and nothing was written; `actual` is what was found."""

    code = "conflict"
    retryable = True

    def __init__(self, path: str, *, expected: object, actual: object) -> None:
        super().__init__(path, f"{path!r} changed: expected {expected!r}, found {actual!r}")
        self.expected = expected
        self.actual = actual


class UnavailableError(FileSystemError, TimeoutError):
    """The storage did not serve the call.

    With `unknown` the answer was lost and a write may have happened; without, it did not.
    """

    code = "unavailable"
    retryable = True

    def __init__(self, path: str, reason: str, *, unknown: bool = False) -> None:
        super().__init__(path, f"{_shown(path)} is unavailable: {reason}")
        self.reason = reason
        self.unknown = unknown


class StorageFullError(FileSystemError):
    """No space, quota or file size left; nothing was written. Free some and try again."""

    code = "storage_full"
    retryable = True

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(path, f"no room to write {_shown(path)}: {reason}")
        self.reason = reason


class SessionNotFoundError(SessionStoreError, LookupError):
    """There is no such session, or it was deleted."""

    code = "session_not_found"

    def __init__(self, session_id: str) -> None:
        super().__init__(
            f"there is no session {session_id!r} (never created, or deleted); "
            "resolve(key) makes one"
        )
        self.session_id = session_id


class MessageNotFoundError(SessionStoreError, LookupError):
    """The session has no such message, or a reset hides it."""

    code = "message_not_found"

    def __init__(self, session_id: str, message_id: str) -> None:
        super().__init__(f"session {session_id!r} has no message {message_id!r}")
        self.session_id = session_id
        self.message_id = message_id


class UnknownParentError(SessionStoreError, LookupError):
    """The message names a parent that its session does not have; nothing was written."""

    code = "unknown_parent"

    def __init__(self, session_id: str, parent_id: str) -> None:
        super().__init__(
            f"session {session_id!r} has no message {parent_id!r} to be a parent; "
            "leave parent_id out to continue from the head, or pass None for a new root"
        )
        self.session_id = session_id
        self.parent_id = parent_id


class BranchNotFoundError(SessionStoreError, LookupError):
    """The session has no branch of that name, or it was deleted."""

    code = "branch_not_found"

    def __init__(self, session_id: str, name: str) -> None:
        super().__init__(f"session {session_id!r} has no branch {name!r}")
        self.session_id = session_id
        self.name = name


class InvalidIdError(SessionStoreError, ValueError):
    """An id, a branch name or a path that this store refuses; nothing was touched."""

    code = "invalid_id"

    def __init__(self, value: object, reason: str) -> None:
        super().__init__(f"{_short(value)} is no valid id: {reason}")
        self.value = value
        self.reason = reason


class InvalidKeyError(SessionStoreError, ValueError):
    """A session key that this store refuses; nothing was touched."""

    code = "invalid_key"

    def __init__(self, key: object, reason: str) -> None:
        super().__init__(f"{_short(key)} is no valid session key: {reason}")
        self.key = key
        self.reason = reason


class InvalidMessageError(SessionStoreError, ValueError):
    """A message (or metadata) that no store could keep as it is; nothing was written.

    `path` leads to the offending value, as in `content[0].source.data`.
    """

    code = "invalid_message"

    def __init__(self, path: str, reason: str) -> None:
        super().__init__(f"{path}: {reason}" if path else reason)
        self.path = path
        self.reason = reason


class DuplicateMessageError(SessionStoreError, ValueError):
    """The id is taken by a message that differs; nothing was written."""

    code = "duplicate_message"

    def __init__(self, session_id: str, message_id: str) -> None:
        super().__init__(
            f"session {session_id!r} already has another message with the id {message_id!r}; "
            "leave the id out to get a new one"
        )
        self.session_id = session_id
        self.message_id = message_id


class ConfigError(SessionStoreError, ValueError):
    """A setting that does not exist or has no meaning; nothing was opened."""

    code = "config"

    def __init__(self, field: str, reason: str) -> None:
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class LockedError(SessionStoreError, RuntimeError):
    """Another owner holds the lock; `expires_at` is wall clock, in milliseconds."""

    code = "locked"
    retryable = True

    def __init__(self, session_id: str, owner: str, expires_at: int) -> None:
        super().__init__(f"session {session_id!r} is locked by {owner!r}")
        self.session_id = session_id
        self.owner = owner
        self.expires_at = expires_at


class LockTimeoutError(SessionStoreError, TimeoutError):
    """The lock did not become free within `timeout_ms`; `owner` held it last."""

    code = "lock_timeout"
    retryable = True

    def __init__(self, session_id: str, owner: str, timeout_ms: int) -> None:
        super().__init__(f"session {session_id!r} stayed locked by {owner!r} for {timeout_ms} ms")
        self.session_id = session_id
        self.owner = owner
        self.timeout_ms = timeout_ms


class LeaseLostError(SessionStoreError, RuntimeError):
    """Somebody took the lock over; what this call wanted to write was not written."""

    code = "lease_lost"

    def __init__(self, session_id: str, owner: str) -> None:
        super().__init__(
            f"{owner!r} no longer holds the lock of session {session_id!r}; "
            "acquire it again and read what happened since"
        )
        self.session_id = session_id
        self.owner = owner


class NotLockOwnerError(SessionStoreError, PermissionError):
    """Only its owner may release a lock; `owner` is who tried."""

    code = "not_lock_owner"

    def __init__(self, session_id: str, owner: str) -> None:
        super().__init__(
            f"{owner!r} does not hold the lock of session {session_id!r} "
            "(force_release takes it from whoever does)"
        )
        self.session_id = session_id
        self.owner = owner


class ClosedError(SessionStoreError, ValueError):
    """The store was closed; open it again."""

    code = "closed"

    def __init__(self) -> None:
        super().__init__("the store is closed; open it again")


class AppendUnknownError(SessionStoreError, OSError):
    """The write may or may not have happened; repeat it with the same message id."""

    code = "append_unknown"
    retryable = True

    def __init__(self, session_id: str, message_id: str, reason: str) -> None:
        super().__init__(
            f"it is unknown whether message {message_id!r} reached session {session_id!r} "
            f"({reason}); append it again with the same id"
        )
        self.session_id = session_id
        self.message_id = message_id
        self.reason = reason


class QuotaExceededError(SessionStoreError, RuntimeError):
    """A limit was reached; nothing was written."""

    code = "quota_exceeded"

    def __init__(self, what: str, *, limit: int, actual: int) -> None:
        super().__init__(f"{what}: {actual} exceeds the limit of {limit}")
        self.what = what
        self.limit = limit
        self.actual = actual


class CorruptionError(SessionStoreError, ValueError):
    """Stored bytes that cannot be used, and that must not be written over."""

    code = "corruption"

    def __init__(self, path: str, offset: int, reason: str) -> None:
        super().__init__(f"{path or 'the store'} at byte {offset}: {reason}")
        self.path = path
        self.offset = offset
        self.reason = reason


class MissingExtraError(SessionStoreError, ImportError):
    """An optional part was asked for that is not installed."""

    code = "missing_extra"

    def __init__(self, extra: str) -> None:
        super().__init__(f"this needs an extra: pip install 'session-store[{extra}]'")
        self.extra = extra


def _shown(path: str) -> str:
    """Return the path as a message names it; what concerns all files at once has none."""
    return repr(path) if path else "the store"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."
