"""Folders, which are only what names begin with: listed, removed, and ended with their session."""

from collections.abc import AsyncGenerator
from typing import Final

from session_store.files.filesystem import Page

from .bucket import Bucket, Listed, for_each
from .changing import GUARDS, Changing, going
from .heads import GONE_BYTES
from .names import first_step, folder_name, parts_name, path_of, unspell

BEHIND: Final = "/~"
"""Sorts behind every name in a folder."""


class Folders:
    """The folders of one bucket."""

    def __init__(self, bucket: Bucket, files: Changing) -> None:
        self._bucket = bucket
        self._files = files

    async def page(self, folder: str, after: str, limit: int) -> Page:
        """Return the names in a folder, by those of their objects; one request a 1,000 files."""
        prefix = folder_name(folder)
        names: list[str] = []
        cursor = last = ""
        async for file in self._files_in(prefix, f"{prefix}/{after}" if after else ""):
            first, below = first_step(file.name[len(prefix) + 1 :])
            place = first + BEHIND if below else first
            if place == last:
                continue
            if len(names) == limit:
                return Page(names, after=cursor)
            names.append(unspell(first) + "/" if below else unspell(first[:-1]))
            cursor = last = place
        return Page(names)

    async def _files_in(self, prefix: str, after: str = "") -> AsyncGenerator[Listed, None]:
        async for some in self._bucket.list(prefix, after):
            for one in some:
                if one.size > GONE_BYTES:
                    yield one

    async def delete(self, folder: str) -> None:
        """Remove every file in a folder, and what is left of those that were there."""
        # First: a part that is listed after its file is gone may be one of a new file.
        parts = await self._parts(folder)
        names = [file.name async for file in self._files_in(folder_name(folder))]
        await for_each(self._remove, names)
        await self._bucket.delete(parts)

    async def _remove(self, name: str) -> None:
        await self._files.change(path_of(name), going)

    async def end(self, session_id: str) -> bool:
        """End the folder of a session for good, and return whether it was this call.

        Its log goes first, in one step; from then on nothing new stays in the folder.
        """
        ended = await self._files.end(session_id)
        there = [file.name async for file in self._files_in(folder_name(session_id))]
        rest = {f"{session_id}/{name}" for name in GUARDS[1:]} | set(map(path_of, there))
        await self._files.bury(sorted(rest))
        await self._bucket.delete(await self._parts(session_id))
        return ended

    async def _parts(self, folder: str) -> list[str]:
        prefix = parts_name(folder)
        return [one.name async for some in self._bucket.list(prefix) for one in some]
