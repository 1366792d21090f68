"""What may be an id, a key or a branch name: checked before anything touches a disk.

Only a plain `str` passes: a subclass may print as something else than it compares to, and
ids become paths.
"""

import re
from typing import Final

from session_store.errors import InvalidIdError, InvalidKeyError

MAX_SESSION_ID_BYTES: Final = 200
MAX_FOREIGN_ID_BYTES: Final = 255
MAX_TEXT_LENGTH: Final = 1024
"""The longest key, branch name or message id, in characters."""

HEAD: Final = "HEAD"
"""Where a session stands; it moves with every append and is therefore no branch name."""

_CREATED: Final = re.compile(r"[A-Za-z0-9_:+@=-][A-Za-z0-9_:+@=.-]*", re.ASCII)
_OWN_FILES: Final = ("sessions.", ".sessions.")


def check_session_id(value: object) -> str:
    """Return `value` if a session may be created under it, or raise `InvalidIdError`."""
    if type(value) is not str:
        raise InvalidIdError(value, _not_text(value))
    if not _CREATED.fullmatch(value):
        raise InvalidIdError(
            value, "a session id is ASCII letters, digits and '-_.:+@=', and starts with no '.'"
        )
    # In any case: some volumes do not tell "Sessions.json" from our own file.
    if value.lower().startswith(_OWN_FILES):
        raise InvalidIdError(value, "names that begin with 'sessions.' belong to the store")
    if len(value) > MAX_SESSION_ID_BYTES:
        raise InvalidIdError(value, f"longer than {MAX_SESSION_ID_BYTES} bytes")
    return value


def check_foreign_session_id(value: object) -> str:
    """Return `value` if it can be the folder of a session that others made.

    The original takes what it is given, so any single safe component of a path passes that
    is no file of the store itself; else `InvalidIdError`.
    """
    if type(value) is not str:
        raise InvalidIdError(value, _not_text(value))
    if value in ("", ".", ".."):
        raise InvalidIdError(value, "it must name a folder of its own")
    if "/" in value or "\0" in value:
        raise InvalidIdError(value, "'/' and NUL cannot stand in the name of a folder")
    if value.startswith(_OWN_FILES):
        raise InvalidIdError(value, "names that begin with 'sessions.' belong to the store")
    if has_surrogate(value):
        raise InvalidIdError(value, "it holds a lone surrogate")
    if len(value.encode()) > MAX_FOREIGN_ID_BYTES:
        raise InvalidIdError(value, f"longer than {MAX_FOREIGN_ID_BYTES} bytes")
    return value


def check_key(value: object) -> str:
    """Return `value` if sessions can be found by it, or raise `InvalidKeyError`."""
    reason = _why_not(value)
    if reason is not None:
        raise InvalidKeyError(value, reason)
    assert isinstance(value, str)
    return value


def check_branch_name(value: object) -> str:
    """Return `value` if a branch may be called so, or raise `InvalidIdError`."""
    reason = _why_not(value)
    if reason is None and value == HEAD:
        reason = "HEAD is where the session stands, not a branch"
    if reason is not None:
        raise InvalidIdError(value, reason)
    assert isinstance(value, str)
    return value


def check_message_id(value: object) -> str:
    """Return `value` if a message may be called so, or raise `InvalidIdError`."""
    reason = _why_not(value)
    if reason is not None:
        raise InvalidIdError(value, reason)
    assert isinstance(value, str)
    return value


def has_surrogate(text: str) -> bool:
    """Return whether `text` holds half a character, which UTF-8 cannot say."""
    if text.isascii():
        return False
    try:
        text.encode()
    except UnicodeEncodeError:
        return True
    return False


def _why_not(value: object) -> str | None:
    if type(value) is not str:
        return _not_text(value)
    if not value:
        return "it is empty"
    if len(value) > MAX_TEXT_LENGTH:
        return f"{len(value)} characters; at most {MAX_TEXT_LENGTH} are allowed"
    if has_surrogate(value):
        return "it holds a lone surrogate"
    return None


def _not_text(value: object) -> str:
    return f"a plain str is needed, not {type(value).__name__}"
