"""What can be set, and what has no meaning."""

from typing import Any

import pytest

from session_store.errors import ConfigError
from session_store.model import AutoResetConfig, Message, StoreConfig, make_config


def test_the_defaults_are_safe() -> None:
    config = make_config()

    assert config == StoreConfig()
    assert config.durability == "fsync"
    assert config.lock_timeout_ms == 30_000
    assert config.max_message_bytes == 16 * 1024 * 1024
    assert config.auto_reset is None


def test_settings_are_given_by_name() -> None:
    reset = AutoResetConfig(max_messages=100)

    config = make_config(durability="os", lock_timeout_ms=1000, cache_max_bytes=0, auto_reset=reset)

    assert (config.durability, config.lock_timeout_ms) == ("os", 1000)
    assert config.cache_max_bytes == 0
    assert config.auto_reset is reset


def test_an_unknown_name_is_refused_with_the_nearest_known_one() -> None:
    with pytest.raises(ConfigError, match="did you mean lock_timeout_ms") as caught:
        make_config(lock_timeout=1000)
    assert caught.value.field == "lock_timeout"

    with pytest.raises(ConfigError, match="durability, sync_interval_ms"):
        make_config(zzz=1)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("durability", "full"),
        ("durability", ["fsync"]),
        ("sync_interval_ms", 0),
        ("index_save_delay_ms", -1),
        ("lock_timeout_ms", 0),
        ("lock_timeout_ms", 1.5),
        ("lock_timeout_ms", True),
        ("lock_timeout_ms", 10**30),
        ("io_timeout_ms", "10"),
        ("io_timeout_ms", None),
        ("max_message_bytes", 0),
        ("cache_max_bytes", -1),
        ("poll_interval_ms", 0),
        ("auto_reset", {"max_messages": 1}),
    ],
)
def test_a_setting_without_meaning_is_refused_when_it_is_made(field: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        make_config(**{field: value})

    assert caught.value.field == field
    with pytest.raises(ConfigError):
        StoreConfig(**{field: value})


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("enabled", 1),
        ("insert_reset_marker", "yes"),
        ("max_messages", -1),
        ("max_messages", True),
        ("max_age_ms", 1.5),
        ("max_tokens", "10"),
        ("keep_count", -1),
        ("keep_strategy", "newest"),
        ("token_counter", 5),
    ],
)
def test_a_reset_without_meaning_is_refused_too(field: str, value: Any) -> None:
    with pytest.raises(ConfigError) as caught:
        AutoResetConfig(**{field: value})

    assert caught.value.field == field


def test_a_token_counter_is_any_function_of_a_message() -> None:
    config = AutoResetConfig(max_tokens=10, token_counter=lambda message: len(message.id))

    assert config.token_counter is not None
    assert config.token_counter(Message(id="abc", type="user")) == 3
