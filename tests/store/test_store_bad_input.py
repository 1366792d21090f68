"""Bad input gets its typed error before anything is written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from session_store import (
    ClosedError,
    ConfigError,
    FileSystemError,
    InvalidIdError,
    InvalidKeyError,
    InvalidMessageError,
    NotLockOwnerError,
    SessionNotFoundError,
    SessionStoreError,
    StoreConfig,
)
from session_store.runtime import run
from session_store.sync import Session, SessionStore

OpenStore = Callable[..., SessionStore]


def deep(levels: int) -> Any:
    value: Any = 1
    for _ in range(levels):
        value = [value]
    return value


BAD: dict[str, dict[str, Any]] = {
    "no type and no role": {"content": "a"},
    "content of a wrong type": {"role": "user", "content": 5},
    "a content block of a wrong type": {"role": "user", "content": ["a"]},
    "metadata of a wrong type": {"role": "user", "metadata": []},
    "a role of a wrong type": {"role": 5},
    "an unknown field": {"role": "user", "text": "a"},
    "tool calls of a wrong type": {"type": "tool_call", "tool_calls": "x"},
    "a tool call without a name": {"type": "tool_call", "tool_calls": [{"id": "a"}]},
    "NaN": {"role": "user", "metadata": {"a": float("nan")}},
    "Infinity": {"role": "user", "metadata": {"a": [float("inf")]}},
    "a lone surrogate": {"role": "user", "content": "\ud800"},
    "a lone surrogate in a key": {"role": "user", "metadata": {"\ud800": 1}},
    "2^63": {"role": "user", "metadata": {"a": 2**63}},
    "a non-string key": {"role": "user", "metadata": {1: "a"}},
    "bytes": {"role": "user", "metadata": {"a": b"x"}},
    "a set": {"role": "user", "metadata": {"a": {1}}},
    "a tuple": {"role": "user", "metadata": {"a": (1,)}},
    "65 levels": {"role": "user", "metadata": {"a": deep(65)}},
    "17 MiB": {"role": "user", "content": "x" * (17 << 20)},
    "an id of a wrong type": {"id": 5, "role": "user"},
    "a timestamp of a wrong type": {"role": "user", "timestamp": "now"},
    "a control record": {"type": "custom", "control": {"kind": "fence"}},
}


@pytest.mark.parametrize("message", BAD.values(), ids=BAD.keys())
def test_a_bad_message_is_refused_and_nothing_is_written(
    chat: Session, message: dict[str, Any]
) -> None:
    with pytest.raises(InvalidMessageError):
        chat.append(message)
    with pytest.raises(InvalidMessageError):
        chat.append_many([{"role": "user", "content": "fine"}, message])

    assert chat.messages() == []
    assert not run(chat.store._engine._files.exists(f"{chat.id}/messages.jsonl"))


def test_the_error_names_the_path_of_the_offending_value(chat: Session) -> None:
    with pytest.raises(InvalidMessageError) as raised:
        chat.append("user", [{"type": "image", "source": {"data": b"x"}}])

    assert raised.value.path == "content[0].source.data"


def test_the_largest_values_that_fit_are_kept(chat: Session) -> None:
    metadata = {"n": [2**63 - 1, -(2**63) + 1], "deep": deep(60), "text": "\0  "}

    stored = chat.append("user", "x" * (15 << 20), metadata=metadata)

    assert chat.messages() == [stored]


BAD_IDS = ["", ".", "..", "a/b", "../x", "a\0b", "x" * 300, "\ud800", 5, None]


@pytest.mark.parametrize("session_id", BAD_IDS)
def test_a_bad_session_id_is_refused_or_unknown_and_touches_nothing(
    store: SessionStore, session_id: Any, tmp_path: Path
) -> None:
    before = sorted(tmp_path.rglob("*"))

    for call in (store.get_messages, store.delete_session, store.reset_session, store.get_head):
        with pytest.raises((InvalidIdError, SessionNotFoundError)):
            call(session_id)
    with pytest.raises((InvalidIdError, SessionNotFoundError)):
        store.append(session_id, {"role": "user", "content": "a"})

    assert sorted(tmp_path.rglob("*")) == before


@pytest.mark.parametrize("key", ["", "x" * 1025, "\ud800", 5, None, b"k"])
def test_a_bad_key_is_refused(store: SessionStore, key: Any) -> None:
    session_id = store.resolve("fine")

    for call in (store.resolve, store.get_session_id, store.has_key, store.remove_key):
        with pytest.raises(InvalidKeyError):
            call(key)
    with pytest.raises(InvalidKeyError):
        store.add_key(key, session_id)
    assert store.get_all_keys() == ["fine"]


@pytest.mark.parametrize("key", ["..", "a/b/../c", "C:\\x", "\0", "🤷", "  ", "x" * 1024, "\u202e"])
def test_an_odd_key_is_only_text(store: SessionStore, key: str) -> None:
    session_id = store.resolve(key)

    assert store.resolve(key) == session_id
    assert "/" not in session_id
    assert store.get_session_keys(session_id) == [key]


@pytest.mark.parametrize(
    "changes",
    [{"user": "x"}, {"user_id": 5}, {"metadata": {"a": float("nan")}}, {"session_id": "x"}],
)
def test_bad_metadata_is_refused(chat: Session, changes: dict[str, Any]) -> None:
    before = chat.metadata()

    with pytest.raises(InvalidMessageError):
        chat.store.update_metadata(chat.id, changes)

    assert chat.metadata() == before


@pytest.mark.parametrize(
    "config",
    [
        {"durabilty": "os"},
        {"durability": "never"},
        {"lock_timeout_ms": 0},
        {"max_message_bytes": "1"},
        {"cache_max_bytes": -1},
    ],
)
def test_a_bad_setting_is_refused_by_name(config: dict[str, Any]) -> None:
    with pytest.raises(ConfigError) as raised:
        SessionStore.open("memory:", **config)

    assert raised.value.field == next(iter(config))


@pytest.mark.parametrize(
    "url", ["", 5, None, "mysql://u:secret@h/db", "file:", "file:a%00b", "file://host/x"]
)
def test_a_url_without_an_engine_is_refused_and_not_repeated(url: Any) -> None:
    with pytest.raises(ConfigError) as raised:
        SessionStore.open(url)

    assert "secret" not in str(raised.value)


def test_a_closed_store_refuses_every_call(open_store: OpenStore) -> None:
    store = open_store()
    chat = store.session("k")
    chat.append("user", "a")
    store.close()

    for call in (chat.messages, chat.head, chat.metadata, store.get_all_keys, store.check):
        with pytest.raises(ClosedError):
            call()
    with pytest.raises(ClosedError):
        chat.append("user", "b")
    with pytest.raises(ClosedError):
        store.init()
    store.close()


def test_releasing_anothers_lock_is_refused(chat: Session, open_store: OpenStore) -> None:
    chat.store.acquire_lock(chat.id, "me")

    with pytest.raises(NotLockOwnerError):
        chat.store.release_lock(chat.id, "you")
    with pytest.raises(NotLockOwnerError):
        open_store().release_lock(chat.id, "me")
    assert chat.store.is_locked(chat.id)


def test_a_root_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("a file")

    with pytest.raises(FileSystemError):
        SessionStore.open(tmp_path / "root").resolve("k")

    assert (tmp_path / "root").read_text() == "a file"


@pytest.mark.parametrize("limit", [0, -1, "5"])
def test_a_bad_page_is_refused(store: SessionStore, limit: Any) -> None:
    with pytest.raises(ConfigError):
        store.list_sessions(limit=limit)
    with pytest.raises(ConfigError):
        store.list_sessions(sort="name")
    with pytest.raises(ConfigError):
        store.list_sessions(where={"nothing": 1})
    with pytest.raises(ConfigError):
        store.list_sessions(after="garbage")


def test_every_error_is_one_of_ours_and_a_builtin() -> None:
    import session_store.errors as errors

    kinds = [
        kind
        for kind in vars(errors).values()
        if isinstance(kind, type) and issubclass(kind, SessionStoreError)
    ]

    assert errors.__doc__
    for kind in kinds:
        assert kind.__name__ in errors.__doc__
        assert kind.__name__.endswith("Error")
        if kind is not SessionStoreError:
            assert any(base.__module__ == "builtins" for base in kind.__mro__[:-3])
    assert len({kind.code for kind in kinds}) == len(kinds)


def test_the_default_settings_are_the_documented_ones() -> None:
    config = StoreConfig()

    assert config.durability == "fsync"
    assert config.lock_timeout_ms == 30_000
    assert config.index_save_delay_ms == 100
    assert config.max_message_bytes == 16 << 20
