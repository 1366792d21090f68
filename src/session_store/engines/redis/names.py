"""The names of keys: all that belongs to one folder of the root is in one slot of a cluster."""

import re
from typing import Final

from session_store.errors import ConfigError

_PREFIX: Final = re.compile(r"[A-Za-z0-9_.:-]{1,64}")


def check_prefix(prefix: str) -> str:
    """Return the prefix, or raise `ConfigError`."""
    if not _PREFIX.fullmatch(prefix):
        raise ConfigError("url", "a prefix has 1 to 64 of the characters a-z A-Z 0-9 _ . : -")
    return prefix


class Names:
    """The keys of one store, which all begin with its prefix."""

    def __init__(self, prefix: str) -> None:
        self.prefix = prefix
        self.version = f"{prefix}:version"
        self.root = f"{prefix}:root"
        self.created = f"{prefix}:created"
        self.updated = f"{prefix}:updated"
        self.keys = f"{prefix}:keys"
        self.channel = f"{prefix}:changed"

    def top(self, path: str) -> str:
        """Return what the keys of everything below the first component of `path` begin with."""
        name = path.partition("/")[0]
        # A `}` would end the part that decides about the slot.
        safe = name.replace("%", "%25").replace("}", "%7D")
        return f"{{{self.prefix}:{safe}}}"

    def pair(self, path: str) -> tuple[str, str]:
        """Return the keys by which the scripts find all below the first component of `path`."""
        top = self.top(path)
        return f"{top}:files", f"{top}:gone"

    def key(self, key: str) -> str:
        """Return where it stands which session `key` names."""
        return f"{self.prefix}:key:{key}"

    def user(self, user_id: str) -> str:
        """Return where the sessions of a user stand, by the time of their last change."""
        return f"{self.prefix}:user:{user_id}"
