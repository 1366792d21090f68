"""What a client's error tells, and what is told of it to who uses the store.

Pure. The client's text is read and never repeated: it is long, and says more of a request than a
log should keep.
"""

from typing import Final, Literal, TypeAlias

from session_store.errors import FileSystemError, StorageFullError, UnavailableError

from .urls import Place

Right: TypeAlias = Literal["read", "list", "write", "delete"]
"""What one needs the right to."""

_NO_BUCKET: Final = ("NoSuchBucket", "ContainerNotFound")
_NO_RIGHT: Final = {"AccessDenied", "AuthorizationFailure", "AuthorizationPermissionMismatch"}
_ELSEWHERE: Final = {
    "AuthorizationHeaderMalformed",
    "IllegalLocationConstraintException",
    "PermanentRedirect",
}
_OUTDATED: Final = {"ExpiredToken", "TokenRefreshRequired"}
_NOBODY: Final = ("/latest/api/token", "/computeMetadata/", "/oauth2/token")
"""Where a client asks for credentials that finds none in the environment."""
_BUSY: Final = ("408", "425", "429")


class Refused(UnavailableError):
    """The service knows who asks, or where, and will not serve it; repeating it is no use."""

    retryable = False


def is_no_bucket(text: str) -> bool:
    """Return whether it is the bucket that is not there, and not the object."""
    return any(code in text for code in _NO_BUCKET)


def no_bucket(place: Place, path: str) -> Refused:
    """Return what to raise where there is no bucket."""
    return Refused(path, f"there is no bucket {place.bucket!r}: make it first")


def is_beyond(text: str) -> bool:
    """Return whether a range was asked for that begins behind the end of the object."""
    return between(text, "status code: ", ":").startswith("416")


def failure(place: Place, path: str, text: str, right: Right) -> FileSystemError:
    """Return what to raise for an error of this text, of a call that needs this right."""
    status = between(text, "status code: ", ":")
    code = between(text, "<Code>", "</Code>") or between(text, "(code: ", ")")
    if is_no_bucket(text):
        return no_bucket(place, path)
    if any(where in text for where in _NOBODY):
        return Refused(path, f"there are no credentials: set {place.variables}")
    if code in _ELSEWHERE or "redirect without LOCATION" in text:
        reason = (
            f"bucket {place.bucket!r} is in another region: name it with ?region=, or AWS_REGION"
        )
        return Refused(path, reason)
    if code == "RequestTimeTooSkewed":
        return Refused(path, "the clock of this machine is wrong: the service refuses its times")
    if code in _OUTDATED:
        return Refused(path, f"the credentials have expired ({code}): look at {place.variables}")
    if status.startswith(("401", "403")) or code in _NO_RIGHT:
        return _refused(place, path, code or status[:3], right)
    if status.startswith("507"):
        return StorageFullError(path, status)
    if "kind: Connect," in text:
        where = place.endpoint or f"the service of {place.scheme}:"
        return UnavailableError(path, f"nobody answers at {where}")
    said = between(text, "kind: ", ",")
    reason = status or (f"the connection failed ({said})" if said else "the call failed")
    # What the service calls wrong it has not done.
    certain = status.startswith("4") and not status.startswith(_BUSY)
    return UnavailableError(path, reason, unknown=right in {"write", "delete"} and not certain)


def _refused(place: Place, path: str, code: str, right: Right) -> Refused:
    if code in _NO_RIGHT:
        # Who may not list is told so of what is not there, even if he may read.
        what = "read, or not list," if right == "read" else right
        return Refused(
            path,
            f"these credentials may not {what} in bucket {place.bucket!r} ({code}): "
            "a store needs the rights to list, read, write and delete",
        )
    return Refused(path, f"the credentials are refused ({code}): look at {place.variables}")


def between(text: str, before: str, behind: str) -> str:
    """Return what stands between the first of these, as far as it is short; empty for nothing."""
    found = text.partition(before)[2]
    return found.partition(behind)[0][:80] if behind in found else ""
