"""`python -m session_store.testing URL`: the suites on what a URL names, and a table.

Ends with 0 if every test passed, with 1 if one failed, with 2 if nothing could be tested.
"""

import argparse
import asyncio
import re
import sys
from secrets import token_hex

from session_store.errors import MissingExtraError, SessionStoreError
from session_store.files.filesystem import FileSystem
from session_store.files.urls import open_files, room_of
from session_store.runtime import run


def main() -> int:
    """Test the engine that the command line names, and print what came out."""
    parser = argparse.ArgumentParser(
        prog="python -m session_store.testing",
        description="Run the conformance suites, in a fresh place of their own.",
    )
    parser.add_argument("url", help="memory:, file:./folder, a path, or another engine's URL")
    url: str = parser.parse_args().url
    try:
        return _test(url)
    except SessionStoreError as error:
        print(f"{_shown(url)}: {error}", file=sys.stderr)
        return 2


def _test(url: str) -> int:
    try:
        from .store_suite.by_url import Place
        from .store_suite.table import lines_of, run_suites
    except ModuleNotFoundError as error:
        if error.name in {"hypothesis", "pytest"}:
            raise MissingExtraError("testing") from error
        raise
    room = room_of(url)
    place = Place(url, f"testing-{token_hex(4)}")
    with asyncio.Runner() as runner:
        files = open_files(url if room is None else room.place_in(url, place.name))
        drive = run if files.traits.blocking else runner.run
        try:
            if room is None and drive(_holds_sessions(files)):
                print(f"{url} holds sessions: give a place without any", file=sys.stderr)
                return 2
            drive(files.exists("nothing"))
            facts = files.traits
            blocking = "blocking" if facts.blocking else "async"
            durable = "durable" if facts.durable else "not durable"
            print(f"{_shown(url)} ({blocking}, {durable}, scope {facts.scope})\n", flush=True)
            try:
                table = run_suites(place)
            finally:
                if room is None:
                    drive(files.delete_tree(place.name))
        finally:
            drive(files.close())
            if room is not None:
                runner.run(room.erase(room.place_in(url, place.name)))
    if table.broken:
        print(table.broken, file=sys.stderr)
        return 2
    print("\n".join(lines_of(table)))
    return 1 if table.failures else 0


def _shown(url: str) -> str:
    """Return the URL of an engine without what may be secret in it."""
    return url if room_of(url) is None else re.sub(r"//.*@", "//", url.partition("?")[0])


async def _holds_sessions(files: FileSystem) -> bool:
    """Return whether somebody keeps sessions there, be it that their index is lost."""
    after: str | None = ""
    while after is not None:
        page = await files.list("", after=after)
        for name in page.names:
            if name.startswith("sessions."):
                return True
            if name.endswith("/") and await files.exists(f"{name}messages.jsonl"):
                return True
        after = page.after
    return False


if __name__ == "__main__":
    sys.exit(main())
