"""What the schedules written by hand have in common."""

from collections.abc import Callable
from typing import Any, TypeAlias

from session_store.model.config import StoreConfig
from session_store.store.engine import Engine
from session_store.testing.simulation import Fresh, World

KEY = "telegram:1"

Start: TypeAlias = Callable[..., Engine]


def user(text: str, **fields: Any) -> dict[str, Any]:
    """Return a message of the user."""
    return {"type": "user", "content": text, **fields}


def starter(world: World) -> Start:
    """Return what starts another process on the world's disk."""

    def start_one(**config: Any) -> Engine:
        process = Fresh(world)
        return Engine(process, StoreConfig(durability="os", **config), process)

    return start_one
