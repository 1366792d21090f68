"""What a caller may say about a session."""

from collections.abc import Mapping
from typing import Any, Final

from session_store.errors import InvalidMessageError

from .door import check_json

_FIELDS: Final[dict[str, tuple[str, type, str]]] = {
    "user_id": ("userId", str, "a str"),
    "token_estimate": ("tokenEstimate", int, "an int"),
    "model_overrides": ("modelOverrides", dict, "a dict"),
    "metadata": ("metadata", dict, "a dict"),
}
_SPELLED: Final = {disk: name for name, (disk, _, _) in _FIELDS.items()}


def check_changes(changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return the changes under their names on disk, or raise `InvalidMessageError`.

    A field may be set to None, which takes it away.
    """
    checked: dict[str, Any] = {}
    for given, value in changes.items():
        name = _SPELLED.get(given, given)
        if name not in _FIELDS:
            from difflib import get_close_matches  # 2 ms that only a mistake has to wait for

            near = get_close_matches(str(given), _FIELDS, 1)
            hint = f"did you mean {near[0]!r}?" if near else f"yours to set: {', '.join(_FIELDS)}"
            raise InvalidMessageError(str(given), f"there is no such field to set; {hint}")
        disk, kind, said = _FIELDS[name]
        if value is not None:
            if type(value) is not kind:
                found = type(value).__name__
                raise InvalidMessageError(name, f"it must be {said} or None, not {found}")
            check_json(value, name)
        checked[disk] = value
    return checked
