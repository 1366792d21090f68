"""How a command ends that could not do what was asked: one line, and an exit code."""

from typing import Any, Final

from session_store.errors import (
    BranchNotFoundError,
    ConfigError,
    ConflictError,
    DuplicateMessageError,
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
    SessionNotFoundError,
    SessionStoreError,
    UnknownParentError,
)

from .output import json_line, visible

FOUND_ERRORS: Final = 1
USAGE: Final = 2
NOT_FOUND: Final = 3
CONFLICT: Final = 4
STORAGE: Final = 5
STOPPED: Final = 130
OUTPUT_CLOSED: Final = 141

EXIT_CODES: Final = """\b
Exit codes:
  0    done
  1    errors in the data (check, import)
  2    the command was not understood, or a value is refused
  3    no such store, session, message, branch, key or file
  4    locked by another, or in conflict with what is stored
  5    the storage failed, or it is unknown whether it did
  130  stopped by Ctrl-C, or by answering no
  141  whoever read the output has gone"""

_EXITS: Final[dict[int, tuple[type[SessionStoreError], ...]]] = {
    USAGE: (
        InvalidIdError,
        InvalidKeyError,
        InvalidMessageError,
        ConfigError,
        MissingExtraError,
    ),
    NOT_FOUND: (
        NotFoundError,
        SessionNotFoundError,
        MessageNotFoundError,
        BranchNotFoundError,
        UnknownParentError,
    ),
    CONFLICT: (
        LockedError,
        LockTimeoutError,
        LeaseLostError,
        NotLockOwnerError,
        ConflictError,
        DuplicateMessageError,
    ),
}
_ADVICE: Final = {
    "session_not_found": "it was deleted while it was in use",
    "message_not_found": "`session-store tree KEY --ids` shows the ids",
    "unavailable": "see that it can be reached and written, then try again",
    "storage_full": "free some space and try again",
    "corruption": "`session-store check` says more",
}


class CommandError(Exception):
    """What was asked cannot be done; `facts` stand beside the message in `--json`."""

    def __init__(self, code: str, message: str, exit_code: int, **facts: Any) -> None:
        super().__init__(message)
        self.code = code
        self.exit_code = exit_code
        self.facts = facts


def not_found(code: str, message: str) -> CommandError:
    """Return the error for something that is not there."""
    return CommandError(code, message, NOT_FOUND)


def usage(message: str) -> CommandError:
    """Return the error for a command that makes no sense."""
    return CommandError("usage", message, USAGE)


def failure_of(error: SessionStoreError | OSError) -> CommandError:
    """Return what the person at the terminal has to know of `error`."""
    if not isinstance(error, SessionStoreError):
        exit_code = NOT_FOUND if isinstance(error, FileNotFoundError) else STORAGE
        said = error.strerror or str(error)
        return CommandError(
            "file", f"{error.filename}: {said}" if error.filename else said, exit_code
        )
    exit_code = next((code for code, kinds in _EXITS.items() if isinstance(error, kinds)), STORAGE)
    message = str(error)
    advice = _ADVICE.get(error.code)
    return CommandError(error.code, f"{message}; {advice}" if advice else message, exit_code)


def told(error: CommandError, *, as_json: bool) -> str:
    """Return the one line that tells of `error`."""
    if as_json:
        return json_line({"error": error.code, "message": visible(str(error)), **error.facts})
    return f"session-store: {visible(str(error))}"
