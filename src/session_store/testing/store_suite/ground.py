"""Where one test keeps its store: a fresh root on the engine, and the stores opened on it."""

import asyncio
from collections.abc import Coroutine
from secrets import token_hex
from typing import Any, Final, Literal, TypeAlias

from session_store.files.filesystem import FileSystem
from session_store.model.config import StoreConfig
from session_store.model.records import Finding
from session_store.store.aio import SessionStore as AsyncStore
from session_store.sync import SessionStore
from session_store.testing.engine_suite import Opens
from session_store.testing.filesystem_suite.folder import Folder

from .below import below
from .faces import driven

Face: TypeAlias = Literal["blocking", "async"]

# Mostly it is about what is said, not about what lasts: that is asked where the power is cut.
# And what waits looks often: nothing here is about how long a call takes.
SETTINGS: Final[dict[str, Any]] = {"durability": "os", "poll_interval_ms": 1}


class Ground:
    """A fresh root; the first store on it uses the engine's `files`, each further one `reopen`.

    It is a folder of theirs; with `whole`, all of them: then the engine has an index of its own,
    and the test a place of its own on it. `tolerated` are the findings of `check` that a test
    brings about on purpose.
    """

    def __init__(
        self,
        files: FileSystem,
        reopen: Opens | None,
        runner: asyncio.Runner,
        *,
        whole: bool = False,
    ) -> None:
        self.folder = "" if whole else f"store-{token_hex(6)}"
        self.raw = Folder(files, self.folder, runner)
        self.tolerated: set[str] = set()
        self._reopen = reopen
        self._runner = runner
        self._opened: list[SessionStore] = []

    @property
    def face(self) -> Face:
        """The face that needs no thread of its own."""
        return "blocking" if self.raw.files.traits.blocking else "async"

    def open(self, face: Face | None = None, **config: Any) -> SessionStore:
        """Return another store on this root, open; it reads like the blocking face."""
        blocking = (face or self.face) == "blocking"
        # An async client serves one event loop, and the blocking face has one of its own.
        first = not self._opened and (not blocking or self.face == "blocking")
        files = below(self.raw.files, self.folder) if first else self.handle()
        settings = StoreConfig(**{**SETTINGS, **config})
        if blocking:
            store = SessionStore(files, settings)
        else:
            store = driven(AsyncStore(files, settings), self._runner)
        store.init()
        self._opened.append(store)
        return store

    def handle(self) -> FileSystem:
        """Return this root through another handle; through the same one if there is no other."""
        if self._reopen is None:
            return below(self.raw.files, self.folder)
        return below(self._reopen(), self.folder, owned=True)

    def drive(self, call: Coroutine[Any, Any, Any]) -> Any:
        """Return what `call`, a call of a file system of this engine, returns."""
        return self.raw.do(call)

    def crashed(self, after: FileSystem) -> None:
        """Go on with what a power cut has left; the stores of before are gone with it."""
        self._opened.clear()
        self._reopen = None
        self.raw = self.raw.on(after)

    def close(self) -> None:
        """Close every store, and fail unless `check` finds the root as it should be."""
        while self._opened:
            self._opened.pop().close()
        judge = self.open()
        try:
            found = self.findings(judge)
        finally:
            judge.close()
            self._opened.clear()
        wrong = {code: one for code, one in found.items() if code not in self.tolerated}
        assert not wrong, f"`check` finds what no test has done: {wrong}"

    def findings(self, store: SessionStore) -> dict[str, Finding]:
        """Return what `check` finds, by codes."""
        # Not that the snapshot lags: so it does while a store is open.
        found = store.check().findings
        return {one.code: one for one in found if one.code != "snapshot_lags"}

    def remove(self) -> None:
        """Remove all that the test has made, unless the place was made for it."""
        if self.folder:
            self.raw.delete_tree("")
