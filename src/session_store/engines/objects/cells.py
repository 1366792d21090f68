"""Small objects that are changed as a whole: read, decided about, and put under a condition.

A lost answer is settled here, by looking: each content is like no other, for it holds a nonce.
"""

from collections.abc import Callable
from typing import Final, TypeAlias, TypeVar

import msgspec

from session_store.errors import CorruptionError, UnavailableError
from session_store.runtime import Chance

from .bucket import Bucket, Changed, Found
from .heads import GONE_BYTES
from .patience import Patience

T = TypeVar("T")
S = TypeVar("S", bound=msgspec.Struct)

Decide: TypeAlias = Callable[["Found | None"], tuple[T, bytes | None]]
"""The answer to what is there, and what is to be there; None to leave it."""


class SessionCell(msgspec.Struct, frozen=True, omit_defaults=True):
    """A session: what is known of it, and the keys that may name it."""

    nonce: str
    session: msgspec.Raw
    keys: tuple[str, ...] = ()


class KeyCell(msgspec.Struct, frozen=True):
    """A key, and the session that it names."""

    nonce: str
    key: str
    id: str


class CreatedCell(msgspec.Struct, frozen=True):
    """When a session was made, in milliseconds."""

    nonce: str
    created: float


encode_cell: Final = msgspec.json.Encoder().encode


def decode_cell(kind: type[S], name: str, found: Found | None) -> S | None:
    """Return what lies there; None for nothing, and for what is left of something."""
    if found is None or found.size <= GONE_BYTES:
        return None
    try:
        return msgspec.json.decode(found.data, type=kind)
    except (ValueError, RecursionError) as error:
        raise CorruptionError(name, 0, f"the object is damaged: {error}") from error


class Cells:
    """Changes such objects."""

    def __init__(self, bucket: Bucket, chance: Chance) -> None:
        self._bucket = bucket
        self._chance = chance

    async def change(
        self, name: str, decide: Decide[T], *, seen: Found | None = None, new: bool = False
    ) -> T:
        """Return what `decide` answers to what is there, when that has been done.

        It begins with what was `seen`, or with nothing for what is likely `new`.
        """
        patience = Patience(self._chance, self._bucket.seconds)
        found = seen if seen is not None or new else await self._bucket.get(name)
        sent: dict[bytes, T] = {}
        unknown = False
        while True:
            if found is not None and found.data in sent:
                return sent[found.data]
            answer, data = decide(found)
            if data is None:
                return answer
            try:
                await self._bucket.put(name, data, found.version if found else None)
                return answer
            except Changed:
                # Perhaps by ourselves, where something on the way has sent it twice.
                sent[data] = answer
            except UnavailableError as error:
                if not error.unknown or patience.is_over:
                    raise
                sent[data], unknown = answer, True
            if patience.is_over:
                raise UnavailableError(name, "others change it without a pause", unknown=unknown)
            await patience.pause()
            found = await self._bucket.get(name)
