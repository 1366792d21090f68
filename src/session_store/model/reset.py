"""When a dialogue starts afresh by itself, and what it takes along.

Decisions only. `AutoResetManager` is the original's and works on lists; `plan_reset` decides
for a store, which deletes nothing: it appends a marker, and `context.py` shows what follows.
"""

import time
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
import uuid_utils
from msgspec.structs import asdict, replace

from .config import AutoResetConfig, build
from .pairs import exchanges
from .records import Message


class ResetResult(msgspec.Struct, frozen=True):
    """Whether a reset was due, and the messages to go on with."""

    reset: bool
    messages: list[Message]


class ResetPlan(msgspec.Struct, frozen=True):
    """A reset that is due: why, and the ids of the messages that are taken along."""

    reason: str
    kept_ids: list[str]


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


def _uuid() -> str:
    return str(uuid_utils.uuid7())


class AutoResetManager:
    """Cuts a list of messages down when it has grown too long or too old.

    The clock and the ids are handed in where chance is not wanted.
    """

    def __init__(
        self,
        config: AutoResetConfig,
        *,
        now_ms: Callable[[], int] = _wall_clock_ms,
        new_id: Callable[[], str] = _uuid,
    ) -> None:
        self._config = config
        self._now_ms = now_ms
        self._new_id = new_id

    def check_and_reset(self, messages: Sequence[Message]) -> ResetResult:
        """Return `messages` as they are, or if a reset is due what is kept of them.

        With `insert_reset_marker` a message that says why comes last.
        """
        now_ms = self._now_ms()
        reason = why_reset(messages, self._config, now_ms)
        if reason is None:
            return ResetResult(False, list(messages))
        kept = _kept(messages, self._config)
        if self._config.insert_reset_marker:
            kept.append(_marker(reason, self._new_id(), now_ms))
        return ResetResult(True, kept)

    def get_config(self) -> AutoResetConfig:
        """Return what is set."""
        return self._config

    def update_config(self, **changes: Any) -> None:
        """Change some settings; an unknown or impossible one is a `ConfigError`."""
        self._config = build(AutoResetConfig, asdict(self._config) | changes)


def why_reset(messages: Sequence[Message], config: AutoResetConfig, now_ms: int) -> str | None:
    """Return which limits `messages` have reached, or None if no reset is due."""
    if not config.enabled or not messages:
        return None
    reasons: list[str] = []
    if config.max_messages and len(messages) >= config.max_messages:
        reasons.append(f"max messages ({config.max_messages})")
    if config.max_age_ms and now_ms - _began(messages[0], now_ms) >= config.max_age_ms:
        reasons.append(f"max age ({config.max_age_ms}ms)")
    counter = config.token_counter
    if config.max_tokens and counter and sum(map(counter, messages)) >= config.max_tokens:
        reasons.append(f"max tokens ({config.max_tokens})")
    return ", ".join(reasons) or None


def plan_reset(
    path: Sequence[Message],
    config: AutoResetConfig,
    now_ms: int,
    *,
    kept: Sequence[Message] = (),
) -> ResetPlan | None:
    """Return the reset that is due at the end of `path`, which runs from its root, or None.

    Only what came after the last marker counts towards the limits, so that what was taken
    along cannot make the next reset due at once. `kept` are the messages that this marker
    took along; they can be taken along again.
    """
    start = after_marker(path)
    fresh = path[start:]
    reason = why_reset(fresh, config, now_ms)
    if reason is None:
        return None
    return ResetPlan(reason, [message.id for message in _kept([*kept, *fresh], config)])


def reset_marker(plan: ResetPlan, id: str, timestamp: int) -> Message:
    """Return the message, a new root, behind which the dialogue starts afresh as planned."""
    facts = {"kept": plan.kept_ids, "reason": plan.reason}
    return replace(_marker(plan.reason, id, timestamp), metadata={"reset": facts})


def reset_facts(message: Message) -> dict[str, Any] | None:
    """Return what a store's reset marker says (`kept`, `reason`), None for other messages."""
    metadata: Any = message.metadata
    if message.type != "system" or not isinstance(metadata, dict):
        return None
    facts = metadata.get("reset")
    return facts if isinstance(facts, dict) else None


def kept_ids(marker: Message) -> list[str]:
    """Return the ids of the messages that `marker` takes along, in their order."""
    ids = (reset_facts(marker) or {}).get("kept")
    return [id for id in ids if isinstance(id, str)] if isinstance(ids, list) else []


def after_marker(path: Sequence[Message]) -> int:
    """Return the place behind the last reset marker in `path`, 0 if there is none."""
    for place in range(len(path) - 1, -1, -1):
        if reset_facts(path[place]) is not None:
            return place + 1
    return 0


def _marker(reason: str, id: str, timestamp: int) -> Message:
    return Message(
        id=id,
        parent_id=None,
        type="system",
        role="system",
        timestamp=timestamp,
        content=f"[AUTO-RESET: {reason}]",
    )


def _began(message: Message, now_ms: int) -> float:
    # A foreign line may say anything instead of a time; such a message has no age.
    timestamp: Any = message.timestamp
    return timestamp if isinstance(timestamp, int | float) else now_ms


def _kept(messages: Sequence[Message], config: AutoResetConfig) -> list[Message]:
    places = range(len(messages))
    count = config.keep_count
    chosen: set[int] = set()
    if config.keep_strategy == "first":
        chosen = set(places[: 1 if count is None else count])
    elif config.keep_strategy == "last":
        # Not [-count:], which keeps everything when nothing shall be kept.
        chosen = set(places[max(0, len(places) - (1 if count is None else count)) :])
    elif config.keep_strategy == "system":
        chosen = set([place for place in places if messages[place].type == "system"][:count])
    whole: list[int] = []
    for exchange in exchanges(messages):
        if not exchange.orphaned and chosen.issuperset(exchange.places):
            whole.extend(exchange.places)
    return [messages[place] for place in sorted(whole)]
