"""Objects: a bucket of S3, GCS, Azure or what speaks like S3, without a server of one's own."""

from dataclasses import replace
from typing import Final

from session_store.errors import ConfigError

from .answers import Refused
from .bucket import Bucket
from .files import ObjectFileSystem
from .names import FOLDERS
from .opening import MARK
from .urls import parse_url

ERASE_TIMEOUT_MS: Final = 60_000


def open_files(url: str, *, io_timeout_ms: int) -> ObjectFileSystem:
    """Return the files below the prefix in the bucket that a URL names."""
    return ObjectFileSystem(parse_url(url), io_timeout_ms=io_timeout_ms)


def place_in(url: str, name: str) -> str:
    """Return the URL of a prefix of its own, beside the one at `url`."""
    place = parse_url(url)
    prefix = f"{place.prefix}-{name}" if place.prefix else name
    return replace(place, prefix=prefix).url


async def is_made(url: str) -> bool:
    """Return whether there is a store at `url`; none is made."""
    try:
        return await Bucket(parse_url(url), ERASE_TIMEOUT_MS).get(MARK) is not None
    except Refused as error:
        raise ConfigError("url", error.reason) from None


async def erase(url: str) -> None:
    """Remove all objects of the store at `url`, which nobody may have open; others stay."""
    bucket = Bucket(parse_url(url), ERASE_TIMEOUT_MS)
    for prefix in FOLDERS:
        async for some in bucket.list(prefix):
            await bucket.delete([one.name for one in some])
    await bucket.delete([MARK])


__all__ = ["ObjectFileSystem", "erase", "is_made", "open_files", "place_in"]
