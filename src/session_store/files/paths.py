"""What a path may look like: the one gate between names and the disk."""

from session_store.errors import InvalidIdError

MAX_COMPONENT_BYTES = 255


def check_path(path: str) -> list[str]:
    """Return the components of `path`, or raise `InvalidIdError`."""
    parts = path.split("/")
    for part in parts:
        check_component(part)
    return parts


def check_component(name: str) -> None:
    """Raise `InvalidIdError` unless `name` is a single, safe component of a path."""
    if name in {"", ".", ".."}:
        raise InvalidIdError(name, "it must name something below the folder")
    if "/" in name or "\0" in name:
        raise InvalidIdError(name, "'/' and NUL cannot stand in a name")
    try:
        size = len(name.encode())
    except UnicodeEncodeError:
        raise InvalidIdError(name, "it holds a lone surrogate") from None
    if size > MAX_COMPONENT_BYTES:
        raise InvalidIdError(name, f"{size} bytes; at most {MAX_COMPONENT_BYTES} are allowed")
