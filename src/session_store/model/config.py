"""What can be set, what it costs, and what has no meaning.

A wrong setting is refused when it is made, not when it first matters.
"""

from collections.abc import Callable
from typing import Any, Final, Literal, TypeVar, get_args

import msgspec

from session_store.errors import ConfigError

from .records import Message

Durability = Literal["fsync", "interval", "os"]
KeepStrategy = Literal["none", "first", "last", "system"]

_MOST: Final = 2**40
"""The largest number of a setting: 35 years, or one tebibyte."""

C = TypeVar("C", bound=msgspec.Struct)


class AutoResetConfig(msgspec.Struct, frozen=True, kw_only=True):
    """When a dialogue starts afresh by itself, and what it takes along.

    Whichever limit is reached first counts; None or 0 is no limit.
    """

    enabled: bool = True

    max_messages: int | None = None
    """Reset when there are so many messages."""

    max_age_ms: int | None = None
    """Reset when the first message is so old."""

    max_tokens: int | None = None
    """Reset when the messages have so many tokens; without a `token_counter` nobody knows."""

    token_counter: Callable[[Message], int] | None = None
    """Counts one message's tokens. Called for each message at each check, so be quick."""

    keep_strategy: KeepStrategy = "none"
    """Which messages are taken along: none, the first, the last or the system messages."""

    keep_count: int | None = None
    """How many are kept; left out, one of `first` and `last`, and all of `system`."""

    insert_reset_marker: bool = False
    """Whether `check_and_reset` puts a message in that says what happened."""

    def __post_init__(self) -> None:
        _check_bool("enabled", self.enabled)
        _check_bool("insert_reset_marker", self.insert_reset_marker)
        for name in ("max_messages", "max_age_ms", "max_tokens", "keep_count"):
            if getattr(self, name) is not None:
                _check_int(name, getattr(self, name), least=0)
        _check_choice("keep_strategy", self.keep_strategy, get_args(KeepStrategy))
        if self.token_counter is not None and not callable(self.token_counter):
            raise ConfigError("token_counter", "it must be a function of one message")


class StoreConfig(msgspec.Struct, frozen=True, kw_only=True):
    """How a store behaves; every field can be given to `SessionStore.open` by its name."""

    durability: Durability = "fsync"
    """What an append has survived when it returns.

    `fsync`: a power cut, at the price of one sync of the disk, which concurrent appends
    share. `interval`: the death of the process; a power cut takes up to `sync_interval_ms`.
    `os`: the death of the process; a power cut takes what the system had not written yet
    (up to half a minute).
    """

    sync_interval_ms: int = 1000
    """With `interval`: how much a power cut can take. Each file written costs one sync in
    that time."""

    index_save_delay_ms: int = 100
    """How long message counts and update times are collected before they are written.
    Shorter: more small writes; longer: `list_sessions` is further behind other processes."""

    lock_timeout_ms: int = 30_000
    """After how long without a renewal others take a lock over. Shorter: a crashed worker
    is replaced sooner; longer: fewer renewals, and a stalled worker keeps its lock."""

    io_timeout_ms: int = 10_000
    """How long a call goes on trying against a busy or failing storage before it raises."""

    max_message_bytes: int = 16 * 2**20
    """The longest line that is written, and so the memory that one message can take."""

    cache_max_bytes: int = 256 * 2**20
    """Memory for what has been read; 0 reads again each time."""

    poll_interval_ms: int = 20
    """How often subscribers and those who wait for a lock look, where nothing can wake
    them. Each look costs one `stat`."""

    auto_reset: AutoResetConfig | None = None
    """When a dialogue starts afresh by itself; checked at every append."""

    def __post_init__(self) -> None:
        _check_choice("durability", self.durability, get_args(Durability))
        for name, least in _LEAST.items():
            _check_int(name, getattr(self, name), least=least)
        if self.auto_reset is not None and not isinstance(self.auto_reset, AutoResetConfig):
            raise ConfigError("auto_reset", "an AutoResetConfig is needed, or None")


_LEAST: Final = {
    "sync_interval_ms": 1,
    "index_save_delay_ms": 0,
    "lock_timeout_ms": 1,
    "io_timeout_ms": 1,
    "max_message_bytes": 1,
    "cache_max_bytes": 0,
    "poll_interval_ms": 1,
}


def make_config(**fields: Any) -> StoreConfig:
    """Return the config with these fields, or raise `ConfigError` about one of them."""
    return build(StoreConfig, fields)


def build(kind: type[C], fields: dict[str, Any]) -> C:
    """Return `kind(**fields)`; a name it does not have is a `ConfigError`."""
    for name in fields:
        if name not in kind.__struct_fields__:
            from difflib import get_close_matches  # 2 ms that only a mistake has to wait for

            near = get_close_matches(name, kind.__struct_fields__, n=1)
            known = near or list(kind.__struct_fields__)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
            raise ConfigError(name, f"there is no such setting; {hint}")
    return kind(**fields)


def check_budget(field: str, value: object) -> None:
    """Raise `ConfigError` unless `value` is None or at least 1."""
    if value is not None:
        _check_int(field, value, least=1)


def _check_int(field: str, value: object, *, least: int) -> None:
    if type(value) is not int:
        raise ConfigError(field, f"an int is needed, not {value!r}")
    if not least <= value <= _MOST:
        raise ConfigError(field, f"{value} is not within {least} and {_MOST}")


def _check_bool(field: str, value: object) -> None:
    if type(value) is not bool:
        raise ConfigError(field, f"True or False is needed, not {value!r}")


def _check_choice(field: str, value: object, choices: tuple[str, ...]) -> None:
    if type(value) is not str or value not in choices:
        raise ConfigError(field, f"{value!r} is none of {', '.join(choices)}")
