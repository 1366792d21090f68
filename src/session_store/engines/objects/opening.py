"""The first look at a bucket: whether it keeps conditions, and whose format it holds.

Everything here stands on `If-Match` and `If-None-Match`. A service that ignores them says yes to
two writers at once, and one of them loses what it wrote; so it is refused before anything is kept.
"""

import asyncio
import os
from contextlib import suppress
from hashlib import sha256
from typing import Any, Final

import msgspec

from session_store.errors import ConfigError, UnavailableError

from .answers import Refused
from .bucket import Bucket, Changed
from .heads import FORMAT

MARK: Final = "store.json"
PROBE: Final = "probe"


class Mark(msgspec.Struct, frozen=True):
    """What lies in the bucket so that it is known by: the format, and where it was probed."""

    format: int
    probed: str


class Door:
    """Lets through who has found the bucket in order, once."""

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self._open = False
        self._opening = asyncio.Lock()

    async def enter(self) -> None:
        """Return at once, but the first time: then after one look, or six on a new store.

        Raises `ConfigError` for what only another URL or other credentials can mend.
        """
        if self._open:
            return
        async with self._opening:
            if self._open:
                return
            try:
                await self._look()
            except Refused as error:
                raise ConfigError("url", error.reason) from None
            self._open = True

    async def _look(self) -> None:
        place = self._bucket.place
        # A copy of the objects elsewhere is probed anew: that service may be another.
        where = f"{place.scheme}:{place.endpoint or ''}:{place.bucket}"
        probed = sha256(where.encode()).hexdigest()[:16]
        while True:
            found = await self._bucket.get(MARK)
            if found is not None and _decode(found.data).probed == probed:
                return
            await probe(self._bucket)
            mark = msgspec.json.encode(Mark(FORMAT, probed)) + b"\n"
            try:
                await self._bucket.put(MARK, mark, None if found is None else found.version)
            except Changed:
                continue  # another did the same
            return


def _decode(data: bytes) -> Mark:
    try:
        mark = msgspec.json.decode(data, type=Mark)
    except ValueError:
        raise ConfigError("url", f"{MARK} in this prefix is not of this library") from None
    if mark.format > FORMAT:
        reason = f"the store has format {mark.format}, this release knows {FORMAT}: upgrade it"
        raise ConfigError("url", reason)
    return mark


async def probe(bucket: Bucket) -> None:
    """Raise `ConfigError` if conditions are ignored; leaves nothing behind."""
    name = f"{PROBE}/{os.urandom(8).hex()}"
    try:
        first = await _must_take(bucket.put(name, b"1", None), "If-None-Match", "501")
        await _must_refuse(bucket.put(name, b"2", None), "If-None-Match")
        if "e_tag" not in first:
            raise ConfigError("url", "the service tells no ETag of what it has put")
        second = await _must_take(bucket.put(name, b"3", first), "If-Match", "501", "400")
        await _must_refuse(bucket.put(name, b"4", first), "If-Match")
        if second == first:
            raise ConfigError("url", "the service gives two contents the same ETag")
    finally:
        with suppress(UnavailableError):
            await bucket.delete([name])


async def _must_refuse(call: Any, condition: str) -> None:
    try:
        await call
    except Changed:
        return
    raise ConfigError("url", _ignored(condition))


async def _must_take(call: Any, condition: str, *statuses: str) -> Any:
    try:
        return await call
    except (Changed, UnavailableError) as error:
        if isinstance(error, UnavailableError) and not error.reason.startswith(statuses):
            raise
        raise ConfigError("url", _ignored(condition)) from None


def _ignored(condition: str) -> str:
    return (
        f"the service does not keep {condition}: two writers would overwrite each other; "
        "use one with conditional writes (S3, GCS, Azure, MinIO, SeaweedFS from 4.45)"
    )
