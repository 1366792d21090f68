"""Plain JSON objects as records: for a `JSONLFile` that nobody told what it holds."""

from collections.abc import Mapping
from typing import Any

import msgspec

from session_store.errors import InvalidMessageError
from session_store.model.door import check_json

from .lines import parse_object


class JSONObject(dict[str, Any]):
    """The JSON object on a line."""

    @property
    def batch(self) -> tuple[int, int] | None:
        """Return (k, n) on the k-th of n lines that stand or fall together."""
        value = self.get("batch")
        if not isinstance(value, list) or [type(number) for number in value] != [int, int]:
            return None
        return (value[0], value[1]) if 1 <= value[0] <= value[1] else None


def encode_object(record: Mapping[str, Any]) -> bytes:
    """Return `record` as JSON, or raise `InvalidMessageError` if it could not be read back."""
    if not isinstance(record, Mapping):
        raise InvalidMessageError("", f"a record is a mapping, not {type(record).__name__}")
    value = dict(record)
    check_json(value, "")
    return msgspec.json.encode(value)


def decode_object(line: bytes, _offset: int) -> JSONObject:
    """Return the JSON object on `line`; raises `ValueError` with the reason if there is none."""
    return JSONObject(parse_object(line))
