"""What every command stands in: the store it opens and what it prints."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from session_store.files.filesystem import FileSystem
from session_store.files.urls import open_files
from session_store.runtime import run
from session_store.sync import SessionStore

from .failures import not_found
from .lookup import each_session
from .meter import metered
from .output import json_document, json_line, json_text
from .screen import Screen


class Frame:
    """The global options, put to use."""

    def __init__(self, url: str, *, json: bool, color: bool) -> None:
        self.url = url
        self.json = json
        self.screen = Screen(color=color, bars=not json)

    @contextmanager
    def opened(self) -> Iterator[FileSystem]:
        """Open the files of a store that may or may not be there."""
        files = open_files(self.url)
        try:
            yield files
        finally:
            run(files.close())

    @contextmanager
    def files(self) -> Iterator[FileSystem]:
        """Open the files of a store that is there; one that is not is an error."""
        with self.opened() as files:
            if not is_store(files):
                raise not_found(
                    "store_not_found",
                    f"there is no store at {self.url!r}: name one with --store or "
                    "SESSION_STORE_URL, or make one with `session-store append KEY user TEXT`",
                )
            yield files

    @contextmanager
    def reading(self) -> Iterator[SessionStore]:
        """Open a store that is there, to read it."""
        with self.files() as files, SessionStore(files) as store:
            yield store

    @contextmanager
    def reading_all(self, what: str) -> Iterator[SessionStore]:
        """Do as `reading` does, and show how much of all messages has been read."""
        with self.reading() as store:
            total = sum(known.log.size for known in each_session(store) if known.log)
        with (
            self.screen.progress(what, total) as bar,
            self.files() as files,
            SessionStore(metered(files, bar.advance)) as store,
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


def is_store(files: FileSystem) -> bool:
    """Return whether somebody made a store there, be it damaged."""
    if any(run(files.exists(f"sessions.json{end}")) for end in ("", ".prev")):
        return True
    return any(
        run(files.exists(f"{name}messages.jsonl"))
        if name.endswith("/")
        else name.startswith("sessions.")
        for name in run(files.list("")).names
    )
