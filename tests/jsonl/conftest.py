from collections.abc import Callable
from typing import Any

import msgspec
import pytest

from session_store.files import InMemoryFileSystem
from session_store.jsonl import JSONLFile
from session_store.jsonl.lines import parse_object
from session_store.model import decode_message, encode_message
from session_store.model.records import Message


def read(line: bytes, _offset: int) -> Message:
    return decode_message(line, parse_object)


def seal(offset: int, length: int) -> bytes:
    control = {"kind": "seal", "offset": offset, "length": length}
    return encode_message(
        Message(id=f"seal-{offset}", parent_id=None, type="custom", timestamp=1, control=control)
    )


@pytest.fixture
def files() -> InMemoryFileSystem:
    return InMemoryFileSystem()


@pytest.fixture
def log(files: InMemoryFileSystem) -> JSONLFile[Message]:
    return JSONLFile(files, "s/messages.jsonl", encode=encode_message, decode=read, seal=seal)


@pytest.fixture
def message() -> Callable[..., Message]:
    def make(name: str, **fields: Any) -> Message:
        given = {"id": name, "parent_id": None, "type": "user", "timestamp": 1, **fields}
        return msgspec.structs.replace(Message(type="user"), **given)

    return make
