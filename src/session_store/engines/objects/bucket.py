"""The objects of a store in a bucket: four calls to a service, under conditions, in bounded time.

The one file that knows the client library. It says of every error what happened: refused by the
condition, not there, surely not done, or nobody knows.
"""

import asyncio
import atexit
import os
import re
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypeVar, cast

from session_store.errors import (
    ConfigError,
    MissingExtraError,
    UnavailableError,
)
from session_store.runtime import Chance

from .answers import Right, failure, is_beyond, is_no_bucket, no_bucket
from .names import path_of
from .patience import Patience
from .urls import Place

try:
    import obstore
    from obstore.exceptions import (
        AlreadyExistsError,
        BaseError,
        NotModifiedError,
        PreconditionError,
    )
    from obstore.store import AzureStore, GCSStore, S3Store
except ImportError as error:
    raise MissingExtraError("s3") from error

if TYPE_CHECKING:
    from obstore import PutMode, UpdateVersion
    from obstore.store import ClientConfig, ObjectStore, RetryConfig

RETRIES: Final = 3
"""What may be done twice is tried so often again; what stands under a condition never is."""
LISTED: Final = 1000
AT_ONCE: Final = 24
"""So many calls of one kind are under way together."""

# The client's threads touch Python a moment longer than the call that they serve. If the
# interpreter ends in that moment, they abort the process: one in six that ended right after a call.
atexit.register(time.sleep, 0.02)

A = TypeVar("A")
T = TypeVar("T")

Version = dict[str, str]
"""What names one state of an object; each service has its own."""


class Changed(Exception):
    """The object is not as the condition says, and nothing was written."""


class Found(NamedTuple):
    """An object, or a range of it; `size` is that of the whole."""

    data: bytes
    size: int
    version: Version


class Listed(NamedTuple):
    """What a listing tells of an object; `tag` changes with its content."""

    name: str
    size: int
    tag: str | None


class Bucket:
    """The objects below a prefix."""

    def __init__(self, place: Place, io_timeout_ms: int) -> None:
        self.place = place
        self.seconds = io_timeout_ms / 1000
        # Twice the same place: a client that repeats a change by itself may undo what came between.
        self._writing = _open(place, self.seconds, 0)
        self._reading = _open(place, self.seconds, RETRIES)

    async def get(
        self, name: str, start: int = 0, end: int | None = None, *, unless: Version | None = None
    ) -> Found | None:
        """Return the bytes from `start` up to `end`, or None if there is no such object.

        Where `start` is not within the object there are none, and neither its size nor its version
        is known. With `unless` it raises `Changed` if the object is still of that version.
        """
        options: dict[str, Any] = {}
        if end is not None:
            options["range"] = (start, end)
        elif start:
            options["range"] = {"offset": start}
        if unless is not None:
            options["if_none_match"] = unless["e_tag"]
        try:
            found: Found = await self._call(name, self._get(name, options), "read")
            return found
        except FileNotFoundError:
            return None
        except NotModifiedError:
            raise Changed from None

    async def _get(self, name: str, options: Any) -> Found:
        try:
            result = await obstore.get_async(self._reading, name, options=options)
        except BaseError as error:
            if is_beyond(str(error)):
                return Found(b"", 0, {})
            raise
        data = bytes(await result.bytes_async())
        return Found(data, result.meta["size"], _version(result.meta))

    async def put(self, name: str, data: bytes, there: Version | None) -> Version:
        """Put an object in the place of the version that is there, None for no object.

        Raises `Changed` if there is another. `UnavailableError` says whether it may have been put.
        """
        return await self._put(
            name, data, "create" if there is None else cast("UpdateVersion", there)
        )

    async def overwrite(self, name: str, data: bytes) -> None:
        """Put an object, whatever is there; it may be put twice."""
        await self._insist(lambda: self._put(name, data, "overwrite"))

    async def _put(self, name: str, data: bytes, mode: "PutMode") -> Version:
        # In one piece: where a large object is put together from several, the condition of the
        # last step is not everywhere one with it.
        call = obstore.put_async(self._writing, name, data, mode=mode, use_multipart=False)
        try:
            return _version(await self._call(name, call, "write"))
        except (AlreadyExistsError, PreconditionError):
            # 412, and 409 for one who came at the same time: whoever gets it looks again.
            raise Changed from None
        except FileNotFoundError:
            if isinstance(mode, str):
                raise no_bucket(self.place, path_of(name)) from None
            raise Changed from None

    async def delete(self, names: Sequence[str]) -> None:
        """Remove objects; those that are not there are removed already."""
        for first in range(0, len(names), LISTED):
            some = list(names[first : first + LISTED])
            try:
                await self._insist(partial(self._delete, some))
            except FileNotFoundError:
                # Elsewhere than on S3, one that is not there keeps the others from being removed.
                if len(some) > 1:
                    await for_each(self._delete_one, some)

    async def _delete_one(self, name: str) -> None:
        await self.delete([name])

    async def _delete(self, names: Sequence[str]) -> None:
        await self._call(names[0], obstore.delete_async(self._reading, names), "delete")

    async def _insist(self, call: Callable[[], Awaitable[T]]) -> T:
        """Return what the call returns, which is made a few times where its answer is lost."""
        patience = Patience(Chance(), self.seconds)
        for _ in range(RETRIES):
            try:
                return await call()
            except UnavailableError as error:
                if not error.unknown or patience.is_over:
                    raise
            await patience.pause()
        return await call()

    async def list(self, prefix: str, after: str = "") -> AsyncGenerator[list[Listed], None]:
        """Yield the objects below `prefix/` by their names, from behind `after`, as they come."""
        stream = obstore.list(
            self._reading, prefix or None, offset=after or None, chunk_size=LISTED
        )
        while True:
            try:
                some = await self._call(prefix, _next(stream), "list")
            except FileNotFoundError:
                return
            if some is None:
                return
            # Some begin at the first whatever they are asked for, as Azure does by its older rules.
            yield [
                Listed(one["path"], one["size"], bare_tag(one))
                for one in some
                if one["path"] > after
            ]

    async def _call(self, name: str, call: Any, right: Right) -> Any:
        """Return what the call returns; raise what callers tell apart, or `UnavailableError`."""
        path = path_of(name)
        if _born_in.setdefault("pid", os.getpid()) != os.getpid():
            if isinstance(call, Coroutine):
                call.close()
            reason = "the client does not survive a fork: start processes by spawn or forkserver"
            raise UnavailableError(path, reason)
        try:
            async with asyncio.timeout(self.seconds):
                return await call
        except TimeoutError as error:
            reason = f"no answer within {self.seconds:g} s"
            raise UnavailableError(path, reason, unknown=right in {"write", "delete"}) from error
        except FileNotFoundError as error:
            if is_no_bucket(str(error)):
                raise no_bucket(self.place, path) from None
            raise
        except (AlreadyExistsError, NotModifiedError, PreconditionError):
            raise
        except BaseError as error:
            raise failure(self.place, path, str(error), right) from None


_born_in: Final[dict[str, int]] = {}
"""The process that made the first call: the client's threads are there, and in no child."""


def _open(place: Place, seconds: float, retries: int) -> "ObjectStore":
    timeout = timedelta(seconds=seconds)
    # Its own timeout is a little longer, so that ours says what happened.
    client: ClientConfig = {
        "timeout": timeout * 1.5,
        "connect_timeout": timeout,
        "allow_http": (place.endpoint or "").startswith("http:"),
    }
    retry: RetryConfig = {"max_retries": retries, "retry_timeout": timeout}
    prefix = place.prefix or None
    said: dict[str, Any] = {"prefix": prefix, "client_options": client, "retry_config": retry}
    if place.region is not None:
        said["region"] = place.region
    if place.endpoint is not None:
        said["base_url" if place.scheme == "gs" else "endpoint"] = place.endpoint
    kinds: dict[str, Any] = {"s3": S3Store, "gs": GCSStore, "az": AzureStore}
    try:
        store: ObjectStore = kinds[place.scheme](place.bucket, **said)
    except BaseError as error:
        # Only what kind of error: its text may quote a key.
        found = re.search(r"source: (\w+)", str(error))
        kind = found[1] if found else "unknown"
        reason = f"the credentials in the environment are no use ({kind}): set {place.variables}"
        raise ConfigError("url", reason) from None
    return store


async def _next(stream: Any) -> Any:
    async for some in stream:
        return some
    return None


def _version(said: Any) -> Version:
    """Return what an answer says of the version; nothing where it says nothing."""
    return {name: said[name] for name in ("e_tag", "version") if said.get(name)}


def bare_tag(said: Any) -> str | None:
    """Return the ETag that an answer or a listing tells; some quote it in one and not the other."""
    tag: str | None = said.get("e_tag")
    return tag and tag.strip('"')


async def for_each(call: Callable[[A], Awaitable[T]], items: Iterable[A]) -> list[T]:
    """Return what `call` returns of each, some at a time; the first that fails ends the others."""
    turns = asyncio.Semaphore(AT_ONCE)

    async def in_turn(item: A) -> T:
        async with turns:
            return await call(item)

    given = list(items)
    if len(given) < 2:
        return [await call(item) for item in given]
    try:
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(in_turn(item)) for item in given]
    except BaseExceptionGroup as failures:
        raise failures.exceptions[0] from None
    return [task.result() for task in tasks]


async def both(one: Callable[[], Awaitable[A]], other: Callable[[], Awaitable[T]]) -> tuple[A, T]:
    """Return what both calls return, made at once; if one fails the other is ended."""
    calls: tuple[Callable[[], Awaitable[Any]], ...] = (one, other)
    return cast("tuple[A, T]", tuple(await for_each(lambda call: call(), calls)))
