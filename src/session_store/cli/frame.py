"""What every command stands in: the store it opens and what it prints."""

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NamedTuple

from session_store.files.filesystem import FileSystem
from session_store.files.urls import open_files, room_of
from session_store.runtime import Driver
from session_store.store.blocking import driver_of
from session_store.sync import SessionStore

from .failures import not_found
from .lookup import each_session
from .meter import metered
from .output import json_document, json_line, json_text
from .screen import Screen


class RawFiles(NamedTuple):
    """The files of a store, to be read past it, and what drives their calls."""

    files: FileSystem
    driver: Driver


class Frame:
    """The global options, put to use."""

    def __init__(self, url: str, *, json: bool, color: bool) -> None:
        self.url = url
        self.json = json
        self.color = color
        self.screen = Screen(color=color, bars=not json)

    def at(self, url: str) -> "Frame":
        """Return the same options, put to use on another store."""
        return Frame(url, json=self.json, color=self.color)

    @contextmanager
    def opened(self) -> Iterator[RawFiles]:
        """Open the files of a store that may or may not be there."""
        files = open_files(self.url)
        driver = driver_of(files)
        try:
            yield RawFiles(files, driver)
        finally:
            try:
                driver.run(files.close())
            finally:
                driver.stop()

    @contextmanager
    def files(self) -> Iterator[RawFiles]:
        """Open the files of a store that is there; one that is not is an error."""
        with self.opened() as raw:
            if not self.is_store(raw):
                raise not_found(
                    "store_not_found",
                    f"there is no store at {without_secrets(self.url)!r}: name one with --store or "
                    "SESSION_STORE_URL, or make one with `session-store append KEY user TEXT`",
                )
            yield raw

    def is_store(self, raw: RawFiles) -> bool:
        """Return whether somebody made a store there, be it damaged; none is made."""
        room = room_of(self.url)
        asked = is_store(raw.files) if room is None else room.is_made(self.url)
        there: bool = raw.driver.run(asked)
        return there

    @contextmanager
    def reading(self) -> Iterator[SessionStore]:
        """Open a store that is there, to read it."""
        with self.files():
            pass
        with SessionStore.open(self.url) as store:
            yield store

    @contextmanager
    def reading_all(self, what: str) -> Iterator[SessionStore]:
        """Do as `reading` does, and show how much of all messages has been read."""
        with self.reading() as store:
            total = sum(known.log.size for known in each_session(store) if known.log)
        with (
            self.screen.progress(what, total) as bar,
            SessionStore(metered(open_files(self.url), bar.advance)) as store,
        ):
            yield store

    @contextmanager
    def writing(self) -> Iterator[SessionStore]:
        """Open a store, made if there is none."""
        with SessionStore.open(self.url) as store:
            yield store

    def document(self, value: Any) -> None:
        """Print one JSON document."""
        self.screen.line(json_document(value))

    def record(self, value: Any) -> None:
        """Print one of many JSON lines; bytes are JSON already."""
        self.screen.line(json_text(value) if isinstance(value, bytes) else json_line(value))


def without_secrets(url: str) -> str:
    """Return the URL of a store without what only those may know who open it."""
    if room_of(url) is None or url.startswith("sqlite:"):
        return url
    # Up to the last @: a password may hold what ought to be quoted. Queries take passwords too.
    return re.sub(r"://.*@", "://…@", url, flags=re.DOTALL).partition("?")[0]


async def is_store(files: FileSystem) -> bool:
    """Return whether the files are those of a store."""
    if any([await files.exists(f"sessions.json{end}") for end in ("", ".prev")]):
        return True
    for name in (await files.list("")).names:
        if name.startswith("sessions."):
            return True
        if name.endswith("/") and await files.exists(f"{name}messages.jsonl"):
            return True
    return False
